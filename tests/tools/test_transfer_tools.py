"""`pull_model`, `push_model`, `list_pulls`, `cancel_pull` and `ollama://pulls`, as a host sees them."""

import json
from functools import partial
from typing import Any

import anyio
import pytest
from mcp.types import TextResourceContents

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Drop, Fail, HubRepository, Silence, Simulator, Stall
from tests.conftest import Connect
from tests.support.client import Host
from tests.support.downloads import BUSY, MODEL, SIZE, downloadable

OWN = "me/mine:latest"


@pytest.fixture
def simulator() -> Simulator:
    return downloadable()


def install_own(simulator: Simulator) -> int:
    """Install a model that the registry does not have; gives its size."""
    manifest = simulator.install(OWN, size_bytes=SIZE, weights="own").manifest
    simulator.registry.withdraw(OWN)
    for layer in manifest.blobs:
        simulator.registry.blobs.pop(layer.digest)
    return manifest.size


# Pulling


async def test_a_pull_reports_bytes_that_rise_to_the_exact_end(simulator: Simulator, connect: Connect) -> None:
    async with connect(timeouts=Timeouts(progress_interval=0.005)) as host:
        transfer = await host("pull_model", model=MODEL)
        reported = list(host.reported)
        await host("list_pulls")
        assert host.reported == reported
    size = simulator.model(MODEL).manifest.size
    steps = [progress for progress, _, _ in reported]
    assert steps == sorted(set(steps))
    assert len(steps) > 3
    assert reported[-1] == (size, size, "llama3.2:1b done")
    assert all(total in (None, size) for _, total, _ in reported)
    assert all(len(line) < 120 for _, _, line in reported)
    elapsed = transfer.pop("elapsed_seconds")
    assert 0 <= elapsed < 20
    assert transfer == {
        "kind": "pull",
        "model": MODEL,
        "state": "done",
        "status": "success",
        "completed_bytes": size,
        "total_bytes": size,
        "percent": 100,
        "attempts": 1,
    }


async def test_progress_comes_four_times_a_second_at_most(simulator: Simulator, connect: Connect) -> None:
    simulator.pace.tick = 0.03
    async with connect(timeouts=Timeouts()) as host:
        began = anyio.current_time()
        await host("pull_model", model=MODEL)
        seconds = anyio.current_time() - began
    assert 2 <= len(host.reported) <= 4 * seconds + 2


async def test_a_silent_pull_still_gives_signs_of_life(simulator: Simulator, connect: Connect) -> None:
    silent = simulator.faults.add(MODEL, Silence(at="manifest"))
    async with connect(timeouts=BUSY) as host, anyio.create_task_group() as group:
        group.start_soon(partial(host, "pull_model", model=MODEL))
        await host.until_reported(4)
        assert silent.struck == 1
        silent.release()


async def test_waiting_ends_when_the_caller_wants_and_says_how_to_go_on(simulator: Simulator, connect: Connect) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect() as host:
        at_once = await host("pull_model", model=MODEL, wait_seconds=0)
        assert at_once["state"] == "manifest"
        await simulator.until(lambda: held.struck == 1)
        later = await host("pull_model", model=MODEL, wait_seconds=0.01)
        assert later["attempts"] == 1
        assert later["next_step"] == (
            "The pull continues by itself. Call pull_model with the same model again to keep waiting; "
            "cancel_pull stops it."
        )
        held.release()
        assert (await host("pull_model", model=MODEL))["state"] == "done"
    assert len(simulator.asked("/api/pull")) == 1


async def test_model_that_is_being_pulled_is_not_just_missing(simulator: Simulator, connect: Connect) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5))
    simulator.install("llama3.2:3b", size_bytes=SIZE)
    async with connect() as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        missing = await host.refusal("load_model", model=MODEL)
        await host("cancel_pull", model=MODEL)
        cancelled = await host.refusal("load_model", model=MODEL)
        held.release()
    assert missing == (
        f"The model {MODEL} is not installed. It is being pulled. Call pull_model with the same model to wait for it."
    )
    assert "Did you mean llama3.2:3b?" in cancelled


