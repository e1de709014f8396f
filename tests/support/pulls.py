"""A pull over the simulator, seen from outside: the bytes that were served, and the progress that was reported."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio

from mcp_ollama.models.job import MAX_LINE
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.simulator import Simulator
from tests.support.client import Host
from tests.support.downloads import MODEL

SOON = 0.25
"""A stall that a test waits for."""
LATE = 6.0
"""A stall that no busy machine brings about."""
DOWNLOADING = " of 30 MB"


def served(simulator: Simulator) -> int:
    return sum(simulator.registry.bytes_served.values())


def size_of(simulator: Simulator) -> int:
    return sum(layer.size for layer in simulator.model(MODEL).manifest.blobs)


def pulls_asked(simulator: Simulator) -> int:
    return len(simulator.asked("/api/pull"))


def assert_there(simulator: Simulator, transfer: dict[str, Any]) -> None:
    """Check that the model is there, exact numbers were reported, and each byte was fetched once."""
    assert simulator.is_installed(MODEL)
    size = size_of(simulator)
    assert served(simulator) == size
    assert (transfer["state"], transfer["status"]) == ("done", "success")
    assert (transfer["completed_bytes"], transfer["total_bytes"], transfer["percent"]) == (size, size, 100)
    assert "error" not in transfer


def assert_rising(host: Host) -> None:
    reported = [progress for progress, _, _ in host.reported]
    assert reported == sorted(set(reported))
    assert all(len(line) <= MAX_LINE and line.isprintable() for _, _, line in host.reported)


@asynccontextmanager
async def in_background(work: Callable[[], Any]) -> AsyncGenerator[None]:
    """Run work beside the block, to its own end."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        yield


async def until_progress(host: Host, *words: str) -> None:
    """Take part in the pull until a line of its progress has one of the words, then leave it."""
    shown = anyio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        if any(word in (message or "") for word in words):
            shown.set()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(host.client.call_tool, "pull_model", {"model": MODEL}, progress_callback=note))
        await shown.wait()
        group.cancel_scope.cancel()


@asynccontextmanager
async def another_program_pulling(simulator: Simulator, base_url: str) -> AsyncGenerator[None]:
    """Pull the model as another program does, until the block ends or the pull does."""

    async def pull() -> None:
        # The server may die of what is tested.
        with suppress(OllamaError):
            async with OllamaClient(base_url) as client:
                async for _ in client.pull_model(MODEL):
                    pass

    async with anyio.create_task_group() as group:
        group.start_soon(pull)
        await simulator.until(lambda: simulator.in_flight["/api/pull"] == 1)
        yield
