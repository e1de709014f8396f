"""How hosts are told of changes: by subscriptions of their connection (up to 2025-11-25), or by listen streams."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated
from mcp.types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from mcp_ollama.models.app import STATELESS_SINCE
from mcp_ollama.models.events import MAX_URI_LENGTH

MAX_SUBSCRIPTIONS = 1000


class Announcements:
    """Brings changes to the hosts of both eras; each way reaches only its own.

    `MCPServer` serves the listen streams of its bus; the subscriptions of older hosts are served here.
    """

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._hosts: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()

    def serve(self, core: Server[Any]) -> None:
        """Answer `resources/subscribe` and `resources/unsubscribe`."""
        core.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        core.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    def note(self, ctx: ServerRequestContext[Any, Any]) -> set[str]:
        """Remember a host of the older era, to which changes of the list are told unasked; gives what it follows."""
        if ctx.protocol_version >= STATELESS_SINCE:
            return set()
        # A session is made for each request; what stays is the connection behind it.
        return self._hosts.setdefault(ctx.session._connection, set())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def publish(self, uris: Sequence[str], *, listed: bool = False) -> None:
        """Tell every host which documents have changed, and whether their list has."""
        for uri in uris:
            await self.bus.publish(ResourceUpdated(uri=uri))
        if listed:
            await self.bus.publish(ResourcesListChanged())
        for connection, followed in list(self._hosts.items()):
            for uri in followed.intersection(uris):
                await connection.send_resource_updated(uri)
            if listed:
                await connection.send_resource_list_changed()

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        followed = self.note(ctx)
        if len(followed) >= MAX_SUBSCRIPTIONS:
            raise MCPError(INVALID_PARAMS, f"{MAX_SUBSCRIPTIONS} documents are followed already.")
        if len(str(params.uri)) > MAX_URI_LENGTH:
            raise MCPError(INVALID_PARAMS, "No document has so long an address.")
        followed.add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self.note(ctx).discard(str(params.uri))
        return EmptyResult()