async def test_refused_pull_from_hugging_face_says_how_to_get_access(simulator: Simulator, connect: Connect) -> None:
    gated = HubRepository(id="meta/Llama-GGUF", quantizations={"Q4_K_M": SIZE}, gated="manual")
    simulator.registry.publish_repository(gated)
    async with connect() as host:
        planned = await host.refusal("plan_pull", model="hf.co/meta/Llama-GGUF:Q4_K_M")
        pulled = await host.refusal("pull_model", model="hf.co/meta/Llama-GGUF:Q4_K_M")
    way = planned.partition("If it is gated, ")[2]
    assert way.endswith("pull it as huggingface.co/USER/REPOSITORY:TAG.")
    assert pulled.endswith(way)
    assert "ollama signin" not in pulled


async def test_the_operator_sets_how_long_a_pull_is_waited_for(simulator: Simulator, connect: Connect) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect(pull_wait=0.05) as host:
        assert "continues by itself" in (await host("pull_model", model=MODEL))["next_step"]
        held.release()
        assert (await host("pull_model", model=MODEL, wait_seconds=20))["state"] == "done"


async def test_a_call_that_is_given_up_leaves_the_pull_alone(simulator: Simulator, connect: Connect) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect() as host:
        async with anyio.create_task_group() as call:
            call.start_soon(partial(host, "pull_model", model=MODEL))
            await simulator.until(lambda: held.struck == 1)
            call.cancel_scope.cancel()
        held.release()
        assert (await host("pull_model", model=MODEL))["state"] == "done"
    assert len(simulator.asked("/api/pull")) == 1
    assert simulator.registry.bytes_served.total() == simulator.model(MODEL).manifest.size


async def test_second_pull_is_queued(simulator: Simulator, connect: Connect) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5))
    simulator.registry.publish("other", size_bytes=1000)
    async with connect() as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        waiting = await host("pull_model", model="other", wait_seconds=0)
        assert (waiting["state"], waiting["queue_position"]) == ("queued", 1)
        assert waiting["status"] == "waiting for its turn"
        assert (await host("cancel_pull", model="other"))["state"] == "cancelled"
        await host("pull_model", model="other", wait_seconds=0)
        held.release()
        assert (await host("pull_model", model="other"))["state"] == "done"
        assert [one["model"] for one in (await host("list_pulls"))["transfers"]] == ["other:latest", MODEL]


async def test_cancelling_what_is_not_pulled_says_so(simulator: Simulator, connect: Connect) -> None:
    async with connect() as host:
        assert await host.refusal("cancel_pull", model=MODEL) == (
            "No pull of llama3.2:1b is in progress. list_pulls shows what is."
        )
        await host("pull_model", model=MODEL)
        assert (await host("cancel_pull", model=MODEL))["state"] == "done"


@pytest.mark.parametrize("tool", ["pull_model", "push_model"])
async def test_only_allowed_registries_are_reached(simulator: Simulator, connect: Connect, tool: str) -> None:
    async with connect(allow_push=True, registries="localhost:5000") as host:
        refusal = await host.refusal(tool, model="evil.example/a/b")
        assert refusal.startswith("evil.example/a/b:latest belongs to the registry evil.example, which is not among")
        assert "localhost:5000" in refusal
        refusal = await host.refusal(tool, model=OWN, insecure=True)
        assert refusal.startswith("Plain http to registry.ollama.ai is not allowed.")
        assert "is not a model name that Ollama accepts" in await host.refusal(tool, model="a b")
    assert not simulator.requests


