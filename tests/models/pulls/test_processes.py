"""Real processes that share an Ollama server and a state folder, and die in the middle of a download."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from mcp.types import ElicitRequestParams, ElicitResult

from mcp_ollama.simulator import RunningSimulator, Simulator, Stall
from mcp_ollama.simulator.faults import Armed
from tests.conftest import QUICK, Connect
from tests.support.children import Child, child, until
from tests.support.client import Host, built
from tests.support.downloads import MODEL, SIZE

APP = """
from mcp_ollama.models.app import open_app
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry
settings = OllamaSettings(base_url={base_url!r}, state_dir=str(FOLDER), **{options!r})
registry = Registry((), {{"registry.ollama.ai": {base_url!r}}})
async with open_app(settings, registry) as app:
{body}
"""
PULL = """
jobs = [await app.transfers.start("pull", ModelName.for_pull(name)) for name in {names!r}]
say("written")
for job in jobs:
    await job.finished.wait()
    say(job.state)
"""
WAIT_FOR_RESUMED = """
for job in app.transfers.open_jobs():
    await job.finished.wait()
    say(job.name.short, job.state)
"""


def program(running: RunningSimulator, body: str, **options: object) -> str:
    """Return the code of a process that opens the application on the simulator and runs the body."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return APP.format(base_url=running.base_url, options=options, body=lines)


def pulling(running: RunningSimulator, *names: str) -> str:
    return program(running, PULL.format(names=names))


