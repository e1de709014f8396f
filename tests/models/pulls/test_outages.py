"""An Ollama server that is away in the middle of a pull: waited for, and used again at once."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from mcp_ollama.models.attempts import MAX_WITHOUT_PROGRESS
from mcp_ollama.models.job import Job
from mcp_ollama.models.outage import is_answering
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import RunningSimulator, Silence, Simulator, Stall
from tests.conftest import Connect
from tests.support.client import Host
from tests.support.downloads import BUSY, MODEL, SIZE

AWAY = re.compile(r"no answer since \d\d:\d\d:\d\d UTC")


async def half_done(simulator: Simulator, running: RunningSimulator, host: Host, *, keep: float = 1.0) -> None:
    """Start a pull and stop the server in the middle of it."""
    half = simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    await host("pull_model", model=MODEL, wait_seconds=0)
    await simulator.until(lambda: half.struck == 1)
    await anyio.to_thread.run_sync(partial(running.stop, keep=keep))
    await until_away(host)


async def until_listed(host: Host, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until the only transfer fulfils a condition; return it."""
    with anyio.fail_after(20):
        while True:
            (listed,) = (await host("list_pulls"))["transfers"]
            if condition(listed):
                return listed
            # What is waited for happens in other threads: to ask all the time would take their CPU time.
            await anyio.sleep(0.005)


async def until_away(host: Host) -> None:
    await until_listed(host, lambda one: AWAY.fullmatch(one["status"]))


async def test_pull_goes_on_within_3_seconds_of_the_return(
    simulator: Simulator, running: RunningSimulator, connect: Connect
) -> None:
    # The pauses between two questions are those of the product; the short limit is for pulls without any byte.
    async with connect(timeouts=replace(BUSY, outage_poll=2, untouched_outage=0.01)) as host:
        await half_done(simulator, running, host)
        (away,) = (await host("list_pulls"))["transfers"]
        assert (away["state"], away["attempts"]) == ("retrying", 1)
        await anyio.to_thread.run_sync(running.start)
        before = simulator.registry.bytes_served.total()
        with anyio.fail_after(3):
            await simulator.until(lambda: simulator.registry.bytes_served.total() > before)
        assert (await host("pull_model", model=MODEL))["attempts"] == 2


async def test_restart_that_loses_bytes_is_reported_truthfully(
    simulator: Simulator, running: RunningSimulator, connect: Connect
) -> None:
    async with connect(timeouts=BUSY) as host:
        await half_done(simulator, running, host, keep=0.2)
        again = simulator.faults.add(MODEL, Stall(at=0.3), times=1)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(host, "pull_model", model=MODEL))
            await host.until_reported(2)
            await anyio.to_thread.run_sync(running.start)
            await simulator.until(lambda: again.struck == 1)
            now = await until_listed(host, lambda one: one["state"] == "downloading")
            assert now["completed_bytes"] < 0.4 * SIZE < host.reported[-1][0]
            again.release()
    reported = [progress for progress, _, _ in host.reported]
    assert reported == sorted(set(reported))
    assert simulator.is_installed(MODEL)


async def test_pull_outlasts_any_number_of_restarts_that_lose_its_bytes(
    simulator: Simulator, running: RunningSimulator, connect: Connect
) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5), times=MAX_WITHOUT_PROGRESS)
    async with connect(timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        for restarts in range(MAX_WITHOUT_PROGRESS):
            await simulator.until(lambda restarts=restarts: half.struck == restarts + 1)
            await anyio.to_thread.run_sync(partial(running.stop, keep=0))
            await until_away(host)
            await anyio.to_thread.run_sync(running.start)
        assert (await host("pull_model", model=MODEL))["attempts"] == MAX_WITHOUT_PROGRESS + 1


async def test_outage_can_be_cancelled(simulator: Simulator, running: RunningSimulator, connect: Connect) -> None:
    async with connect(timeouts=replace(BUSY, outage_poll=600)) as host:
        await half_done(simulator, running, host)
        assert (await host("cancel_pull", model=MODEL))["state"] == "cancelled"


async def test_job_that_is_being_cancelled_does_not_retry() -> None:
    job = Job("pull", ModelName.parse(MODEL))
    job.state = "downloading"
    job.cancel()
    job.retry("no answer")
    assert (job.state, job.status) == ("cancelling", "waiting for Ollama to release the blob")


async def test_outage_beyond_its_limit_fails(simulator: Simulator, running: RunningSimulator, connect: Connect) -> None:
    async with connect(timeouts=BUSY, outage_seconds=1) as host:
        await half_done(simulator, running, host)
        refusal = await host.refusal("pull_model", model=MODEL)
    assert re.match(
        r"The pull of llama3\.2:1b failed: Nothing has answered at http://\S+ since \d\d:\d\d:\d\d UTC\. Start it ",
        refusal,
    )


async def test_server_that_vanishes_silently_is_noticed_before_the_stall(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.faults.add(MODEL, Silence(at=0.5), times=1)
    simulator.delay("/api/version", 20)
    async with connect(stall_seconds=600, timeouts=replace(BUSY, quiet=0.1)) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await until_away(host)
        simulator.delay("/api/version", 0)
        transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["attempts"]) == ("done", 2)


async def test_quiet_server_that_answers_is_left_in_peace(simulator: Simulator, connect: Connect) -> None:
    quiet = simulator.faults.add(MODEL, Silence(at=0.5), times=1)
    async with connect(stall_seconds=600, timeouts=replace(BUSY, quiet=0.25)) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await simulator.until(lambda: len(simulator.asked("/api/version")) >= 3)
        quiet.release()
        transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["attempts"]) == ("done", 1)


async def test_server_that_answers_anything_is_not_away(simulator: Simulator, running: RunningSimulator) -> None:
    async with OllamaClient(running.base_url) as client:
        assert await is_answering(client, 5)
        simulator.respond("/api/version", status=502)
        assert await is_answering(client, 5)


async def test_server_that_does_not_exist_is_away(nowhere: str) -> None:
    async with OllamaClient(nowhere) as client:
        assert not await is_answering(client, 5)
