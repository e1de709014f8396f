"""Uses of private names of the MCP SDK (2.3), each with the condition under which it goes.

`tests/server/test_sdk_compat.py` breaks when an upgrade of the SDK changes one of them.
"""

from typing import TYPE_CHECKING, Any

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

if TYPE_CHECKING:
    from mcp.server.streamable_http import StreamableHTTPServerTransport


def connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """Return the connection of a request, which outlives it and can send notifications to the client later.

    A session exists per request, and only its private `_connection` leads to the connection. The SDK plans to give
    handlers `mcp.server.context.Context` with a public `connection` (see the TODO at `ServerMiddleware` there); this
    function goes with it.
    """
    return ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def sessions_of(server: Server[Any]) -> "dict[str, StreamableHTTPServerTransport]":
    """Return the open HTTP sessions of handshake clients by id, the oldest first.

    The SDK's session manager can neither end their streams at a shutdown nor choose which session makes room for a new
    one. This function goes when it does both.
    """
    return server.session_manager._server_instances  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
