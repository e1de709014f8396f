"""A limit on open connections, for which no token is needed.

A process without free file descriptors reaches no Ollama server, and asyncio logs a traceback for each connection that
waits, thousands a second.
"""

import sys
from asyncio import Transport
from collections.abc import Iterator
from operator import attrgetter
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

ACCEPTED_AT_ONCE = 64
"""Connections that asyncio accepts in one turn of the event loop; those of three turns are open before they count."""
_MOST = 2048

if sys.platform == "win32":

    def connection_limit() -> int:
        """Return how many connections may be open."""
        return _MOST

else:
    import resource

    def connection_limit() -> int:
        """Return how many connections may be open: at most half of the file descriptors of this process."""
        return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class BoundedProtocol(H11Protocol):
    """HTTP over one connection; above the limit the oldest one without a whole request makes room."""

    opened = 0.0

    def connection_made(self, transport: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in uvicorn
        """Take the connection; where all others are answering a request it is closed at once."""
        super().connection_made(transport)
        self.opened = self.loop.time()
        if len(self.connections) > connection_limit():
            victim = min(self._others_to_close(), key=attrgetter("worth"), default=self)
            self.connections.discard(victim)
            victim.transport.abort()

    @property
    def sends(self) -> bool:
        """Whether the client has not yet sent a whole request."""
        return self.conn.their_state is not h11.DONE

    @property
    def worth(self) -> tuple[bool, float]:
        """The sort key: connections that never sent the head of a request first, of those the oldest."""
        return bool(self.cycle), self.opened  # pyright: ignore[reportUnknownMemberType] - declared without a type

    def _others_to_close(self) -> "Iterator[BoundedProtocol]":
        others = cast("set[BoundedProtocol]", self.connections - {self})
        return (one for one in others if one.sends)
