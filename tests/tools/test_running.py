"""Models in memory: listed, loaded and unloaded, in both protocol eras."""

from collections.abc import Iterable
from functools import partial

import anyio
import pytest

from mcp_ollama.models.app import Timeouts
from mcp_ollama.models.holds import Holds
from mcp_ollama.models.keep_alive import YEAR_SECONDS
from mcp_ollama.models.loading import Loads
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import Drop, Fail, Silence, Simulator
from mcp_ollama.simulator.faults import Armed
from tests.conftest import Connect
from tests.support.client import Host

GB = 1_000_000_000


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """An Ollama with three models."""
    simulator.install("llama3.2:3b", size_bytes=2 * GB, context_length=131_072)
    simulator.install("qwen3:8b", size_bytes=5 * GB)
    simulator.install("nomic-embed-text", size_bytes=GB, capabilities=("embedding",))
    return simulator


async def release_once_reported(call: Host, held: Armed) -> None:
    """Release a load when a call that waits for it has reported progress twice."""
    await call.until_reported(len(call.reported) + 2)
    held.release()


def bodies(simulator: Simulator, path: str = "/api/generate") -> list[object]:
    return [request.body for request in simulator.asked(path, "POST")]


async def test_running_models_are_listed_with_processor_and_context(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b")
    simulator.runners.vram_share = 0.0
    simulator.load("llama3.2:3b", context_length=8192, keep_alive=9e9)
    async with connect() as call:
        models = (await call("list_running_models"))["models"]
    assert [(one["name"], one["processor"]) for one in models] == [("llama3.2:3b", "cpu"), ("qwen3:8b", "gpu")]
    assert models[0]["context_length"] == 8192
    assert models[0]["size_vram_bytes"] == 0
    assert "expires_at" not in models[0]
    assert models[1]["expires_at"].endswith("Z")


async def test_processor_of_a_model_is_that_of_ollama_ps(simulator: Simulator, connect: Connect):
    sizes = [(10, 10, "gpu"), (10, 4, "mixed"), (10, 0, "cpu"), (0, 0, "unknown"), (4, 9, "unknown")]
    rows = [f'{{"name":"x:1","size":{size},"size_vram":{vram}}}' for size, vram, _ in sizes]
    simulator.respond("/api/ps", body=f'{{"models":[{",".join(rows)}]}}')
    async with connect() as call:
        models = (await call("list_running_models"))["models"]
    assert [(one["size_bytes"], one["size_vram_bytes"], one["processor"]) for one in models] == sizes


async def test_loaded_model_is_returned_with_processor_and_context(simulator: Simulator, connect: Connect):
    simulator.runners.vram_share = 0.5
    async with connect() as call:
        loaded = await call("load_model", model="llama3.2:3b")
    assert loaded["state"] == "loaded"
    assert loaded["running"]["processor"] == "mixed"
    assert loaded["running"]["context_length"] == 4096
    assert loaded["load_seconds"] >= 0
    assert bodies(simulator) == [{"model": "llama3.2:3b"}]


async def test_an_embedding_model_is_loaded_too(simulator: Simulator, connect: Connect):
    async with connect() as call:
        loaded = await call("load_model", model="nomic-embed-text", keep_alive="10m")
    assert loaded["running"]["name"] == "nomic-embed-text:latest"
    assert bodies(simulator, "/api/embed") == [{"model": "nomic-embed-text:latest", "keep_alive": 600}]


TIMES = {"5m": 300, "1h30m": 5400, "90": 90, 91: 91, "1.5": 1.5, -1: -1, "-5m": -1, "-1": -1, "8760h": YEAR_SECONDS}
NO_TIMES = ["0", 0, "abc", "5 minutes", "0.5", "1e9", "31536001", "-", "-x", "99999h", "٣", "9" * 60 + "s"]


async def test_keep_alive_is_sent_in_seconds(simulator: Simulator, connect: Connect):
    async with connect() as call:
        for given in TIMES:
            await call("load_model", model="qwen3:8b", keep_alive=given)
    assert bodies(simulator) == [{"model": "qwen3:8b", "keep_alive": sent} for sent in TIMES.values()]


async def test_a_time_that_ollama_would_get_wrong_is_refused_before_any_request(simulator: Simulator, connect: Connect):
    async with connect() as call:
        for given in NO_TIMES:
            assert "keep_alive cannot be" in await call.refusal("load_model", model="qwen3:8b", keep_alive=given)
        assert "valid string" in await call.refusal("load_model", model="qwen3:8b", keep_alive=True)
    assert not simulator.requests


async def test_long_load_goes_on_after_its_call_and_a_second_call_joins(simulator: Simulator, connect: Connect):
    held = simulator.faults.add("qwen3:8b", Silence(), operation="load")
    async with connect() as call, anyio.create_task_group() as group:
        first = await call("load_model", model="qwen3:8b", wait_seconds=0)
        assert first["state"] == "loading"
        assert "call load_model again" in first["next_step"]
        assert (await call("list_running_models"))["models"] == []
        group.start_soon(release_once_reported, call, held)
        second = await call("load_model", model="QWEN3:8b")
        assert second["state"] == "loaded"
        assert second["running"]["name"] == "qwen3:8b"
    assert len(bodies(simulator)) == 1
    steps = [progress for progress, _, _ in call.reported]
    assert len(steps) > 1
    assert steps == sorted(set(steps))
    assert "qwen3:8b loading" in (call.reported[-1][2])


async def test_last_keep_alive_of_several_calls_holds(simulator: Simulator, connect: Connect):
    held = simulator.faults.add("qwen3:8b", Silence(), operation="load")
    async with connect() as call, anyio.create_task_group() as group:
        await call("load_model", model="qwen3:8b", keep_alive="5m", wait_seconds=0)
        await call("load_model", model="qwen3:8b", wait_seconds=0)
        group.start_soon(release_once_reported, call, held)
        await call("load_model", model="qwen3:8b", keep_alive="-1")
    assert [body["keep_alive"] for body in bodies(simulator) if isinstance(body, dict)] == [300, -1]


async def test_a_host_that_gives_up_does_not_abort_the_load(simulator: Simulator, connect: Connect):
    held = simulator.faults.add("qwen3:8b", Silence(), operation="load")
    async with connect() as call:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(call, "load_model", model="qwen3:8b"))
            await simulator.until(lambda: held.struck == 1)
            group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            group.start_soon(release_once_reported, call, held)
            assert (await call("load_model", model="qwen3:8b"))["state"] == "loaded"
    assert len(bodies(simulator)) == 1


