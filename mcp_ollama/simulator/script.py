"""Scripted replies of the models, since nothing is generated."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NO_REPLY = "The simulator does not generate text, and its script has no reply left."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Reply of a model; each word with the white space before it is a token.

    Args:
        text: The reply.
        thinking: Its thinking, for a model that thinks and a request that allows it.
        calls: Tool calls, as arguments by name of the tool.
    """

    text: str = ""
    thinking: str = ""
    calls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


class Script:
    """Queue of replies, each used once, in order, by any model."""

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque()

    def say(self, text: str, *, thinking: str = "") -> None:
        """Queue a text reply."""
        self._replies.append(Reply(text=text, thinking=thinking))

    def call(self, tool: str, **arguments: Any) -> None:
        """Queue a tool call."""
        self._replies.append(Reply(calls={tool: arguments}))

    def next(self) -> Reply:
        """Return the next reply; when the queue is empty, one that states that."""
        return self._replies.popleft() if self._replies else Reply(text=_NO_REPLY)
