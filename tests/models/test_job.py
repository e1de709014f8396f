"""One job: what its progress lines become, and how it waits between attempts."""

from collections.abc import AsyncGenerator

import anyio
import anyio.lowlevel
import pytest

from mcp_ollama.models.job import MAX_LINE, Job
from mcp_ollama.models.transfer_times import TransferTimes
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Layer, Manifest, Progress

ONE = ModelName.parse("one")


async def lines_of(*progress: Progress) -> AsyncGenerator[Progress]:
    for one in progress:
        yield one


async def alive() -> bool:
    return True


async def test_the_words_of_a_server_are_cut_and_cleaned() -> None:
    job = Job("pull", ModelName.parse("n" * 80 + ":" + "t" * 80))
    await job.attempt(lines_of(Progress(status="pulling\x1b[31m\n" + "x" * 5000)), alive)
    assert len(job.status) == 200
    assert job.status.startswith("pulling")
    await job.pause(0, OllamaError("The connection broke. " * 20))
    assert job.state == "retrying"
    assert len(job.line()) == MAX_LINE
    assert job.line().endswith("…")


async def test_states_follow_the_lines() -> None:
    job = Job("push", ONE)
    seen: list[str] = []

    async def lines() -> AsyncGenerator[Progress]:
        yield Progress(status="retrieving manifest")
        for progress in (
            Progress(status="pushing abc", digest="sha256:abc", total=10, completed=5),
            Progress(status="pushing manifest"),
            Progress(status="success"),
        ):
            seen.append(job.state)
            yield progress
        seen.append(job.state)

    await job.attempt(lines(), alive)
    assert seen == ["manifest", "uploading", "writing", "writing"]


async def test_a_push_is_waited_for_while_the_registry_makes_a_blob_of_it() -> None:
    job = Job("push", ONE, times=TransferTimes(stall=0.02))
    asked: list[str] = []

    async def answer() -> bool:
        asked.append(job.state)
        return True

    async def lines() -> AsyncGenerator[Progress]:
        while len(asked) < 3:
            yield Progress(status="pushing abc", digest="sha256:abc", total=10, completed=10)
            await anyio.lowlevel.checkpoint()
        yield Progress(status="success")

    with anyio.fail_after(10):
        await job.attempt(lines(), answer)
    assert asked == ["verifying"] * 3


async def test_what_was_there_before_is_no_progress() -> None:
    job = Job("pull", ONE)
    layer = Layer(digest=f"sha256:{1:064x}", size=1000)
    job.meter.set_manifest(Manifest(config=layer, layers=[]), {layer.digest})
    await job.attempt(lines_of(Progress(status="pulling manifest"), Progress(status="success")), alive)
    assert (job.meter.completed_bytes, job.max_completed_bytes) == (1000, 0)


async def test_a_new_attempt_says_nothing_of_the_last_one() -> None:
    job = Job("pull", ONE)
    reported: list[str] = []

    async def refused() -> AsyncGenerator[Progress]:
        reported.append(job.status)
        raise OllamaError("Unreachable.")
        yield Progress()

    for _ in range(2):
        with pytest.raises(OllamaError, match="Unreachable"):
            await job.attempt(refused(), alive)
        await job.pause(0, OllamaError("Unreachable."))
    assert reported == ["connecting", "connecting"]
    assert job.status == "Unreachable."


async def test_after_a_reconnect_the_tensors_that_are_there_still_count() -> None:
    job = Job("pull", ONE)
    for total, completed in ((100, 60), (40, 10)):
        await job.attempt(lines_of(Progress(digest="sha256:model", total=total, completed=completed)), alive)
    assert (job.meter.completed_bytes, job.meter.total_bytes, job.max_completed_bytes) == (70, 100, 70)


async def test_a_plan_that_comes_late_or_after_the_last_layer_changes_no_truth() -> None:
    first, second, config = (f"sha256:{letter * 64}" for letter in "abc")
    layers = [{"digest": first, "size": 80}, {"digest": second, "size": 15}]
    manifest = Manifest.model_validate({"config": {"digest": config, "size": 5}, "layers": layers})
    unsized = Job("pull", ONE)
    await unsized.attempt(lines_of(Progress(digest=first)), alive)
    unsized.meter.set_manifest(manifest, set())
    assert (unsized.meter.completed_bytes, unsized.meter.total_bytes) == (0, 100)
    hashing = Job("pull", ONE)
    await hashing.attempt(
        lines_of(Progress(digest=first, total=80, completed=79), Progress(status="verifying sha256 digest")), alive
    )
    hashing.meter.set_manifest(manifest, set())
    assert (hashing.meter.completed_bytes, hashing.meter.total_bytes, hashing.meter.percent) == (100, 100, 100)
