"""Private names of the SDK: each test breaks when an upgrade changes one."""

from typing import Any

from mcp import Client
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.types import ListToolsResult, PaginatedRequestParams

from mcp_ollama.server._sdk_compat import connection_of, sessions_of
from tests.support.client import Era


async def test_connection_of_two_requests_of_a_handshake_is_one() -> None:
    connections: list[Connection] = []

    async def list_tools(ctx: ServerRequestContext[Any], _: PaginatedRequestParams | None) -> ListToolsResult:
        connections.append(connection_of(ctx))
        return ListToolsResult(tools=[])

    async with Client(Server("compat", on_list_tools=list_tools), mode="legacy") as client:
        await client.list_tools()
        await client.list_tools(cache_mode="bypass")
    assert isinstance(connections[0], Connection)
    assert connections[0] is connections[1]


async def test_connection_has_a_session_id_attribute_in_each_era(era: Era) -> None:
    ids: list[str | None] = []

    async def list_tools(ctx: ServerRequestContext[Any], _: PaginatedRequestParams | None) -> ListToolsResult:
        ids.append(connection_of(ctx).session_id)
        return ListToolsResult(tools=[])

    async with Client(Server("compat", on_list_tools=list_tools), mode=era) as client:
        await client.list_tools()
    assert ids == [None]


async def test_sessions_of_an_http_server_are_a_mapping_by_id() -> None:
    server = Server[Any]("compat")
    server.streamable_http_app()
    assert sessions_of(server) == {}
