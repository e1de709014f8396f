"""One request answers all who asked before it began."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from mcp_ollama.ollama.batching import Batch
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.simulator import RunningSimulator, Simulator


class Source:
    """Answers with the number of the request, once it may."""

    def __init__(self) -> None:
        self.requests = 0
        self.may_answer = anyio.Event()
        self.batch = Batch(self.ask)
        self.answers: list[int] = []

    async def ask(self) -> int:
        self.requests += 1
        number = self.requests
        await self.may_answer.wait()
        return number

    async def note(self) -> None:
        self.answers.append(await self.batch.get())


async def test_later_callers_share_one_request_of_their_own() -> None:
    source = Source()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(source.note)
            while not source.requests:
                await checkpoint()
            for _ in range(9):
                group.start_soon(source.note)
            await checkpoint()
            source.may_answer.set()
    assert sorted(source.answers) == [1, *[2] * 9]
    assert await source.batch.get() == 3


async def test_callers_who_ask_again_share_one_request() -> None:
    source = Source()
    source.may_answer.set()

    async def ask_often(turns: int) -> None:
        for _ in range(10):
            await source.note()
            for _ in range(turns):
                await checkpoint()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(ask_often, number % 16)
    assert len(source.answers) == 400
    assert source.requests <= 12


async def test_callers_without_end_do_not_hold_up_a_request() -> None:
    source = Source()
    source.may_answer.set()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            while not source.answers:
                group.start_soon(source.note)
                await checkpoint()
    assert len(source.answers) < 100


async def test_cancelled_caller_leaves_its_request_to_the_next() -> None:
    source = Source()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as first:
                first.start_soon(source.note)
                while not source.requests:
                    await checkpoint()
                group.start_soon(source.note)
                group.start_soon(source.note)
                await checkpoint()
                first.cancel_scope.cancel()
            source.may_answer.set()
    assert len(source.answers) == 2


async def test_each_caller_gets_the_error_of_its_request() -> None:
    may_fail = anyio.Event()
    failures: list[str] = []

    async def fail() -> int:
        await may_fail.wait()
        raise OllamaError("It broke.")

    batch = Batch(fail)

    async def note() -> None:
        with pytest.raises(OllamaError) as caught:
            await batch.get()
        failures.append(str(caught.value))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(note)
            await checkpoint()
            may_fail.set()
    assert failures == ["It broke."] * 3


async def test_pipelined_lists_cost_few_requests(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.install("a")
    async with OllamaClient(running.base_url) as client:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(500):
                    group.start_soon(client.list_models)
        assert len(simulator.asked("/api/tags")) <= 5
        first, second = await client.list_models(), await client.list_models()
    assert first == second
    assert first is not second