class Maxima(Counter[str]):
    """A counter that keeps the largest value of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = Counter[str]()

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        self.largest[key] = max(self.largest[key], value)


async def line(process: Child) -> str:
    return await anyio.to_thread.run_sync(process.line)


@asynccontextmanager
async def half_pulled(running: RunningSimulator, folder: Path) -> AsyncGenerator[tuple[Child, Armed]]:
    """Start a process that pulls half of the model, until the stall is released."""
    half = running.simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    with child(folder, pulling(running, MODEL)) as process:
        assert await line(process) == "written"
        await running.simulator.until(lambda: half.struck == 1)
        yield process, half


async def kill_half_pulled(running: RunningSimulator, folder: Path) -> None:
    """Leave the pull of a process behind that was killed in the middle of it."""
    async with half_pulled(running, folder) as (process, _):
        process.kill()
    await running.simulator.until(lambda: running.simulator.in_flight["/api/pull"] == 0)


def install_older(simulator: Simulator) -> None:
    """Install an older version of the model that is pulled, and another model."""
    simulator.install(MODEL, weights="older")
    simulator.install("other", weights="other")
    simulator.registry.publish(MODEL, size_bytes=SIZE)


async def test_killed_pull_is_listed_as_interrupted_and_resumes(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await kill_half_pulled(running, tmp_path)
    async with connect(state_dir=str(tmp_path)) as host:
        (listed,) = (await host("list_pulls"))["transfers"]
        assert (listed["model"], listed["state"]) == (MODEL, "interrupted")
        assert listed["next_step"] == "Call pull_model with the same model to resume it; cancel_pull forgets it."
        assert "owner" not in listed
        assert await host.refusal("load_model", model=MODEL) == (
            f"The model {MODEL} is not installed. Its pull was interrupted. "
            "Call pull_model with the same model to resume it."
        )
        assert (await host("pull_model", model=MODEL))["state"] == "done"
        assert [one["state"] for one in (await host("list_pulls"))["transfers"]] == ["done"]
    assert simulator.registry.bytes_served.total() == simulator.model(MODEL).manifest.size
    async with connect(state_dir=str(tmp_path)) as host:
        assert (await host("list_pulls"))["transfers"] == []


async def test_killed_pull_is_resumed_at_the_next_start(
    simulator: Simulator, running: RunningSimulator, tmp_path: Path
) -> None:
    await kill_half_pulled(running, tmp_path)
    with child(tmp_path, program(running, WAIT_FOR_RESUMED, resume=True)) as second:
        assert await line(second) == f"{MODEL} done"
        assert second.end() == 0
    assert simulator.registry.bytes_served.total() == simulator.model(MODEL).manifest.size


async def test_two_processes_pull_ten_models_one_at_a_time(
    simulator: Simulator, running: RunningSimulator, tmp_path: Path
) -> None:
    names = [f"model{number}:latest" for number in range(10)]
    for name in names:
        simulator.registry.publish(name, size_bytes=3_000_000, weights=name)
    simulator.in_flight = most = Maxima()
    with child(tmp_path, pulling(running, *names[:5])) as one, child(tmp_path, pulling(running, *names[5:])) as other:
        for process in (one, other):
            assert [await line(process) for _ in range(6)] == ["written", *["done"] * 5]
    assert all(map(simulator.is_installed, names))
    assert most.largest["/api/pull"] == 1


async def test_killed_owner_frees_the_turn_at_once(
    simulator: Simulator, running: RunningSimulator, tmp_path: Path
) -> None:
    simulator.registry.publish("small", size_bytes=1_000)
    async with half_pulled(running, tmp_path) as (owner, _):
        with child(tmp_path, pulling(running, "small")) as waiting:
            assert await line(waiting) == "written"
            await until(lambda: list(tmp_path.glob("turns/*/*.ticket")))
            assert not simulator.is_installed("small")
            owner.kill()
            with anyio.fail_after(10):
                assert await line(waiting) == "done"


async def test_pull_queued_behind_a_killed_one_leaves_nothing_interrupted(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    async with half_pulled(running, tmp_path) as (owner, _), connect(state_dir=str(tmp_path)) as host:
        assert (await host("pull_model", model=MODEL, wait_seconds=0))["state"] == "queued"
        owner.kill()
        assert (await host("pull_model", model=MODEL))["state"] == "done"
    async with connect(state_dir=str(tmp_path)) as host:
        assert (await host("list_pulls"))["transfers"] == []


async def test_pull_of_other_process_is_listed_and_not_cancelled(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    async with half_pulled(running, tmp_path) as (other, half), connect(state_dir=str(tmp_path)) as host:
        (listed,) = (await host("list_pulls"))["transfers"]
        assert (listed["model"], listed["owner"]) == (MODEL, "another process")
        for named in ({"model": MODEL}, {}):
            assert await host.refusal("cancel_pull", **named) == (
                "The pull of llama3.2:1b belongs to another process of this user. "
                "Cancel it in the client that started it."
            )
        assert "is not installed. It is being pulled. Call" in await host.refusal("show_model", model=MODEL)
        own = await host("pull_model", model=MODEL, wait_seconds=1)
        assert (own["state"], own["status"]) == ("queued", "waiting for another process")
        half.release()
        assert await line(other) == "done"
        assert (await host("pull_model", model=MODEL))["state"] == "done"
        assert [one.get("owner") for one in (await host("list_pulls"))["transfers"]] == [None]
    assert simulator.registry.bytes_served.total() == simulator.model(MODEL).manifest.size


CHANGES: dict[str, dict[str, Any]] = {
    "delete_model": {"model": MODEL},
    "copy_model": {"source": "other", "destination": MODEL, "overwrite": True},
    "create_model": {"model": MODEL, "from_model": "other", "overwrite": True},
}
PULLED_ELSEWHERE = (
    f"{MODEL} is being pulled by another process of this user. "
    "Cancel that in the client that started it, or let it end."
)


@pytest.mark.parametrize("tool", CHANGES)
async def test_model_that_another_process_pulls_is_not_replaced(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path, tool: str
) -> None:
    install_older(simulator)
    async with (
        half_pulled(running, tmp_path) as (other, half),
        connect(state_dir=str(tmp_path), confirm_delete=False) as host,
    ):
        assert await host.refusal(tool, **CHANGES[tool]) == PULLED_ELSEWHERE
        planned = [one["name"] for one in (await host("plan_cleanup"))["models"]]
        assert planned == ["other:latest"]
        half.release()
        # Its row in the journal is deleted a moment after the end of the pull.
        assert (await line(other), other.end()) == ("done", 0)
        await host(tool, **CHANGES[tool])


@pytest.mark.parametrize("tool", CHANGES)
async def test_model_pulled_elsewhere_during_the_question_is_kept(
    simulator: Simulator, running: RunningSimulator, tmp_path: Path, tool: str
) -> None:
    install_older(simulator)

    async with AsyncExitStack() as stack:

        async def agree_late(context: object, params: ElicitRequestParams) -> ElicitResult:
            await stack.enter_async_context(half_pulled(running, tmp_path))
            return ElicitResult(action="accept", content={"confirm": True})

        server = built(QUICK, state_dir=str(tmp_path))
        async with Client(server, elicitation_callback=agree_late) as client:
            assert await Host(client).refusal(tool, **CHANGES[tool]) == PULLED_ELSEWHERE
    assert not any(map(simulator.asked, ("/api/delete", "/api/copy", "/api/create")))


async def test_only_interrupted_pull_is_forgotten_without_its_name(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await kill_half_pulled(running, tmp_path)
    async with connect(state_dir=str(tmp_path)) as host:
        cancelled = await host("cancel_pull")
        assert (cancelled["model"], cancelled["state"]) == (MODEL, "cancelled")
        assert (await host("list_pulls"))["transfers"] == []
        assert await host.refusal("cancel_pull") == "No pull is in progress. See list_pulls."