async def test_a_failed_load_is_an_error(simulator: Simulator, connect: Connect):
    simulator.faults.add("qwen3:8b", Fail(text="llama-server process has terminated: exit status 1"), operation="load")
    async with connect() as call:
        text = await call.refusal("load_model", model="qwen3:8b")
    assert text.startswith("qwen3:8b could not be loaded. Ollama answered 500: llama-server process has terminated")


async def test_failed_load_without_a_waiter_is_reported_once_then_retried(simulator: Simulator, connect: Connect):
    fault = simulator.faults.add("qwen3:8b", Drop(), operation="load", times=1)
    async with connect() as call:
        await call("load_model", model="qwen3:8b", wait_seconds=0)
        await simulator.until(lambda: fault.struck == 1 and not simulator.in_flight["/api/generate"])
        assert "could not be loaded" in await call.refusal("load_model", model="qwen3:8b")
        assert (await call("load_model", model="qwen3:8b"))["state"] == "loaded"


class _BrokenClient(OllamaClient):
    async def load_model(
        self, model_name: ModelName | str, keep_alive: str | float | None = None, context_length: int | None = None
    ) -> None:
        if str(model_name) == "one:latest":
            raise RuntimeError("a bug")


async def test_a_bug_in_one_load_ends_neither_the_others_nor_the_server(caplog: pytest.LogCaptureFixture):
    changes: list[str] = []

    async def changed(names: Iterable[str]) -> None:
        changes.extend(names)

    loads = Loads(_BrokenClient("http://127.0.0.1:1"), changed=changed, longest=60, holds=Holds())
    with anyio.fail_after(10):
        async with loads.running():
            broken, sound = loads.start(ModelName.parse("one")), loads.start(ModelName.parse("other"))
            await broken.finished.wait()
            await sound.finished.wait()
    assert str(broken.error) == ("An internal error ended the load of one:latest. The log of this server says more.")
    assert sound.error is None
    assert changes == ["one:latest", "other:latest"]
    assert "Bug in the load of one:latest" in caplog.text


