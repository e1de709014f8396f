"""Change notifications: by subscriptions of a connection (until 2025-11-25), or on listen streams (2026-07-28)."""

from typing import Any
from weakref import WeakKeyDictionary

from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated
from mcp.types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from mcp_ollama.models.events import Change
from mcp_ollama.server._sdk_compat import connection_of
from mcp_ollama.server.consent import STATELESS_SINCE
from mcp_ollama.server.resources import MAX_URI_LENGTH, changed_uris

MAX_SUBSCRIPTIONS = 1000


class Subscriptions:
    """Sends changes to the clients of both eras.

    The SDK serves the listen streams of `bus`; it leaves the subscriptions of the handshake era to this class.
    """

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._connections: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()

    async def register(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Register the connection of each request, as middleware: list changes go to clients without a subscription."""
        self._uris_of(ctx)
        return await call_next(ctx)

    async def publish(self, change: Change) -> None:
        """Send every client the changes of resources that it follows, and of the list of resources."""
        uris, listed = changed_uris(change), change.kind == "installed"
        for uri in uris:
            await self.bus.publish(ResourceUpdated(uri=uri))
        if listed:
            await self.bus.publish(ResourcesListChanged())
        for connection, followed in list(self._connections.items()):
            for uri in followed.intersection(uris):
                await connection.send_resource_updated(uri)
            if listed:
                await connection.send_resource_list_changed()

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Answer `resources/subscribe`.

        Raises:
            MCPError: The connection has too many subscriptions, or the URI is longer than any resource's.
        """
        followed = self._uris_of(ctx)
        if len(followed) >= MAX_SUBSCRIPTIONS:
            raise MCPError(INVALID_PARAMS, f"{MAX_SUBSCRIPTIONS} documents are followed already.")
        if len(str(params.uri)) > MAX_URI_LENGTH:
            raise MCPError(INVALID_PARAMS, "No document has so long an address.")
        followed.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        """Answer `resources/unsubscribe`."""
        self._uris_of(ctx).discard(str(params.uri))
        return EmptyResult()

    def _uris_of(self, ctx: ServerRequestContext[Any, Any]) -> set[str]:
        """Return the subscriptions of a handshake-era connection, after registering it."""
        if ctx.protocol_version >= STATELESS_SINCE:
            return set()
        return self._connections.setdefault(connection_of(ctx), set())
