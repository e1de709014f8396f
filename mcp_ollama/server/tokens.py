"""Confirmation tokens: each confirms one action once, for a while."""

import secrets
import time
from dataclasses import dataclass, field

from mcp_ollama.models.errors import RefusedError

MAX_OPEN = 100


@dataclass(slots=True)
class _Token:
    target: tuple[str, ...]
    action: tuple[str, ...]
    expires_at: float
    reserved: bool = False


@dataclass(slots=True)
class ConfirmationTokens:
    """The tokens of one server. Neither a guess nor a token of another action confirms anything.

    Args:
        seconds: Lifetime of a token.
    """

    seconds: float
    _open: dict[str, _Token] = field(default_factory=dict[str, _Token], repr=False)

    def issue(self, target: tuple[str, ...], action: tuple[str, ...]) -> str:
        """Return a new token for an action; it replaces the one that waits for the same target.

        Raises:
            RefusedError: Too many tokens wait; none is dropped for a new one, since its user may be deciding.
        """
        now = time.monotonic()
        self._open = {
            text: token
            for text, token in self._open.items()
            if token.reserved or (token.expires_at > now and token.target != target)
        }
        if len(self._open) >= MAX_OPEN:
            raise RefusedError(
                f"{MAX_OPEN} confirmations are open already.",
                f"Use one of them, or wait {self.seconds / 60:g} minutes until they expire.",
            )
        text = secrets.token_urlsafe(6)
        self._open[text] = _Token(target, action, now + self.seconds)
        return text

    def reserve(self, text: str, action: tuple[str, ...]) -> bool:
        """Return whether a token confirms this action now, and keep it from confirming a second call.

        A token of another action is used up by the attempt.
        """
        token = self._open.get(text)
        if token is None or token.reserved:
            return False
        token.reserved = token.action == action and time.monotonic() < token.expires_at
        if not token.reserved:
            self.spend(text)
        return token.reserved

    def release(self, text: str) -> None:
        """Make a reserved token usable again, since its action failed."""
        if token := self._open.get(text):
            token.reserved = False

    def spend(self, text: str) -> None:
        """Remove a token, since its action has succeeded."""
        self._open.pop(text, None)
