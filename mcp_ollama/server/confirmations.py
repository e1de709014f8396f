"""The consent of a user whose host cannot be asked: a token that an agent must bring back, good for one deed."""

import secrets
import time
from dataclasses import dataclass, field

MAX_OPEN = 100


@dataclass(slots=True)
class Confirmations:
    """Open questions, each bound to one deed (such as deleting one digest under one name).

    Args:
        seconds: How long a confirmation is good for.
    """

    seconds: float = 600
    _open: dict[str, tuple[tuple[str, ...], float]] = field(
        default_factory=dict[str, tuple[tuple[str, ...], float]], repr=False
    )

    def ask(self, *deed: str) -> str:
        """Give a token that confirms this deed once, while it is fresh."""
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        token = secrets.token_urlsafe(6)
        self._open[token] = (deed, time.monotonic() + self.seconds)
        return token

    def redeem(self, token: str, *deed: str) -> bool:
        """Tell whether a token was given for this very deed and is fresh; a wrong one is used up by the attempt."""
        asked, expires = self._open.get(token, ((), 0.0))
        good = asked == deed and time.monotonic() < expires
        if not good:
            self.spend(token)
        return good

    def spend(self, token: str) -> None:
        """Use a token up, once its deed is done: one that fails may be tried again with the same yes."""
        self._open.pop(token, None)
