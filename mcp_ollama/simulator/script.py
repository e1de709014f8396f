"""What the models of a simulator say, in place of generating anything."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_UNTOLD = "This stand-in for Ollama generates no text: it has not been told what to say."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a model; each word, and each white space before it, counts as a token.

    Args:
        text: What it says.
        thinking: What it thinks before, when it can and is not told to leave it.
        calls: The tools that it calls, by name, with their arguments.
    """

    text: str = ""
    thinking: str = ""
    calls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


class Script:
    """The replies still to come, each said once, in this order, by whatever model is asked."""

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque()

    def say(self, text: str, *, thinking: str = "") -> None:
        """Have the next model that is asked say something."""
        self._replies.append(Reply(text=text, thinking=thinking))

    def call(self, tool: str, **arguments: Any) -> None:
        """Have the next model that is asked call a tool."""
        self._replies.append(Reply(calls={tool: arguments}))

    def next(self) -> Reply:
        """Take the next reply; when all is said, one that says so."""
        return self._replies.popleft() if self._replies else Reply(text=_UNTOLD)
