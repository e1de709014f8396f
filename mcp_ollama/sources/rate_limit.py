"""The rate limit of Hugging Face, which counts all requests of an IP address in fixed windows of five minutes."""

import math
import re
from collections.abc import Callable, Mapping

UNKNOWN_WAIT_SECONDS = 60
"""Pause after a 429 that names no time; a window ends after 300 s at most."""
LONGEST_WAIT_SECONDS = 3600
_SCARCE_SHARE = 0.1
_FIELD = re.compile(r";\s*([rtq])=([0-9]{1,9})", re.ASCII)


class RateLimit:
    """The requests that are left, as the last answer reports them.

    The headers are `RateLimit: "api";r=499;t=295` and `RateLimit-Policy: "fixed window";"api";q=500;w=300`
    (hub-docs, rate-limits.md); a 429 comes without `Retry-After`, and behind a proxy without either header.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._remaining: int | None = None
        self._quota = 0
        self._ends_at = 0.0

    def read(self, headers: Mapping[str, str], *, refused: bool) -> None:
        """Read the headers of an answer; `refused` is a 429."""
        fields = dict(_FIELD.findall(f"{headers.get('ratelimit', '')} {headers.get('ratelimit-policy', '')}"))
        if refused:
            self._remaining = 0
            self._wait(fields.get("t") or _digits(headers.get("retry-after", "")) or UNKNOWN_WAIT_SECONDS)
        elif "r" in fields and "t" in fields:
            self._remaining, self._quota = int(fields["r"]), int(fields.get("q", 0))
            self._wait(fields["t"])

    @property
    def wait_seconds(self) -> int:
        """Whole seconds until the next request is allowed, 0 when it is allowed now."""
        return self.window_seconds if self._remaining == 0 else 0

    @property
    def is_scarce(self) -> bool:
        """Whether less than a tenth of the requests of this window is left."""
        return (
            self._remaining is not None
            and self.window_seconds > 0
            and self._remaining < max(self._quota * _SCARCE_SHARE, 1)
        )

    @property
    def window_seconds(self) -> int:
        """Whole seconds until the window ends and all requests are allowed again."""
        return max(0, math.ceil(self._ends_at - self._clock()))

    def _wait(self, seconds: str | int) -> None:
        # One second more, as huggingface_hub waits: the window ends on the server's clock.
        self._ends_at = self._clock() + min(int(seconds) + 1, LONGEST_WAIT_SECONDS)


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
