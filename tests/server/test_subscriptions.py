"""Change notifications of the handshake era: no client holds up a call, whatever it does with them."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus

from mcp_ollama.server.resources import PULLS
from mcp_ollama.server.subscriptions import MAX_QUEUED, Subscriptions

URI = PULLS
UPDATED = "notifications/resources/updated"


class Channel:
    """The way to one client, which reads all, nothing, or has gone."""

    def __init__(self, *, reads: bool = True, error: Exception | None = None) -> None:
        self.sent: list[str] = []
        self._reads = reads
        self._error = error

    async def send_raw_request(self, method: str, params: object, opts: object = None) -> dict[str, Any]:
        raise AssertionError

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: object = None) -> None:
        if self._error:
            raise self._error
        self.sent.append(method)
        if not self._reads:
            await anyio.sleep_forever()


def request_over(channel: Channel) -> ServerRequestContext[Any, Any]:
    connection = Connection.for_loop(channel)
    session = ServerSession(cast("Any", channel), connection)
    return ServerRequestContext(session=session, lifespan_context=None, protocol_version="2025-11-25", method="ping")


@asynccontextmanager
async def running() -> AsyncGenerator[Subscriptions]:
    subscriptions = Subscriptions(InMemorySubscriptionBus())
    with anyio.fail_after(10):
        async with subscriptions.running():
            yield subscriptions


async def publish(subscriptions: Subscriptions, times: int) -> None:
    for _ in range(times):
        await subscriptions.send([URI], listed=False)
    await anyio.wait_all_tasks_blocked()


async def test_client_that_does_not_read_holds_up_neither_calls_nor_others(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as subscriptions:
        stuck, reading = Channel(reads=False), Channel()
        for channel in (stuck, reading):
            subscriptions.subscribe(request_over(channel), URI)
        # The first is being sent, and as many as fit wait.
        await publish(subscriptions, 1 + MAX_QUEUED)
        assert not caplog.records
        await publish(subscriptions, 5)
        assert stuck.sent == [UPDATED]
        assert reading.sent == [UPDATED] * (MAX_QUEUED + 6)
        assert [record.message for record in caplog.records] == [
            "A client does not read: a change notification is dropped"
        ] * 5


async def test_broken_connection_is_logged_once_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as subscriptions:
        broken, reading = Channel(error=OSError("planted")), Channel()
        for channel in (broken, reading):
            subscriptions.subscribe(request_over(channel), URI)
        await publish(subscriptions, 3)
        assert reading.sent == [UPDATED] * 3
        logged = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert logged == ["Could not send a change notification"]


async def test_closed_connection_receives_nothing_more() -> None:
    async with running() as subscriptions:
        stuck = Channel(reads=False)
        ctx = request_over(stuck)
        subscriptions.subscribe(ctx, URI)
        await publish(subscriptions, 2)
        await ctx.session._connection.exit_stack.aclose()  # pyright: ignore[reportPrivateUsage]
        await publish(subscriptions, 2)
        assert stuck.sent == [UPDATED]


async def test_list_change_reaches_a_client_without_subscription() -> None:
    async with running() as subscriptions:
        reading = Channel()
        subscriptions.register(request_over(reading))
        await subscriptions.send([], listed=True)
        await anyio.wait_all_tasks_blocked()
        assert reading.sent == ["notifications/resources/list_changed"]


async def test_queues_are_closed_at_the_end_while_their_client_is_still_there():
    channel = Channel()
    async with running() as subscriptions:
        ctx = request_over(channel)
        subscriptions.register(ctx)
        await publish(subscriptions, 1)
    await subscriptions.send([URI], listed=False)
    assert ctx.session