async def test_load_that_never_ends_is_reported_as_failed(simulator: Simulator, connect: Connect):
    simulator.runners.load_seconds = 5
    async with connect(timeouts=Timeouts(load=0.05)) as call:
        assert "was not loaded within" in await call.refusal("load_model", model="qwen3:8b")


async def test_model_that_left_memory_at_once_is_reported_so(simulator: Simulator, connect: Connect):
    simulator.respond("/api/ps", body='{"models":[]}')
    async with connect() as call:
        loaded = await call("load_model", model="qwen3:8b")
    assert "running" not in loaded
    assert "left memory already" in loaded["next_step"]


async def test_slow_server_does_not_delay_the_answer_that_a_model_is_loaded(simulator: Simulator, connect: Connect):
    simulator.delay("/api/ps", 30)
    async with connect(timeouts=Timeouts(health_extra=0.1)) as call:
        loaded = await call("load_model", model="qwen3:8b")
    assert loaded["state"] == "loaded"
    assert loaded["next_step"] == "Where it runs could not be read: see list_running_models."


async def test_a_cloud_model_is_not_loaded(simulator: Simulator, connect: Connect):
    simulator.install("gpt-oss:120b-cloud", remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
    async with connect() as call:
        assert "runs on https://ollama.com:443" in await call.refusal("load_model", model="gpt-oss:120b-cloud")
    assert not bodies(simulator)


async def test_a_missing_model_is_not_loaded_and_the_nearest_is_named(simulator: Simulator, connect: Connect):
    async with connect() as call:
        assert "qwen3:8b" in await call.refusal("load_model", model="qwen3:8")
    assert not bodies(simulator)


async def test_at_most_four_loads_are_in_progress(simulator: Simulator, connect: Connect):
    for number in range(5):
        simulator.install(f"m{number}:1", size_bytes=GB)
    simulator.runners.load_seconds = 5
    async with connect() as call:
        for number in range(4):
            await call("load_model", model=f"m{number}:1", wait_seconds=0)
        assert "4 models are being loaded" in await call.refusal("load_model", model="m4:1")


async def test_an_unloaded_model_is_gone_when_the_answer_comes(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b")
    simulator.load("llama3.2:3b")
    async with connect() as call:
        assert await call("unload_model", model="qwen3:8b") == {"unloaded": ["qwen3:8b"], "still_loaded": []}
        assert [one["name"] for one in (await call("list_running_models"))["models"]] == ["llama3.2:3b"]


async def test_unloading_by_a_second_name_of_the_same_weights_unloads_the_first(simulator: Simulator, connect: Connect):
    simulator.copy("qwen3:8b", "mine:1")
    simulator.registry.publish("tuned:1", size_bytes=5 * GB, weights="qwen3:8b", system="Be brief.")
    simulator.install("tuned:1", size_bytes=5 * GB, weights="qwen3:8b", system="Be brief.")
    simulator.load("qwen3:8b")
    async with connect() as call:
        assert (await call("unload_model", model="tuned:1"))["unloaded"] == ["qwen3:8b"]
        simulator.load("qwen3:8b")
        assert (await call("unload_model", model="mine:1"))["unloaded"] == ["qwen3:8b"]


async def test_all_models_are_unloaded_at_once(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b")
    simulator.load("llama3.2:3b")
    async with connect() as call:
        answer = await call("unload_model", all=True)
        assert sorted(answer["unloaded"]) == ["llama3.2:3b", "qwen3:8b"]
        assert (await call("unload_model", all=True)) == {"unloaded": [], "still_loaded": []}


async def test_model_in_use_is_reported_as_still_loaded(simulator: Simulator, connect: Connect):
    simulator.respond("/api/ps", body='{"models":[{"name":"qwen3:8b"},{"name":"a b"},{"name":"deleted:1"}]}')
    async with connect(timeouts=Timeouts(unload=0.2)) as call:
        answer = await call("unload_model", model="qwen3:8b")
        assert answer.pop("next_step").startswith("A request may be using it: call again when that has ended.")
        assert answer == {"unloaded": [], "still_loaded": ["qwen3:8b"]}
        answer = await call("unload_model", all=True)
        assert answer["still_loaded"] == ["qwen3:8b", "a b", "deleted:1"]
        assert (await call("unload_model", model="deleted:1"))["still_loaded"] == ["deleted:1"]


async def test_what_was_loaded_before_an_update_stands_in_nobodys_way(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", size_bytes=3 * GB, weights="new")
    simulator.load("qwen3:8b", keep_alive=9e9)
    async with connect(timeouts=Timeouts(unload=0.2)) as call:
        await call("pull_model", model="qwen3:8b")
        assert not (await call("show_model", model="qwen3:8b"))["loaded"]
        assert not [one for one in (await call("list_models"))["models"] if one["loaded"]]
        new = await call("load_model", model="qwen3:8b")
        both = (await call("list_running_models"))["models"]
        assert [one["name"] for one in both] == ["qwen3:8b"] * 2
        assert new["running"] == next(one for one in both if "expires_at" in one)
        assert (await call("show_model", model="qwen3:8b"))["loaded_context_length"] == 4096
        answer = await call("unload_model", model="qwen3:8b")
        assert (answer["unloaded"], answer["still_loaded"]) == (["qwen3:8b"], ["qwen3:8b"])
        assert "until Ollama is restarted" in answer["next_step"]
        asked = await call("delete_model", model="qwen3:8b")
        assert not asked["was_loaded"]
        assert (await call("delete_model", model="qwen3:8b", confirm=asked["confirmation"]))["deleted"]
    assert not simulator.is_installed("qwen3:8b")


async def test_unloading_what_is_not_loaded_changes_nothing(simulator: Simulator, connect: Connect):
    async with connect() as call:
        assert await call("unload_model", model="qwen3:8b") == {"unloaded": [], "still_loaded": []}
        assert "is not installed" in await call.refusal("unload_model", model="nope")
    assert not bodies(simulator)


async def test_either_a_model_or_all_is_unloaded(connect: Connect):
    async with connect() as call:
        assert "exactly one" in await call.refusal("unload_model")
        assert "exactly one" in await call.refusal("unload_model", model="qwen3:8b", all=True)


async def test_load_in_progress_is_stopped_by_unloading(simulator: Simulator, connect: Connect):
    simulator.runners.load_seconds = 5
    refused: list[str] = []

    async def wait(call: Host) -> None:
        refused.append(await call.refusal("load_model", model="qwen3:8b"))

    async with connect() as call, anyio.create_task_group() as group:
        group.start_soon(wait, call)
        await simulator.until(lambda: simulator.in_flight["/api/generate"] == 1)
        assert (await call("unload_model", model="qwen3:8b"))["unloaded"] == ["qwen3:8b"]
        await simulator.until(lambda: not simulator.in_flight["/api/generate"])
        # Who unloaded it knows that: the next call starts a new load.
        assert (await call("load_model", model="qwen3:8b", wait_seconds=0))["state"] == "loading"
    assert "was stopped" in refused[0]
