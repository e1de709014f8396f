"""Eviction of HTTP sessions: those that never called anything make room for new ones.

A session of a handshake client lives for half an hour after its last request. Without eviction, a client that only
opens sessions would lock out all others for that time.
"""

from typing import Any

from mcp.server.lowlevel import Server
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_ollama.server._sdk_compat import sessions_of

SESSION_LIMIT = 1000
_HEADER = "mcp-session-id"


class SessionEviction:
    """ASGI middleware that ends the oldest session without a call when a new one would be over the limit."""

    def __init__(self, app: ASGIApp, server: Server[Any]) -> None:
        self._app = app
        self._server = server
        self._used: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, after making room for the session that it may open."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        session = Headers(scope=scope).get(_HEADER)
        if session is None:
            await self._make_room()

        async def note_use(message: Message) -> None:
            # A request is answered with 200, a notification or a response with 202.
            if session and message["type"] == "http.response.start" and message["status"] == 200:
                self._used.add(session)
            await send(message)

        await self._app(scope, receive, note_use)

    async def _make_room(self) -> None:
        sessions = sessions_of(self._server)
        if len(sessions) < SESSION_LIMIT:
            return
        self._used &= sessions.keys()
        unused = next((session for session in sessions if session not in self._used), None)
        if unused:
            await sessions.pop(unused).terminate()
