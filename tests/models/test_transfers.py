"""The jobs themselves: the line they wait in, what is remembered of them, and what a bug does to them."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from mcp_ollama.models.attempts import Attempts
from mcp_ollama.models.blobs import MAX_LOOKUPS
from mcp_ollama.models.events import Change, Changes
from mcp_ollama.models.job import Job
from mcp_ollama.models.persistence.journal import Journal
from mcp_ollama.models.transfer_times import TransferTimes
from mcp_ollama.models.transfers import KEPT, MAX_OPEN, Transfers
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Layer, Manifest, Progress
from mcp_ollama.simulator import Fail, RunningSimulator, Simulator, Stall
from mcp_ollama.sources.registry import Registry

ONE, OTHER = ModelName.parse("one"), ModelName.parse("other")


@asynccontextmanager
async def working(
    base_url: str, registry: Registry | None = None, *, kept_seconds: float = 3600
) -> AsyncGenerator[Transfers]:
    """Work on transfers with a server."""
    known = registry or Registry((), {"registry.ollama.ai": base_url})
    async with OllamaClient(base_url) as ollama:
        attempts = Attempts(ollama, known, times=TransferTimes(stall=0.1, retry=0.002))
        transfers = Transfers(attempts, kept_seconds=kept_seconds)
        with anyio.fail_after(20):
            async with transfers.running():
                yield transfers
        await known.aclose()


def idle() -> Transfers:
    """Transfers without a worker."""
    return Transfers(Attempts(OllamaClient("http://127.0.0.1:1"), Registry(())))


async def test_all_spellings_of_a_name_are_one_pull() -> None:
    transfers = idle()
    first = await transfers.start("pull", ModelName.parse("llama3.2"))
    for spelling in ("llama3.2:latest", "library/LLAMA3.2", "registry.ollama.ai/library/llama3.2:latest"):
        assert await transfers.start("pull", ModelName.parse(spelling)) is first
    assert await transfers.start("push", ModelName.parse("llama3.2")) is not first


async def test_queued_transfers_know_their_position_and_move_up() -> None:
    transfers = idle()
    jobs = [await transfers.start("pull", ModelName.parse(f"m{number}")) for number in range(3)]
    assert [transfers.place(job) for job in jobs] == [1, 2, 3]
    assert jobs[2].line(3) == "m2:latest queued, number 3 in the queue"
    jobs[0].cancel()
    assert jobs[0].state == "cancelled"
    assert [transfers.place(job) for job in jobs] == [None, 1, 2]
    assert [one.queue_position for one in transfers.snapshots()] == [1, 2, None]


async def test_queue_is_limited() -> None:
    transfers = idle()
    for number in range(MAX_OPEN):
        await transfers.start("pull", ModelName.parse(f"m{number}"))
    with pytest.raises(OllamaError, match=r"100 transfers are waiting already. Wait for some to end, or stop some"):
        await transfers.start("pull", ONE)
    assert (await transfers.start("pull", ModelName.parse("m7"))).state == "queued"


async def test_only_the_newest_ended_transfers_are_remembered() -> None:
    transfers = idle()
    for number in range(KEPT + 10):
        (await transfers.start("pull", ModelName.parse(f"m{number}"))).cancel()
    listed = [one.model for one in transfers.snapshots()]
    assert listed == [f"m{number}:latest" for number in reversed(range(10, KEPT + 10))]
    assert transfers.find("pull", ModelName.parse("m0")) is None


async def test_an_ended_transfer_is_forgotten_in_time(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.registry.publish("one", size_bytes=1000)
    async with working(running.base_url, kept_seconds=0) as transfers:
        job = await transfers.start("pull", ONE)
        await job.finished.wait()
        assert job.state == "done"
        assert transfers.snapshots() == []


async def test_a_new_pull_takes_the_place_of_the_ended_one() -> None:
    transfers = idle()
    (await transfers.start("pull", ONE)).cancel()
    (await transfers.start("pull", OTHER)).cancel()
    again = await transfers.start("pull", ONE)
    assert [(one.model, one.state) for one in transfers.snapshots()] == [
        ("one:latest", "queued"),
        ("other:latest", "cancelled"),
    ]
    assert transfers.find("pull", ONE) is again


async def test_a_cancelled_transfer_stays_as_it_ended() -> None:
    job = await idle().start("pull", ONE)
    job.finish("done", "success")
    job.cancel()
    assert (job.state, job.status) == ("done", "success")


async def test_transfers_of_two_servers_share_nothing(running: RunningSimulator) -> None:
    async with working(running.base_url) as one, working(running.base_url) as other:
        await (await one.start("pull", ONE)).finished.wait()
        assert other.snapshots() == []


async def test_one_pull_runs_at_a_time_and_the_next_begins_as_it_ends(
    simulator: Simulator, running: RunningSimulator
) -> None:
    for name in ("one", "other"):
        simulator.registry.publish(name, size_bytes=1_000_000, weights=name)
    held = simulator.faults.add("one", Stall(at=0.5), times=1)
    async with working(running.base_url) as transfers:
        first = await transfers.start("pull", ONE)
        second = await transfers.start("pull", OTHER)
        await simulator.until(lambda: held.struck == 1)
        assert second.state == "queued"
        assert simulator.in_flight["/api/pull"] <= 1
        held.release()
        await first.finished.wait()
        await second.finished.wait()
    assert (first.state, second.state) == ("done", "done")
    blobs = {blob.digest: blob.size for name in ("one", "other") for blob in simulator.model(name).manifest.blobs}
    assert simulator.registry.bytes_served.total() == sum(blobs.values())


class _BrokenRegistry(Registry):
    async def get_manifest(self, name: ModelName, *, insecure: bool = False) -> Manifest:
        raise RuntimeError("a bug")


class _LateRegistry(Registry):
    """Answers in the moment in which a transfer ends."""

    end: anyio.Event

    async def get_manifest(self, name: ModelName, *, insecure: bool = False) -> Manifest:
        with anyio.CancelScope(shield=True):
            await self.end.wait()
        # Too many to look up which of them are there.
        layers = [Layer(digest=f"sha256:{number:064x}", size=1000) for number in range(MAX_LOOKUPS + 1)]
        return Manifest(config=layers[0], layers=layers)


class _BrokenClient(OllamaClient):
    async def _broken(self) -> AsyncGenerator[Progress]:
        yield Progress(status="pulling manifest")
        raise RuntimeError("a bug")

    def pull_model(
        self, model_name: ModelName | str, stream: bool = True, *, insecure: bool = False
    ) -> AsyncGenerator[Progress]:
        return self._broken() if str(model_name) == "one:latest" else super().pull_model(model_name, insecure=insecure)


async def test_a_bug_in_asking_for_the_size_does_not_end_the_pull(
    simulator: Simulator, running: RunningSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = simulator.registry.publish("one", size_bytes=1_000_000)
    async with working(running.base_url, _BrokenRegistry(())) as transfers:
        job = await transfers.start("pull", ONE)
        await job.finished.wait()
    assert job.state == "done"
    assert job.meter.completed_bytes == job.meter.total_bytes == manifest.size
    assert "Asking for the size of one:latest ended in a bug" in caplog.text


async def test_what_comes_in_after_the_end_of_a_pull_changes_nothing_of_it(
    simulator: Simulator, running: RunningSimulator
) -> None:
    simulator.faults.add("*", Fail(text="pull model manifest: 412: newer version"))
    registry = _LateRegistry(())
    async with working(running.base_url, registry) as transfers:
        job = await transfers.start("pull", ONE)
        registry.end = job.finished
        await job.finished.wait()
        ended = job.snapshot()
        # The next in line begins when nothing of the first is left.
        await (await transfers.start("pull", OTHER)).finished.wait()
    assert (ended.state, ended.total_bytes) == ("failed", None)
    assert job.snapshot() == ended


async def test_a_bug_in_one_pull_ends_neither_the_others_nor_the_server(
    simulator: Simulator, running: RunningSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.registry.publish("other", size_bytes=1000)
    async with _BrokenClient(running.base_url) as ollama:
        transfers = Transfers(Attempts(ollama, _BrokenRegistry(())))
        with anyio.fail_after(20):
            async with transfers.running():
                broken, sound = await transfers.start("pull", ONE), await transfers.start("pull", OTHER)
                await sound.finished.wait()
    assert (broken.state, sound.state) == ("failed", "done")
    reported = transfers.snapshot(broken)
    assert (reported.error, reported.next_step) == (
        "An internal error ended the pull of one:latest.",
        "The log of this server says more.",
    )
    assert "Bug in the pull of one:latest" in caplog.text


async def test_a_bug_in_announcing_the_end_of_a_pull_leaves_it_as_it_ended(
    simulator: Simulator, running: RunningSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.registry.publish("one", size_bytes=1000)
    simulator.registry.publish("other", size_bytes=1000)

    async def publish(_: Change) -> None:
        raise RuntimeError("a bug")

    changes = Changes(publish)
    async with OllamaClient(running.base_url) as ollama:
        transfers = Transfers(Attempts(ollama, Registry(())), changed=changes.transfer_changed)
        with anyio.fail_after(20):
            async with transfers.running():
                jobs = [await transfers.start("pull", ONE), await transfers.start("pull", OTHER)]
                await jobs[1].finished.wait()
        await changes.running_changed(["one:latest"])
    assert [job.state for job in jobs] == ["done", "done"]
    assert "Could not send a change notification" in caplog.text


async def test_every_transfer_is_announced_when_it_begins_and_ends(
    simulator: Simulator, running: RunningSimulator
) -> None:
    simulator.registry.publish("one", size_bytes=9_000_000)
    held = simulator.faults.add("one", Stall(at=0.5))
    reported: list[tuple[str, str]] = []
    complete = anyio.Event()

    async def changed(job: Job) -> None:
        reported.append((job.name.model, job.state if job.finished.is_set() else "in progress"))
        if len(reported) == 4:
            complete.set()

    async with OllamaClient(running.base_url) as ollama:
        transfers = Transfers(Attempts(ollama, Registry(())), changed=changed)
        with anyio.fail_after(20):
            async with transfers.running():
                await transfers.start("pull", ONE)
                await simulator.until(lambda: held.struck == 1)
                await transfers.start("pull", OTHER)
                await simulator.until(lambda: len(reported) == 2)
                (await transfers.start("pull", OTHER)).cancel()
                await simulator.until(lambda: len(reported) == 3)
                held.release()
                await complete.wait()
    assert reported == [("one", "in progress"), ("other", "in progress"), ("other", "cancelled"), ("one", "done")]


async def test_a_model_of_many_layers_is_not_asked_for_layer_by_layer(
    simulator: Simulator, running: RunningSimulator
) -> None:
    manifest = simulator.registry.publish("one", size_bytes=10_000_000, safetensors=True, tensor_count=100)
    async with working(running.base_url) as transfers:
        job = await transfers.start("pull", ONE)
        await job.finished.wait()
    assert (job.state, job.meter.total_bytes, job.meter.percent) == ("done", manifest.size, 100)
    assert not [asked for asked in simulator.requests if asked.path.startswith("/api/blobs/")]


async def test_a_cloud_model_is_not_looked_up_in_the_registry(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.registry.publish("gpt-oss:120b-cloud", remote_host="https://ollama.com", remote_model="gpt-oss:120b")
    async with working(running.base_url) as transfers:
        job = await transfers.start("pull", ModelName.for_pull("gpt-oss:120b-cloud"))
        await job.finished.wait()
    assert job.state == "done", job.error
    assert not [asked for asked in simulator.requests if asked.path.startswith("/v2/")]


@contextmanager
def locked(folder: Path) -> Generator[sqlite3.Connection]:
    """Keep the file of a journal locked, as a slow disk does, until a rollback."""
    with closing(sqlite3.connect(folder / "transfers.sqlite3", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield database


async def test_pull_cancelled_while_it_is_written_down_is_not_started(
    simulator: Simulator, running: RunningSimulator, tmp_path: Path
) -> None:
    simulator.registry.publish("other", size_bytes=1000)
    journal = Journal(tmp_path)
    await journal.end(await journal.begin("pull", "before", server=running.base_url))
    async with OllamaClient(running.base_url) as ollama:
        transfers = Transfers(Attempts(ollama, Registry(()), journal))
        with anyio.fail_after(20):
            async with transfers.running(), anyio.create_task_group() as calls:
                with locked(tmp_path) as database:
                    calls.start_soon(transfers.start, "pull", ONE)
                    await anyio.wait_all_tasks_blocked()
                    job = transfers.find("pull", ONE)
                    assert job
                    assert not job.written.is_set()
                    job.cancel()
                    database.rollback()
                await (await transfers.start("pull", OTHER)).finished.wait()
                assert job.state == "cancelled"
    assert len(simulator.asked("/api/pull")) == 1


async def test_transfer_with_progress_is_waited_for_longer(running: RunningSimulator) -> None:
    attempts = Attempts(OllamaClient(running.base_url), Registry(()))
    job = Job("pull", ONE)
    assert [attempts.pause_before(job, count) for count in range(1, 5)] == [
        1,
        2,
        4,
        8,
    ]
    job.has_bytes = True
    assert [attempts.pause_before(job, count) for count in range(1, 5)] == [
        1,
        5,
        25,
        125,
    ]
