"""Speed of a model, measured; and the prompt that tunes a model for agents."""

import re
from typing import Any

import pytest

from mcp_ollama.simulator import Fail, Silence, Simulator
from tests.conftest import Connect
from tests.support.client import Host
from tests.support.shapes import QWEN, QWEN_BYTES, qwen


@pytest.fixture(autouse=True)
def _installed(simulator: Simulator) -> None:
    simulator.install("qwen3:8b", **QWEN)


def options(simulator: Simulator) -> list[dict[str, Any]]:
    bodies: list[Any] = [request.body for request in simulator.asked("/api/generate")]
    return [body.get("options", {}) for body in bodies]


async def test_model_is_loaded_and_measured(simulator: Simulator, connect: Connect):
    async with connect() as call:
        measured = await call("measure_model", model="qwen3:8b", context_length=8192)
    assert measured.pop("load_seconds") >= 0
    size = QWEN_BYTES + 8192 * 131_072
    assert measured == {
        "model": "qwen3:8b",
        "prompt_tokens_per_second": 800.0,
        "tokens_per_second": 40.0,
        "processor": "gpu",
        "size_bytes": size,
        "size_vram_bytes": size,
        "context_length": 8192,
    }
    load, *texts = options(simulator)
    assert load == {"num_ctx": 8192}
    assert texts == [{"num_ctx": 8192, "temperature": 0, "num_predict": count} for count in (8, 128)]


