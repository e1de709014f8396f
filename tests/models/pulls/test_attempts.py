"""Faults that a pull survives: it ends with the model present, and no byte comes twice."""

from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mcp_ollama.simulator import (
    Drop,
    Fault,
    Rewind,
    RunningSimulator,
    Silence,
    Simulator,
    Stall,
    registry_error,
)
from tests.conftest import Connect
from tests.support.downloads import BUSY, LASTING, MODEL, SIZE
from tests.support.pulls import (
    LATE,
    SOON,
    assert_rising,
    assert_there,
    in_background,
    pulls_asked,
    served,
    size_of,
    until_progress,
)


@pytest.mark.parametrize("at", [0.0, 0.5, 0.99, "verifying", "manifest", "writing"])
async def test_a_cut_connection_is_resumed_where_it_was(simulator: Simulator, connect: Connect, at: Any) -> None:
    simulator.faults.add(MODEL, Drop(at=at), times=1)
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)
    assert transfer["attempts"] == pulls_asked(simulator) == 2
    assert_rising(host)
    assert host.reported[-1][:2] == (size_of(simulator), size_of(simulator))


@pytest.mark.parametrize("fault", [Stall(at=0.5), Silence(at=0.5), Silence(at="manifest")])
async def test_a_stall_is_given_up_and_resumed(simulator: Simulator, connect: Connect, fault: Fault) -> None:
    simulator.faults.add(MODEL, fault, times=1)
    async with connect(stall_seconds=SOON, timeouts=BUSY) as host:
        transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)
    assert transfer["attempts"] >= 2
    said = [line for _, _, line in host.reported if "retrying" in line]
    assert all("came for 0.25 s." in line for line in said)
    assert_rising(host)


@pytest.mark.parametrize("fault", [Stall(at=0.5), Silence(at="manifest")])
async def test_an_endless_stall_ends_in_a_plain_error(simulator: Simulator, connect: Connect, fault: Fault) -> None:
    simulator.faults.add(MODEL, fault)
    async with connect(stall_seconds=0.1) as host:
        refusal = await host.refusal("pull_model", model=MODEL)
        assert (await host("list_pulls"))["transfers"][0]["attempts"] >= 5
    assert "came for 0.1 s. Check the internet access of the machine of the Ollama server" in refusal
    assert served(simulator) <= SIZE


async def test_silent_hashing_is_waited_for_while_the_server_lives(simulator: Simulator, connect: Connect) -> None:
    hashing = simulator.faults.add(MODEL, Silence(at="verifying"))
    async with connect(stall_seconds=SOON) as host:

        async def release() -> None:
            await simulator.until(lambda: len(simulator.asked("/api/version")) >= 2)
            hashing.release()

        async with in_background(release):
            transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)
    assert transfer["attempts"] == 1


async def test_hashing_on_a_dead_server_is_a_stall(simulator: Simulator, connect: Connect) -> None:
    simulator.faults.add(MODEL, Silence(at="verifying"), times=1)
    simulator.delay("/api/version", 5)
    async with connect(stall_seconds=SOON, timeouts=replace(BUSY, quiet=0.05)) as host:

        async def recover() -> None:
            await until_progress(host, "no answer since")
            simulator.delay("/api/version", 0)

        async with in_background(recover):
            transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)
    assert transfer["attempts"] == 2


@pytest.mark.parametrize("keep", [1.0, 0.6])
async def test_a_pull_survives_a_restart_of_ollama(
    simulator: Simulator, running: RunningSimulator, connect: Connect, keep: float
) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    async with connect(stall_seconds=LATE, timeouts=LASTING) as host:

        async def restart() -> None:
            await simulator.until(lambda: half.struck == 1)
            await anyio.to_thread.run_sync(lambda: running.stop(keep=keep))
            await until_progress(host, "retrying")
            await anyio.to_thread.run_sync(running.start)

        async with in_background(restart):
            transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["percent"]) == ("done", 100)
    lost = served(simulator) - size_of(simulator)
    assert lost == 0 if keep == 1 else 0 < lost <= SIZE * 0.21
    assert transfer["attempts"] >= 2
    assert_rising(host)


async def test_numbers_that_fall_back_are_not_reported(simulator: Simulator, connect: Connect) -> None:
    simulator.faults.add(MODEL, Rewind(at=0.6, keep=0.3), times=1)
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["attempts"]) == ("done", 1)
    assert_rising(host)


async def test_a_registry_that_stumbles_is_asked_again(simulator: Simulator, connect: Connect) -> None:
    simulator.faults.add(MODEL, registry_error(500, "oops"), times=2)
    async with connect(stall_seconds=SOON, timeouts=BUSY) as host:
        transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)
    assert transfer["attempts"] >= 3


async def test_a_server_that_refuses_with_500_is_asked_again(simulator: Simulator, connect: Connect) -> None:
    simulator.respond("/api/pull", status=500, body='{"error":"busy"}')
    async with connect(stall_seconds=LATE, timeouts=LASTING) as host:

        async def recover() -> None:
            await until_progress(host, "retrying")
            simulator.restore("/api/pull")

        async with in_background(recover):
            transfer = await host("pull_model", model=MODEL)
    assert_there(simulator, transfer)


async def test_a_safetensors_pull_is_resumed_with_true_numbers(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish(MODEL, size_bytes=SIZE, safetensors=True, tensor_count=10)
    simulator.faults.add(MODEL, Drop(at=0.55), times=1)
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["percent"], transfer["attempts"]) == ("done", 100, 2)
    assert transfer["completed_bytes"] == transfer["total_bytes"] == size_of(simulator)
    # Ollama keeps the tensors that are complete, and restarts small ones.
    assert 0 <= served(simulator) - size_of(simulator) < SIZE / 10
    assert_rising(host)
