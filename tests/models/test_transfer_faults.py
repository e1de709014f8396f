"""What can go wrong in a pull: each ends with the model present or with one plain error, and no byte comes twice."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mcp_ollama.models.job import MAX_LINE
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.simulator import (
    Drop,
    Fail,
    FakeSuccess,
    Fault,
    HeadWindow,
    Rewind,
    RunningSimulator,
    Send,
    Silence,
    Simulator,
    Stall,
    digest_mismatch,
    no_space,
    registry_error,
)
from tests.conftest import Connect
from tests.support.client import Era, Host
from tests.support.downloads import BUSY, LASTING, MODEL, SIZE, downloadable

SOON = 0.25
"""A stall that a test waits for."""
LATE = 6.0
"""A stall that no busy machine brings about."""


@pytest.fixture
def era() -> Era:
    """The engine knows nothing of protocol eras; tools are tested in both elsewhere."""
    return "auto"


@pytest.fixture
def simulator() -> Simulator:
    return downloadable()


def served(simulator: Simulator) -> int:
    return sum(simulator.registry.bytes_served.values())


def size_of(simulator: Simulator) -> int:
    return sum(layer.size for layer in simulator.model(MODEL).manifest.blobs)


def pulls_asked(simulator: Simulator) -> int:
    return len(simulator.asked("/api/pull"))


def assert_there(simulator: Simulator, transfer: dict[str, Any]) -> None:
    """The model is there, exact numbers were reported, and each byte was fetched once."""
    assert simulator.is_installed(MODEL)
    size = size_of(simulator)
    assert served(simulator) == size
    assert (transfer["state"], transfer["status"]) == ("done", "success")
    assert (transfer["completed_bytes"], transfer["total_bytes"], transfer["percent"]) == (size, size, 100)
    assert "error" not in transfer


def assert_rising(host: Host) -> None:
    told = [progress for progress, _, _ in host.reported]
    assert told == sorted(set(told))
    assert all(len(line) <= MAX_LINE and line.isprintable() for _, _, line in host.reported)


@asynccontextmanager
async def in_background(work: Callable[[], Any]) -> AsyncGenerator[None]:
    """Run work beside the block, to its own end."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        yield


async def until_told(host: Host, *words: str) -> None:
    """Take part in the pull until a line of its progress has one of the words, then leave it."""
    told = anyio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        if any(word in (message or "") for word in words):
            told.set()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(host.client.call_tool, "pull_model", {"model": MODEL}, progress_callback=note))
        await told.wait()
        group.cancel_scope.cancel()


DOWNLOADING = " of 30 MB"


# Recoverable


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
            await until_told(host, "no answer since")
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
            await until_told(host, "retrying")
            await anyio.to_thread.run_sync(running.start)

        async with in_background(restart):
            transfer = await host("pull_model", model=MODEL)
    assert (transfer["state"], transfer["percent"]) == ("done", 100)
    lost = served(simulator) - size_of(simulator)
    assert lost == 0 if keep == 1 else 0 < lost <= SIZE * 0.21
    assert transfer["attempts"] >= 2
    assert_rising(host)


async def test_numbers_that_fall_back_are_never_told(simulator: Simulator, connect: Connect) -> None:
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
            await until_told(host, "retrying")
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


# Permanent

PERMANENT: dict[str, tuple[Fault, str, str]] = {
    "no space": (no_space(), "disk of the Ollama server is full", "Free space there"),
    "digest mismatch": (digest_mismatch(), "does not match its digest", "Call again to download that layer"),
    "401": (registry_error(401, "unauthorized"), "requires authentication", "ollama signin"),
    "403": (registry_error(403, "denied"), "refuses llama3.2:1b to this server", "Check the name"),
    "404": (Fail(text="pull model manifest: file does not exist"), "The registry has no llama3.2:1b", "Check the name"),
    "412": (registry_error(412, "newer version of Ollama"), "needs a newer version of Ollama", "Update Ollama"),
    "429": (registry_error(429, "too many requests"), "refuses further requests for now", "Wait a few minutes"),
    "a garbage line": (
        Send(data=b"<html>oops</html>\n", at=0.5),
        "not Ollama's JSON",
        "no proxy changes its responses",
    ),
    "a line of 20 MB": (Send(data=b"x" * 20_000_000, at=0.5), "more than 8,000,000 bytes", "no proxy changes"),
    "a fake success": (FakeSuccess(), "but the model is not there", "Something between the server and the registry"),
    "an empty model": (FakeSuccess(empty=True), "but the model is empty", "delete the empty model"),
}


