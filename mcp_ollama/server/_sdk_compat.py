"""Uses of private names of the MCP SDK (2.3), each with the condition under which it goes.

`tests/server/test_sdk_compat.py` breaks when an upgrade of the SDK changes one of them.
"""

from typing import Any

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext


def connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """Return the connection of a request, which outlives it and can send notifications to the client later.

    A session exists per request, and only its private `_connection` leads to the connection. The SDK plans to give
    handlers `mcp.server.context.Context` with a public `connection` (see the TODO at `ServerMiddleware` there); this
    function goes with it.
    """
    return ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
