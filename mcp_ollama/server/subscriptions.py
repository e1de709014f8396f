"""Change notifications: by subscriptions of a connection (until 2025-11-25), or on listen streams (2026-07-28)."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated, SubscriptionBus
from mcp.types import INVALID_PARAMS, EmptyResult

from mcp_ollama.server._sdk_compat import connection_of
from mcp_ollama.server.consent import STATELESS_SINCE

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 1000
MAX_QUEUED = 1024
"""Notifications that wait for a client that does not read; further ones are dropped. As many as the SDK holds for a
listen stream."""

_Notice = str | None
"""The URI of a resource that has changed; None for the list of resources."""


@dataclass(frozen=True, slots=True)
class _Subscriber:
    """A connection of the handshake era: the resources that it follows, its queue, and the task that empties it."""

    uris: set[str]
    queue: MemoryObjectSendStream[_Notice]
    sending: anyio.CancelScope


class Subscriptions:
    """Sends changes to the clients of both eras; no client can hold up a call.

    The SDK serves the listen streams of the bus, each with a bounded queue. Clients of the handshake era have theirs
    here, since the SDK would make the call that publishes a change wait until every client has read it.

    Args:
        bus: The bus of the listen streams.
    """

    def __init__(self, bus: SubscriptionBus) -> None:
        self._bus = bus
        self._subscribers: dict[Connection, _Subscriber] = {}
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Send notifications until the end of the context."""
        try:
            async with anyio.create_task_group() as self._tasks:
                yield
                self._tasks.cancel_scope.cancel()
        finally:
            self._close_queues()

    def _close_queues(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.queue.close()

    def register(self, ctx: ServerRequestContext[Any, Any]) -> set[str]:
        """Register the connection of a request, since changes of the list go to clients without a subscription, too.

        Returns:
            The URIs that the connection follows; of the stateless era, an empty set.
        """
        if ctx.protocol_version >= STATELESS_SINCE:
            return set()
        connection = connection_of(ctx)
        if connection not in self._subscribers:
            assert self._tasks, "a request comes within the lifespan"
            send, receive = anyio.create_memory_object_stream[_Notice](MAX_QUEUED)
            self._subscribers[connection] = _Subscriber(set(), send, anyio.CancelScope())
            connection.exit_stack.callback(self._forget, connection)
            self._tasks.start_soon(_send_all, connection, receive, self._subscribers[connection].sending)
        return self._subscribers[connection].uris

    def subscribe(self, ctx: ServerRequestContext[Any, Any], uri: str) -> EmptyResult:
        """Answer `resources/subscribe`.

        Raises:
            MCPError: The connection has too many subscriptions.
        """
        followed = self.register(ctx)
        if len(followed) >= MAX_SUBSCRIPTIONS:
            raise MCPError(INVALID_PARAMS, f"{MAX_SUBSCRIPTIONS} resources are subscribed to already.")
        followed.add(uri)
        return EmptyResult()

    def unsubscribe(self, ctx: ServerRequestContext[Any, Any], uri: str) -> EmptyResult:
        """Answer `resources/unsubscribe`."""
        self.register(ctx).discard(uri)
        return EmptyResult()

    async def send(self, uris: Sequence[str], *, listed: bool) -> None:
        """Send every client the changed resources among those that it follows, and whether their list has changed."""
        for uri in uris:
            await self._bus.publish(ResourceUpdated(uri=uri))
        if listed:
            await self._bus.publish(ResourcesListChanged())
        for subscriber in self._subscribers.values():
            for uri in subscriber.uris.intersection(uris):
                _enqueue(subscriber, uri)
            if listed:
                _enqueue(subscriber, None)

    def _forget(self, connection: Connection) -> None:
        subscriber = self._subscribers.pop(connection)
        subscriber.queue.close()
        subscriber.sending.cancel()


def _enqueue(subscriber: _Subscriber, notice: _Notice) -> None:
    try:
        subscriber.queue.send_nowait(notice)
    except anyio.WouldBlock:
        logger.warning("A client does not read: a change notification is dropped")
    except anyio.BrokenResourceError:
        # Sending to this client has failed, which is logged where it happened.
        logger.debug("A change notification to a broken connection is dropped")


async def _send_all(
    connection: Connection, queue: MemoryObjectReceiveStream[_Notice], sending: anyio.CancelScope
) -> None:
    with sending, queue:
        async for notice in queue:
            try:
                if notice is None:
                    await connection.send_resource_list_changed()
                else:
                    await connection.send_resource_updated(notice)
            except Exception:
                # One broken client must not end the notifications of all others.
                logger.exception("Could not send a change notification")
                return
