"""Work that belongs to the server instead of to the call that started it."""

import logging
import time
from collections.abc import Awaitable

import anyio

from mcp_ollama.ollama.errors import OllamaError

logger = logging.getLogger(__name__)


class BackgroundTask:
    """One transfer or load. Calls start it or join it, and may leave before its end.

    An error that no call has reported yet is kept for the next call.
    """

    def __init__(self) -> None:
        self.finished = anyio.Event()
        self.error: OllamaError | None = None
        self.reported = False
        self._started_at = time.monotonic()
        self._ended_at: float | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from the start until the end, or until now."""
        return self.ended_at - self._started_at

    @property
    def ended_at(self) -> float:
        """The end on the monotonic clock; now, while there is none."""
        return self._ended_at or time.monotonic()

    @property
    def has_unreported_error(self) -> bool:
        """Whether it failed, and no call has returned the error."""
        return self.error is not None and not self.reported

    @property
    def seconds_since_end(self) -> float:
        """Seconds since the end; 0 while there is none."""
        return time.monotonic() - self.ended_at

    def end(self, error: OllamaError | None = None) -> None:
        """End it, with its error when it failed."""
        self.error = error
        self._ended_at = time.monotonic()
        self.finished.set()

    def report_end(self) -> None:
        """Record that a call reports the state; an end then counts as reported."""
        self.reported = self.finished.is_set()


async def error_of(work: Awaitable[object], name: str) -> OllamaError | None:
    """Wait for `work`, and return its error, None when there is none.

    Any other exception becomes an error, too: a bug in one task must not end the other ones, nor the server.
    """
    try:
        await work
    except OllamaError as error:
        return error
    except Exception:
        logger.exception("Bug in %s", name)
        return OllamaError(f"An internal error ended {name}.", "The log of this server says more.")
    return None