async def test_a_registry_of_ones_own_may_speak_plain_http(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("localhost:5000/a/b", size_bytes=1000)
    async with connect(registries="localhost:5000") as host:
        assert "insecure=true" in await host.refusal("pull_model", model="localhost:5000/a/b")
        assert (await host("pull_model", model="localhost:5000/a/b", insecure=True))["state"] == "done"


async def test_registry_named_with_http_is_pulled_without_insecure(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("localhost:5000/a/b", size_bytes=1000)
    async with connect(registries="http://localhost:5000") as host:
        assert (await host("pull_model", model="localhost:5000/a/b"))["state"] == "done"


# Pushing


async def test_pushing_exists_only_where_the_operator_allows_it(connect: Connect) -> None:
    async with connect() as host:
        assert "push_model" not in [tool.name for tool in (await host.client.list_tools()).tools]
        assert await host.refusal("push_model", model=OWN) == (
            "push_model is disabled by the operator (MCP_OLLAMA_ALLOW_PUSH=false)."
        )
    async with connect(allow_push=True) as host:
        assert "push_model" in [tool.name for tool in (await host.client.list_tools()).tools]
    async with connect(allow_push=True, access="read-only") as host:
        assert "MCP_OLLAMA_ACCESS=read-only" in await host.refusal("push_model", model=OWN)


async def test_a_push_knows_its_size_and_goes_on_after_its_call(simulator: Simulator, connect: Connect) -> None:
    size = install_own(simulator)
    held = simulator.faults.add(OWN, Stall(at=0.5), operation="push")
    async with connect(allow_push=True, timeouts=BUSY) as host:
        async with anyio.create_task_group() as call:
            call.start_soon(partial(host, "push_model", model=OWN))
            await simulator.until(lambda: held.struck == 1)
            call.cancel_scope.cancel()
        uploading = await host("push_model", model=OWN, wait_seconds=0.05)
        assert (uploading["kind"], uploading["state"], uploading["total_bytes"]) == ("push", "uploading", size)
        assert 45 < uploading["percent"] < 55
        assert uploading["next_step"].endswith("cancel_pull with kind push stops it.")
        assert "call again with kind push" in await host.refusal("cancel_pull", model=OWN)
        held.release()
        transfer = await host("push_model", model=OWN)
    assert (transfer["state"], transfer["completed_bytes"], transfer["total_bytes"]) == ("done", size, size)
    assert host.reported[-1] == (size, size, f"{OWN} done")
    assert len(simulator.asked("/api/push")) == 1
    assert ("me", "mine", "latest") in simulator.registry.manifests


async def test_a_push_that_breaks_off_is_tried_again(simulator: Simulator, connect: Connect) -> None:
    install_own(simulator)
    simulator.faults.add(OWN, Drop(at=0.5), operation="push", times=1)
    async with connect(allow_push=True, stall_seconds=6) as host:
        transfer = await host("push_model", model=OWN)
    assert (transfer["state"], transfer["attempts"]) == ("done", 2)


async def test_a_refused_push_fails_at_once(simulator: Simulator, connect: Connect) -> None:
    install_own(simulator)
    simulator.faults.add(OWN, Fail(text="403: denied"), operation="push")
    async with connect(allow_push=True) as host:
        refusal = await host.refusal("push_model", model=OWN)
    assert refusal == (
        "The push of me/mine:latest failed: The registry does not let this server put me/mine:latest there. "
        "A model goes under an account of your own: copy_model to youraccount/name, then push that. "
        "The key of the server must belong to the account: run `ollama signin` on it."
    )
    assert len(simulator.asked("/api/push")) == 1


async def test_a_model_that_is_not_installed_is_not_pushed(simulator: Simulator, connect: Connect) -> None:
    install_own(simulator)
    async with connect(allow_push=True) as host:
        assert "Did you mean me/mine:latest?" in await host.refusal("push_model", model="me/min")
        assert (await host("list_pulls"))["transfers"] == []
    assert not simulator.asked("/api/push")


async def test_a_push_is_cancelled_as_a_push(simulator: Simulator, connect: Connect) -> None:
    install_own(simulator)
    held = simulator.faults.add(OWN, Stall(at=0.5), operation="push")
    async with connect(allow_push=True) as host:
        await host("push_model", model=OWN, wait_seconds=0)
        await simulator.until(lambda: held.struck == 1)
        assert "No pull of me/mine:latest is in progress." in await host.refusal("cancel_pull", model=OWN)
        assert (await host("cancel_pull", model=OWN, kind="push"))["state"] == "cancelled"
        await simulator.until(lambda: simulator.in_flight["/api/push"] == 0)


# The resource


async def document(host: Host) -> dict[str, Any]:
    (content,) = (await host.client.read_resource("ollama://pulls")).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return json.loads(content.text)


async def test_the_resource_says_what_the_tool_does(simulator: Simulator, connect: Connect) -> None:
    async with connect() as host, connect() as other:
        assert await document(host) == {"transfers": []}
        await host("pull_model", model=MODEL)
        assert await document(host) == await host("list_pulls")
        assert (await document(host))["transfers"][0]["state"] == "done"
        assert await document(other) == {"transfers": []}
        (listed,) = [one for one in (await host.client.list_resources()).resources if one.uri == "ollama://pulls"]
        assert (listed.title, listed.mime_type) == ("Pulls and pushes", "application/json")
