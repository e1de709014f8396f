"""Streams of pulls, pushes and creations: when they end, and how they fail."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    NotInRegistryError,
    OllamaConnectionError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.schemas import Progress
from mcp_ollama.simulator import Simulator, serve
from tests.ollama.endpoints import BASE_URL, STREAM, STREAMED, failure, statuses
from tests.support.raw_server import answering, http


class Endless(httpx.AsyncByteStream):
    """A pull that goes on until somebody closes it."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"status":"pulling manifest"}\n'
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        self.closed = True


# Closing the connection is the only way to cancel a job of Ollama.
async def test_stream_left_early_closes_its_connection() -> None:
    body = Endless()
    client = OllamaClient(BASE_URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=body)))
    with anyio.fail_after(5):
        async with aclosing(client.pull_model("m")) as stream:
            assert (await anext(stream)).status == "pulling manifest"
            assert not body.closed
        assert body.closed


async def test_stream_cancelled_while_waiting_closes_its_connection() -> None:
    body = Endless()
    client = OllamaClient(BASE_URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=body)))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            async for _ in client.pull_model("m"):
                tasks.cancel_scope.cancel()
        assert body.closed


async def test_stream_has_no_timeout_between_lines() -> None:
    second_line = anyio.Event()

    async def lines() -> AsyncGenerator[bytes]:
        yield b'{"status":"pulling manifest"}\n'
        await second_line.wait()
        yield b'{"status":"success"}\n'

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/pull":
            await anyio.sleep_forever()
        return httpx.Response(200, content=lines())

    client = OllamaClient(BASE_URL, timeout=0.001, transport=httpx.MockTransport(answer))
    seen: list[str] = []
    with anyio.fail_after(5):
        async for line in client.pull_model("m"):
            seen.append(line.status)
            # A call with the same timeout ends by it between the two lines.
            assert isinstance(await failure(client.get_version()), OllamaTimeoutError)
            second_line.set()
    assert seen == STREAMED


async def test_slow_refusal_of_a_pull_times_out() -> None:
    refusal = http(b'{"error":', status="500 Internal Server Error", length=100)
    async with answering(refusal) as server, OllamaClient(server.base_url, timeout=0.05) as client:
        assert isinstance(await failure(statuses(client.pull_model("m"))), OllamaTimeoutError)


async def test_broken_stream_yields_the_lines_before_the_break() -> None:
    seen: list[str] = []

    async def follow(stream: AsyncIterator[Progress]) -> None:
        async for line in stream:
            seen.append(line.status)  # noqa: PERF401 - what came before the break counts

    answer = http(STREAM.splitlines(keepends=True)[0], length=1000)
    async with answering(answer, keep_alive=False) as server, OllamaClient(server.base_url) as client:
        error = await failure(follow(client.pull_model("m")))
    assert type(error) is OllamaConnectionError
    assert seen == ["pulling manifest"]


@pytest.mark.parametrize("stream", [True, False])
async def test_error_line_within_a_stream_is_raised(stream: bool, wire: respx.MockRouter, client: OllamaClient) -> None:
    body = '{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n'
    wire.post("/api/pull").respond(200, text=body)
    error = await failure(statuses(client.pull_model("m", stream=stream)))
    assert type(error) is NotInRegistryError
    assert error.problem == "The registry has no m:latest."


async def test_creation_from_a_missing_model_names_that_model() -> None:
    simulator = Simulator(tick=0.002)
    with serve(simulator) as running:
        async with OllamaClient(running.base_url) as client:
            with pytest.raises(NotInRegistryError, match="The registry has no base:latest"):
                await statuses(client.create_model("variant", "base"))
