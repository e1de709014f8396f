"""One pull with many callers, or many servers."""

from functools import partial
from typing import Any

import anyio
import pytest

from mcp_ollama.simulator import (
    Simulator,
    Stall,
)
from tests.conftest import Connect
from tests.support.client import Host
from tests.support.downloads import BUSY, MODEL
from tests.support.pulls import LATE, assert_there, pulls_asked


async def test_ten_callers_share_one_pull_and_half_of_them_may_leave(simulator: Simulator, connect: Connect) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5))
    done: list[dict[str, Any]] = []
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:

        async def wait(scope: anyio.CancelScope) -> None:
            with scope:
                done.append(await host("pull_model", model=MODEL))

        scopes = [anyio.CancelScope() for _ in range(10)]
        async with anyio.create_task_group() as group:
            for scope in scopes:
                group.start_soon(wait, scope)
            await simulator.until(lambda: half.struck == 1)
            for scope in scopes[::2]:
                scope.cancel()
            assert [one["state"] for one in (await host("list_pulls"))["transfers"]] == ["downloading"]
            half.release()
    assert len(done) == 5
    for transfer in done:
        assert_there(simulator, transfer)
    assert pulls_asked(simulator) == 1


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_host_that_cuts_every_call_gets_the_model_all_the_same(simulator: Simulator, connect: Connect) -> None:
    points = [simulator.faults.add(MODEL, Stall(at=at)) for at in (0.2, 0.4, 0.6, 0.8)]
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        for point in points:
            async with anyio.create_task_group() as call:
                call.start_soon(partial(host, "pull_model", model=MODEL))
                await simulator.until(lambda point=point: point.struck == 1)
                call.cancel_scope.cancel()
            point.release()
        assert_there(simulator, await host("pull_model", model=MODEL))
    assert pulls_asked(simulator) == 1


async def test_two_servers_pull_the_same_model_and_each_byte_comes_once(simulator: Simulator, connect: Connect) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5))
    transfers: list[dict[str, Any]] = []
    async with connect(stall_seconds=LATE) as one, connect(stall_seconds=LATE) as other:

        async def pull(host: Host) -> None:
            transfers.append(await host("pull_model", model=MODEL))

        async with anyio.create_task_group() as group:
            group.start_soon(pull, one)
            group.start_soon(pull, other)
            await simulator.until(lambda: simulator.in_flight["/api/pull"] == 2)
            await simulator.until(lambda: half.struck >= 1)
            half.release()
    for transfer in transfers:
        assert_there(simulator, transfer)
    assert len(transfers) == 2