async def test_loaded_model_is_measured_as_it_is(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b", context_length=16_384)
    async with connect() as call:
        measured = await call("measure_model", model="qwen3:8b")
    assert "load_seconds" not in measured
    assert measured["context_length"] == 16_384
    assert {one["num_ctx"] for one in options(simulator)} == {16_384}


async def test_output_of_a_slow_model_is_shortened_to_ten_seconds(simulator: Simulator, connect: Connect):
    simulator.runners.tokens_per_second = 2.0
    async with connect() as call:
        assert (await call("measure_model", model="qwen3:8b"))["tokens_per_second"] == 2.0
        assert [one["num_predict"] for one in options(simulator) if "num_predict" in one] == [8, 20]
        simulator.runners.tokens_per_second = 0.5
        assert (await call("measure_model", model="qwen3:8b"))["tokens_per_second"] == 0.5
    assert options(simulator)[-1]["num_predict"] == 8


async def test_prompts_differ_so_that_none_is_cached(simulator: Simulator, connect: Connect):
    async with connect() as call:
        await call("measure_model", model="qwen3:8b")
    bodies: list[Any] = [request.body for request in simulator.asked("/api/generate")]
    first, second = (body["prompt"] for body in bodies if "prompt" in body)
    assert re.sub(r"\d{1,6}", "", first, count=1) == re.sub(r"\d{1,6}", "", second, count=1)


async def test_load_goes_on_after_the_wait(simulator: Simulator, connect: Connect):
    held = simulator.faults.add("qwen3:8b", Silence(), operation="load")
    async with connect() as call:
        early = await call("measure_model", model="qwen3:8b", wait_seconds=0)
        assert early == {"model": "qwen3:8b", "next_step": early["next_step"]}
        assert "call measure_model again" in early["next_step"]
        held.release()
        assert (await call("measure_model", model="qwen3:8b"))["tokens_per_second"] == 40.0
    assert sum(not one for one in options(simulator)) == 1


async def test_busy_server_is_waited_for_no_longer_than_allowed(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b")
    simulator.delay("/api/generate", 20)
    async with connect() as call:
        measured = await call("measure_model", model="qwen3:8b", wait_seconds=0.2)
    assert "longer wait_seconds" in measured["next_step"]
    assert "tokens_per_second" not in measured
    assert measured["processor"] == "gpu"


@pytest.mark.parametrize(
    ("asked", "capabilities", "loaded"),
    [(1024, ("completion", "vision"), 2048), (1, ("completion",), 4), (99_999, ("completion",), 8192)],
)
async def test_context_that_ollama_corrects_is_measured_as_loaded(
    asked: int, capabilities: tuple[str, ...], loaded: int, simulator: Simulator, connect: Connect
):
    simulator.install("other:1", capabilities=capabilities, context_length=8192)
    async with connect() as call:
        measured = [await call("measure_model", model="other:1", context_length=asked) for _ in range(2)]
    assert [one["context_length"] for one in measured] == [loaded, loaded]
    assert len(simulator.asked("/api/generate")) == 5


async def test_another_context_than_the_loaded_one_is_refused(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b", context_length=4096)
    async with connect() as call:
        refusal = await call.refusal("measure_model", model="qwen3:8b", context_length=8192)
        assert (await call("measure_model", model="qwen3:8b", context_length=4096))["context_length"] == 4096
    assert "loaded with a context of 4,096 tokens, not 8,192" in refusal
    assert "unload_model" in refusal


async def test_context_above_the_trained_one_means_the_trained_one(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b", context_length=40_960)
    async with connect() as call:
        assert (await call("measure_model", model="qwen3:8b", context_length=99_999))["context_length"] == 40_960


async def test_alias_of_a_loaded_model_is_measured(simulator: Simulator, connect: Connect):
    simulator.install("other:1", **qwen(weights="qwen3:8b", system="Be brief."))
    simulator.load("qwen3:8b", context_length=4096)
    async with connect() as call:
        assert (await call("measure_model", model="other:1"))["context_length"] == 4096
    assert all(one for one in options(simulator))


async def test_models_without_a_speed_are_refused(simulator: Simulator, connect: Connect):
    simulator.install("embed:1", capabilities=("embedding",))
    simulator.install("gpt:cloud", remote_host="https://ollama.com:443", remote_model="gpt")
    async with connect() as call:
        assert "embedding model" in await call.refusal("measure_model", model="embed:1")
        assert "ollama.com" in await call.refusal("measure_model", model="gpt:cloud")
        assert "not installed" in await call.refusal("measure_model", model="nope:1")
    assert not simulator.asked("/api/generate")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fail(text="model requires more system memory (9.9 GiB) than is available (2.0 GiB)"), "memory"),
        (Fail(text="model 'qwen3:8b' not found", status=404), "damaged"),
    ],
)
async def test_load_that_fails_is_an_error(simulator: Simulator, connect: Connect, fault: Fail, said: str):
    simulator.faults.add("qwen3:8b", fault, operation="load")
    async with connect() as call:
        refusal = await call.refusal("measure_model", model="qwen3:8b")
    assert refusal.startswith("qwen3:8b could not be loaded.")
    assert said in refusal


async def test_model_that_leaves_memory_is_said_to_have_left(simulator: Simulator, connect: Connect):
    simulator.respond("/api/ps", body='{"models":[]}')
    async with connect() as call:
        measured = await call("measure_model", model="qwen3:8b")
    assert "left memory" in measured["next_step"]
    assert "tokens_per_second" not in measured


async def test_server_that_reports_no_timings_gives_no_speed(simulator: Simulator, connect: Connect):
    simulator.load("qwen3:8b")
    simulator.respond("/api/generate", body='{"model":"qwen3:8b","response":"","done":true}')
    async with connect() as call:
        measured = await call("measure_model", model="qwen3:8b")
    assert "tokens_per_second" not in measured
    assert measured["processor"] == "gpu"
    assert "the server reported no speed" in measured["next_step"]


async def prompt_text(call: Host, **arguments: str) -> str:
    (message,) = (await call.client.get_prompt("tune_for_agents", arguments)).messages
    assert message.content.type == "text"
    return message.content.text


async def test_prompt_tunes_a_model_in_five_calls(simulator: Simulator, connect: Connect):
    """A scripted agent follows the prompt: each call takes its arguments from the answer before."""
    simulator.registry.publish("coder:8b", **qwen(weights="coder"))
    async with connect(memory="9GB") as call:
        text = await prompt_text(call, model="coder:8b")
        tools = re.findall(r"\b(plan_pull|pull_model|create_model|load_model|measure_model)\b", text)
        assert list(dict.fromkeys(tools)) == ["plan_pull", "pull_model", "create_model", "load_model", "measure_model"]
        (name,) = re.findall(r"such as (\S+)\.$", text, re.MULTILINE)

        plan = await call("plan_pull", model="coder:8b")
        length = plan["memory"]["largest_context_length"]
        assert (await call("pull_model", model="coder:8b"))["state"] == "done"
        await call("create_model", model=name, from_model="coder:8b", parameters={"num_ctx": length})
        loaded = await call("load_model", model=name)
        measured = await call("measure_model", model=name)

    assert 4096 < length < 40_960
    assert simulator.model(name).manifest.parameters["num_ctx"] == length
    assert loaded["running"]["processor"] == "gpu"
    assert measured["context_length"] == length
    assert measured["tokens_per_second"] == 40.0


async def test_prompt_covers_a_plan_without_a_largest_context(connect: Connect):
    for memory, verdict in (("gpu:6GB ram:64GB", "tight"), ("gpu:4GB ram:64GB", "spills"), (None, "unknown")):
        async with connect(memory=memory) as call:
            report = (await call("plan_pull", model="qwen3:8b"))["memory"]
            text = await prompt_text(call, model="qwen3:8b")
        assert (report["verdict"], "largest_context_length" in report) == (verdict, False)
        assert "When the verdict is unknown, ask me" in text
        assert "When it is another and there is no largest_context_length" in text


@pytest.mark.parametrize(
    ("model", "variant"),
    [("qwen3", "qwen3-agent:latest"), ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "Qwen3-8B-GGUF-agent:Q4_K_M")],
)
async def test_prompt_names_a_variant_beside_the_model(connect: Connect, model: str, variant: str):
    async with connect() as call:
        assert f"such as {variant}." in await prompt_text(call, model=model)