@pytest.mark.parametrize("name", PERMANENT)
async def test_what_waiting_cannot_mend_fails_at_once_and_says_what_to_do(
    simulator: Simulator, connect: Connect, name: str
) -> None:
    fault, problem, next_step = PERMANENT[name]
    simulator.faults.add(MODEL, fault)
    async with connect(stall_seconds=LATE) as host:
        result = await host.result("pull_model", model=MODEL)
        assert result.is_error
        assert result.meta is not None
        transfer = result.meta["io.github.mcp-ollama-manager/transfer"]
        assert problem in transfer["error"]
        assert next_step in transfer["next_step"]
        assert (transfer["state"], transfer["attempts"]) == ("failed", 1)
        assert pulls_asked(simulator) == 1
        assert (await host("list_pulls"))["transfers"] == [transfer]


async def test_after_a_failure_the_next_pull_goes_on_where_it_stopped(simulator: Simulator, connect: Connect) -> None:
    simulator.faults.add(MODEL, no_space(at=0.7), times=1)
    async with connect(stall_seconds=LATE) as host:
        await host.refusal("pull_model", model=MODEL)
        assert_there(simulator, await host("pull_model", model=MODEL))


async def test_a_model_whose_spelling_ollama_prefers_is_named(simulator: Simulator, connect: Connect) -> None:
    simulator.install("LLAMA3.2:mine")
    absent = Fail(text="pull model manifest: file does not exist")
    simulator.faults.add(MODEL, absent)
    simulator.faults.add("nosuch:MINE", absent)
    async with connect() as host:
        refusal = await host.refusal("pull_model", model=MODEL)
        assert "Check the name and the tag" in await host.refusal("pull_model", model="nosuch:MINE")
        simulator.respond("/api/tags", status=500)
        assert "Check the name and the tag" in await host.refusal("pull_model", model=MODEL)
        simulator.restore("/api/tags")
        simulator.library.remove(simulator.model("LLAMA3.2:mine"))
        assert "Check the name and the tag" in await host.refusal("pull_model", model=MODEL)
    assert refusal == (
        "The pull of llama3.2:1b failed: Ollama did not find llama3.2:1b, since it asks for it in the case of "
        "LLAMA3.2:mine, which is installed. Give that one another name (copy_model, then delete_model), and call again."
    )


async def test_a_registry_out_of_reach_is_told_after_five_attempts(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.refusing_hosts.add("registry.ollama.ai")
    async with connect(stall_seconds=SOON) as host:
        refusal = await host.refusal("pull_model", model=MODEL)
    assert refusal.startswith("The pull of llama3.2:1b failed: The Ollama server cannot reach the registry: ")
    assert "Check the internet access of the machine of the Ollama server" in refusal
    assert pulls_asked(simulator) == 5


async def test_pull_without_any_server_fails_after_short_outage(connect: Connect, nowhere: str) -> None:
    async with connect(base_url=nowhere, stall_seconds=SOON) as host:
        refusal = await host.refusal("pull_model", model=MODEL)
        assert f"Nothing answers at {nowhere}." in refusal
        assert (await host("list_pulls"))["transfers"][0]["attempts"] == 1


# Cancelling


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
        await until_told(host, while_it)
        cancelled = await host("cancel_pull", model=MODEL)
        assert cancelled["state"] == "cancelled"
        await simulator.until(lambda: simulator.in_flight["/api/pull"] == 0)
        simulator.faults.clear()
        assert_there(simulator, await host("pull_model", model=MODEL))


@asynccontextmanager
async def another_program_pulling(simulator: Simulator, base_url: str) -> AsyncGenerator[None]:
    """Somebody else pulls the model, until the block ends or the pull does."""

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
        await until_told(host, DOWNLOADING)
        cancelled: list[dict[str, Any]] = []

        async def cancel() -> None:
            cancelled.append(await host("cancel_pull", model=MODEL))

        async with anyio.create_task_group() as watching:
            watching.start_soon(until_told, host, "cancelling")
            await until_told(host, DOWNLOADING)
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
        await until_told(host, DOWNLOADING)
        if asked == "cancel":
            await host("cancel_pull", model=MODEL)
        await simulator.until(lambda: bool(simulator.crashed))
    assert "Closing the pull of llama3.2:1b before Ollama knew the size of its layer." in caplog.text


# Many at once, and the end


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


async def test_the_end_of_the_server_closes_the_pull_and_says_which_to_call_again(
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
            await until_told(host, DOWNLOADING)
            began = anyio.current_time()
        assert 0.9 < anyio.current_time() - began < 5
        await simulator.until(lambda: bool(simulator.crashed))
    assert "before Ollama knew the size of its layer" in caplog.text


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


async def test_without_the_registry_no_percentage_is_invented(simulator: Simulator, connect: Connect) -> None:
    simulator.lack("/v2/library/llama3.2/manifests/1b")
    half = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await simulator.until(lambda: half.struck == 1)
        await until_told(host, "15 MB")
        transfer = (await host("list_pulls"))["transfers"][0]
        assert transfer["total_bytes"] <= SIZE
        assert "percent" not in transfer
        assert "eta_seconds" not in transfer
        half.release()
        assert_there(simulator, await host("pull_model", model=MODEL))
