"""A server that is away is waited for, for a limited time, and its return is noticed at once."""

import socket
from collections.abc import Awaitable, Callable

import anyio
import pytest

from mcp_ollama.models.outage import wait_for_server
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.simulator import Simulator, serve


class Server:
    """A server that answers from a certain question on."""

    def __init__(self, silent: int) -> None:
        self.silent = silent
        self.asked = 0

    async def is_running(self) -> bool:
        self.asked += 1
        return self.asked > self.silent


async def hang() -> bool:
    """Ask a server that takes connections and never answers."""
    await anyio.sleep_forever()
    raise AssertionError


async def test_wait_for_server_that_answers_is_over_at_once() -> None:
    server = Server(silent=0)
    assert await wait_for_server(server.is_running, 15)
    assert server.asked == 1


async def test_wait_for_server_asks_until_it_answers() -> None:
    server = Server(silent=3)
    assert await wait_for_server(server.is_running, 15, poll_seconds=0.01)
    assert server.asked == 4


@pytest.mark.parametrize("is_running", [Server(silent=10_000).is_running, hang])
async def test_wait_for_server_that_stays_away_ends_at_the_limit(
    is_running: Callable[[], Awaitable[bool]],
) -> None:
    with anyio.fail_after(20):
        assert not await wait_for_server(is_running, 0.05, poll_seconds=0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_return_of_real_server_is_noticed_within_3_seconds() -> None:
    port, noticed = free_port(), anyio.Event()

    async def wait(client: OllamaClient) -> None:
        assert await wait_for_server(client.is_running, 30)
        noticed.set()

    async with OllamaClient(f"http://127.0.0.1:{port}") as client, anyio.create_task_group() as group:
        group.start_soon(wait, client)
        await anyio.wait_all_tasks_blocked()
        with serve(Simulator(), port=port), anyio.fail_after(3):
            await noticed.wait()
