"""How many requests work at the same time; those that wait do not count."""

import math
from typing import Literal

import anyio
import pytest
from pydantic import BaseModel

from mcp_ollama.models.app import Timeouts
from mcp_ollama.server.limits import MAX_WORKING, RequestLimits
from mcp_ollama.tools.spec import Call, ToolSpec
from tests.conftest import Connect


class Done(BaseModel):
    done: bool = True


def limits(slots: anyio.Semaphore, seconds: float = math.inf) -> RequestLimits:
    return RequestLimits(slots, anyio.CancelScope(deadline=anyio.current_time() + seconds))


async def test_waiting_frees_the_slot_and_takes_one_again() -> None:
    slots = anyio.Semaphore(1)
    one = limits(slots)
    async with one.working():
        assert slots.value == 0
        async with one.waiting():
            assert slots.value == 1
        assert slots.value == 0
    assert slots.value == 1


async def test_error_while_waiting_frees_no_slot_twice() -> None:
    slots = anyio.Semaphore(1)
    one = limits(slots)
    with pytest.raises(ValueError, match="planted"):
        async with one.working(), one.waiting():
            raise ValueError("planted")
    assert slots.value == 1


async def test_waiting_suspends_the_timeout() -> None:
    one = limits(anyio.Semaphore(1), seconds=10)
    async with one.working():
        async with one.waiting():
            assert one.scope.deadline == math.inf
        assert 9 < one.scope.deadline - anyio.current_time() <= 10


@pytest.mark.parametrize("way", ["works", "waits"])
async def test_calls_beyond_the_limit_start_only_when_others_wait(
    way: Literal["works", "waits"], connect: Connect
) -> None:
    started, enough, release = 0, anyio.Event(), anyio.Event()

    async def busy(call: Call) -> Done:
        """Take part in the count."""
        nonlocal started
        started += 1
        if started == MAX_WORKING + (way == "waits"):
            enough.set()
        if way == "works":
            await release.wait()
        else:
            async with call.waiting():
                await release.wait()
        return Done()

    async def one_more(call: Call) -> Done:
        """End at once."""
        release.set()
        return Done()

    specs = [ToolSpec(run=busy, title="Busy"), ToolSpec(run=one_more, title="More")]
    async with connect(*specs, timeouts=Timeouts(call=5)) as host, anyio.create_task_group() as group:
        for _ in range(MAX_WORKING + 1):
            group.start_soon(host.result, "busy")
        await enough.wait()
        await anyio.wait_all_tasks_blocked()
        assert started == MAX_WORKING + (way == "waits")
        if way == "works":
            release.set()
        else:
            await host("one_more")
