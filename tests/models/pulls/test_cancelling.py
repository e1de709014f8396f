"""Pulls that are cancelled, or closed by the end of the server."""

import logging
from dataclasses import replace
from typing import Any

import anyio
import pytest

from mcp_ollama.simulator import (
    Fault,
    HeadWindow,
    RunningSimulator,
    Silence,
    Simulator,
    Stall,
    registry_error,
)
from tests.conftest import Connect
from tests.support.downloads import BUSY, MODEL
from tests.support.pulls import (
    DOWNLOADING,
    LATE,
    another_program_pulling,
    assert_there,
    until_progress,
)


@pytest.mark.parametrize(
    ("fault", "while_it"),
    [
        (Silence(at="manifest"), "manifest"),
        (Stall(at=0.5), DOWNLOADING),
        (Silence(at="verifying"), "verifying"),
        (registry_error(500), "retrying"),
    ],
)
async def test_a_pull_can_be_cancelled_at_any_time(
    simulator: Simulator, connect: Connect, fault: Fault, while_it: str
) -> None:
    simulator.faults.add(MODEL, fault)
    # A cancel does not wait for the end of a pause.
    async with connect(stall_seconds=600, timeouts=replace(BUSY, retry=600)) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await until_progress(host, while_it)
        cancelled = await host("cancel_pull", model=MODEL)
        assert cancelled["state"] == "cancelled"
        await simulator.until(lambda: simulator.in_flight["/api/pull"] == 0)
        simulator.faults.clear()
        assert_there(simulator, await host("pull_model", model=MODEL))


async def test_a_cancel_waits_while_leaving_would_crash_ollama(
    simulator: Simulator, running: RunningSimulator, connect: Connect
) -> None:
    window = simulator.faults.add(MODEL, HeadWindow(), times=1)
    async with (
        connect(stall_seconds=LATE, timeouts=BUSY) as host,
        another_program_pulling(simulator, running.base_url),
        anyio.create_task_group() as group,
    ):
        await simulator.until(lambda: window.struck == 1)
        await until_progress(host, DOWNLOADING)
        cancelled: list[dict[str, Any]] = []

        async def cancel() -> None:
            cancelled.append(await host("cancel_pull", model=MODEL))

        async with anyio.create_task_group() as watching:
            watching.start_soon(until_progress, host, "cancelling")
            await until_progress(host, DOWNLOADING)
            group.start_soon(cancel)
        # One that is being cancelled is over for those who want the model: they get a pull of their own.
        again = await host("pull_model", model=MODEL, wait_seconds=0)
        assert (again["state"], again["queue_position"]) == ("queued", 1)
        assert not cancelled
        window.release()
        assert_there(simulator, await host("pull_model", model=MODEL))
        assert [one["state"] for one in cancelled] == ["cancelled"]
        assert not simulator.crashed


@pytest.mark.parametrize("asked", ["cancel", "none"])
async def test_a_size_that_never_comes_is_waited_for_in_vain_and_logged(
    simulator: Simulator, running: RunningSimulator, connect: Connect, caplog: pytest.LogCaptureFixture, asked: str
) -> None:
    window = simulator.faults.add(MODEL, HeadWindow())
    async with (
        connect(stall_seconds=1, timeouts=replace(BUSY, undecided=0.5)) as host,
        another_program_pulling(simulator, running.base_url),
    ):
        await simulator.until(lambda: window.struck == 1)
        await until_progress(host, DOWNLOADING)
        if asked == "cancel":
            await host("cancel_pull", model=MODEL)
        await simulator.until(lambda: bool(simulator.crashed))
    assert "Closing the pull of llama3.2:1b before Ollama knew the size of its layer." in caplog.text


async def test_end_of_the_server_closes_pulls_and_logs_which_to_call_again(
    simulator: Simulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    with anyio.fail_after(8):
        async with connect() as host:
            await host("pull_model", model=MODEL, wait_seconds=0)
            await host("pull_model", model="other", wait_seconds=0)
            await simulator.until(lambda: half.struck == 1)
    await simulator.until(lambda: simulator.in_flight["/api/pull"] == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "The pull of llama3.2:1b stops with this server; call pull_model again to go on where it stopped.",
        "The pull of other:latest stops with this server; call pull_model again to go on where it stopped.",
    ]
    async with connect() as host:
        assert (await host("list_pulls"))["transfers"] == []
        assert_there(simulator, await host("pull_model", model=MODEL))


async def test_the_end_of_the_server_waits_a_second_at_most(
    simulator: Simulator, running: RunningSimulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    window = simulator.faults.add(MODEL, HeadWindow())
    async with another_program_pulling(simulator, running.base_url):
        await simulator.until(lambda: window.struck == 1)
        async with connect(stall_seconds=600, timeouts=BUSY) as host:
            await until_progress(host, DOWNLOADING)
            began = anyio.current_time()
        assert 0.9 < anyio.current_time() - began < 5
        await simulator.until(lambda: bool(simulator.crashed))
    assert "before Ollama knew the size of its layer" in caplog.text
