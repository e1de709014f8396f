"""`pull_model`, as a host sees it: it waits, reports, detaches, and never hides a failure."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio import to_thread

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Fail, FakeSuccess, Simulator, Stall, no_space
from tests.conftest import Connect
from tests.support.client import Host, text_of

SMALL = 20_000_000
KEY = "io.github.mcp-ollama-manager"


async def only_transfer(host: Host) -> dict[str, Any]:
    """Read the one download as soon as it has a percentage."""
    while True:
        (transfer,) = (await host("list_pulls"))["transfers"]
        if "percent" in transfer:
            return transfer


def rises(numbers: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


async def test_a_pull_reports_rising_progress_that_ends_at_the_total(simulator: Simulator, connect: Connect) -> None:
    simulator.pace.rate = SMALL
    total = simulator.registry.publish("llama3.2:1b", size_bytes=SMALL).size
    async with connect() as host:
        answer = await host("pull_model", model="llama3.2:1b")
    elapsed = answer.pop("elapsed_seconds")
    assert 0 <= elapsed < 30
    assert answer == {
        "kind": "pull",
        "model": "llama3.2:1b",
        "state": "done",
        "status": "success",
        "completed_bytes": total,
        "total_bytes": total,
        "percent": 100.0,
        "attempts": 1,
    }
    assert simulator.is_installed("llama3.2:1b")
    numbers = [progress for progress, _, _ in host.reported]
    assert len(numbers) > 2
    assert rises(numbers)
    assert host.reported[-1] == (total, total, "llama3.2:1b done")
    assert all(whole in (None, total) for _, whole, _ in host.reported)
    assert all(len(line) < 120 for _, _, line in host.reported)


async def test_a_model_that_is_up_to_date_is_done_at_once(simulator: Simulator, connect: Connect) -> None:
    total = simulator.install("a", size_bytes=SMALL).manifest.size
    async with connect() as host:
        answer = await host("pull_model", model="a")
    assert (answer["state"], answer["completed_bytes"], answer["percent"]) == ("done", total, 100.0)
    assert not simulator.registry.bytes_served


async def test_a_second_caller_waits_for_the_same_download(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    half_way = simulator.faults.add("a", Stall(at=0.5))
    states: list[str] = []

    async def pull(host: Host, name: str) -> None:
        states.append((await host("pull_model", model=name))["state"])

    async with connect() as host, anyio.create_task_group() as group:
        group.start_soon(pull, host, "a")
        await to_thread.run_sync(half_way.wait)
        group.start_soon(pull, host, "library/A:latest")
        assert (await only_transfer(host))["model"] == "a:latest"
        half_way.release()
    assert states == ["done", "done"]
    assert len(simulator.asked("/api/pull")) == 1


@pytest.mark.parametrize(
    ("seconds", "pull_wait"), [(0, 45), (0.05, 45), (None, 0.05)], ids=["at once", "later", "by default"]
)
async def test_a_pull_outlives_the_wait_and_says_how_to_go_on(
    seconds: float | None, pull_wait: float, simulator: Simulator, connect: Connect
) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    half_way = simulator.faults.add("a", Stall(at=0.5))
    async with connect(pull_wait=pull_wait) as host:
        answer = await host("pull_model", model="a", wait_seconds=seconds)
        assert answer["state"] in ("queued", "manifest", "downloading")
        assert answer["next_step"] == (
            "The pull continues by itself. Call pull_model with the same model again to keep waiting; "
            "cancel_pull stops it."
        )
        await to_thread.run_sync(half_way.wait)
        listed = await only_transfer(host)
        assert (listed["state"], "next_step" in listed) == ("downloading", False)
        assert listed["percent"] < 60
        half_way.release()
        assert (await host("pull_model", model="a"))["state"] == "done"
    assert len(simulator.asked("/api/pull")) == 1


async def test_a_call_that_its_host_gives_up_leaves_the_download_running(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    half_way = simulator.faults.add("a", Stall(at=0.5))
    async with connect() as host:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: host("pull_model", model="a"))
            await to_thread.run_sync(half_way.wait)
            group.cancel_scope.cancel()
        half_way.release()
        await simulator.until(lambda: simulator.is_installed("a"))
        answer = await host("pull_model", model="a")
    assert answer["state"] == "done"


async def test_a_silent_download_keeps_its_host_patient(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    half_way = simulator.faults.add("a", Stall(at=0.5))
    async with connect(timeouts=Timeouts(progress_interval=0.01, progress_keepalive=0.02)) as host:
        await host("pull_model", model="a", wait_seconds=0)
        await to_thread.run_sync(half_way.wait)
        host.reported.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(host, "pull_model", model="a"))
            await host.until_reported(5)
            group.cancel_scope.cancel()
        numbers = [progress for progress, _, _ in host.reported]
        await host("cancel_pull", model="a")
    assert rises(numbers)
    assert numbers[-1] - numbers[-2] < 0.01


async def test_a_cancelled_pull_keeps_what_it_has(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    half_way = simulator.faults.add("a", Stall(at=0.5))
    async with connect() as host:
        await host("pull_model", model="a", wait_seconds=0)
        await to_thread.run_sync(half_way.wait)
        answer = await host("cancel_pull", model="A")
        assert answer["state"] == "cancelled"
        assert (await host("cancel_pull", model="a"))["state"] == "cancelled"
        refusal = await host.refusal("cancel_pull", model="b")
        simulator.faults.clear()
        assert (await host("pull_model", model="a"))["state"] == "done"
    assert refusal == "No pull of b:latest is in progress. list_pulls shows what is."
    assert max(simulator.registry.bytes_served.values()) == SMALL


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (None, "The registry has no a:latest."),
        (no_space(), "The disk of the Ollama server is full."),
        (FakeSuccess(), "Ollama says that it pulled a:latest, but the model is not there."),
        (FakeSuccess(empty=True), "Ollama says that it pulled a:latest, but the model is empty."),
        (Fail(text="pull model manifest: 412: this needs a newer version"), "a:latest needs a newer version of Ollama"),
    ],
    ids=["no such model", "disk full", "fake success", "empty model", "too new"],
)
async def test_a_failed_pull_is_an_error_with_the_transfer_beside_it(
    fault: Fail | FakeSuccess | None, problem: str, simulator: Simulator, connect: Connect
) -> None:
    if fault:
        simulator.registry.publish("a", size_bytes=SMALL)
        simulator.faults.add("a", fault)
    async with connect() as host:
        result = await host.result("pull_model", model="a")
        (listed,) = (await host("list_pulls"))["transfers"]
    assert result.is_error
    assert text_of(result).startswith(f"The pull of a:latest failed: {problem}")
    assert result.structured_content is None
    assert result.meta is not None
    transfer = result.meta[f"{KEY}/transfer"]
    assert (transfer["model"], transfer["state"], transfer["attempts"]) == ("a:latest", "failed", 1)
    assert transfer["error"].startswith(problem)
    assert listed == transfer


async def test_failure_without_a_waiter_is_reported_to_the_next_caller(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a", size_bytes=SMALL)
    failing = simulator.faults.add("a", no_space(), times=2)
    async with connect() as host:
        await host("pull_model", model="a", wait_seconds=0)
        await simulator.until(lambda: failing.struck == 1 and not simulator.in_flight["/api/pull"])
        assert "disk of the Ollama server is full" in await host.refusal("pull_model", model="A:latest")
        assert len(simulator.asked("/api/pull")) == 1
        await host("pull_model", model="a", wait_seconds=0)
        await simulator.until(lambda: failing.struck == 2 and not simulator.in_flight["/api/pull"])
        while (await host("list_pulls"))["transfers"][0]["state"] != "failed":
            pass
        assert (await host("pull_model", model="a"))["state"] == "done"
    assert len(simulator.asked("/api/pull")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "evil.example/a/b"}, "registry evil.example, which is not among the allowed ones"),
        ({"model": "registry.ollama.ai:8443/a/b"}, "registry registry.ollama.ai:8443, which is not among"),
        ({"model": "http://evil.example/a/b"}, "registry evil.example, which is not among"),
        ({"model": "a", "insecure": True}, "Plain http to registry.ollama.ai is not allowed."),
        ({"model": "hf.co/a/b", "insecure": True}, "Plain http to hf.co is not allowed."),
    ],
)
async def test_foreign_registry_and_plain_http_are_refused_before_a_request(
    arguments: dict[str, object], said: str, simulator: Simulator, connect: Connect
) -> None:
    async with connect(registries="models.example:5000") as host:
        sentence = await host.refusal("pull_model", **arguments)
        assert (await host("list_pulls"))["transfers"] == []
    assert said in sentence
    assert "MCP_OLLAMA_REGISTRIES" in sentence
    assert not simulator.requests


async def test_an_operator_can_allow_a_registry_that_speaks_plain_http(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("localhost:5999/me/a", size_bytes=SMALL)
    async with connect(registries="localhost:5999") as host:
        answer = await host("pull_model", model="LOCALHOST:5999/me/a", insecure=True)
    assert answer["state"] == "done"
    (asked,) = simulator.asked("/api/pull")
    assert asked.body == {"model": "LOCALHOST:5999/me/a:latest", "insecure": True}
