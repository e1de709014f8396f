"""Memory in `plan_pull`: answered before the download, from the head of the weights file."""

import json
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_ollama.simulator import Simulator
from mcp_ollama.simulator.manifests import Layer, sha256
from mcp_ollama.simulator.recipes import Recipe
from mcp_ollama.sources.weights_head import MAX_BYTES
from tests.conftest import QUICK, Connect
from tests.support.shapes import GEMMA, GIB, QWEN, QWEN_BYTES, qwen, qwen_kv_bytes

HEADERS = Path(__file__).parents[1] / "data" / "memory" / "headers"


def paths(simulator: Simulator) -> Counter[str]:
    return Counter(request.path.partition("sha256")[0] for request in simulator.requests)


async def plan(connect: Connect, model: str = "qwen3:8b", /, **arguments: Any) -> dict[str, Any]:
    settings = {"memory": arguments.pop("stated")} if "stated" in arguments else {}
    async with connect(**settings) as call:
        return (await call("plan_pull", model=model, **arguments))["memory"]


async def test_memory_of_a_model_not_installed_costs_two_requests(simulator: Simulator, connect: Connect):
    manifest = simulator.registry.publish("qwen3:8b", **QWEN)
    memory = await plan(connect, context_length=8192, stated="24GB")
    assert memory["weights_bytes"] == manifest.layers[0].size
    assert memory["kv_bytes"] == qwen_kv_bytes(8192)
    assert memory["weights_bytes"] + memory["kv_bytes"] < memory["high_bytes"] < 8 * GIB
    assert (memory["verdict"], memory["available_from"]) == ("fits", "operator")
    assert memory["available_bytes"] == 24 * GIB
    assert memory["largest_context_length"] == 40_960
    assert memory["assumptions"] == {"kv_type": "f16", "parallel": 1, "flash_attention": True, "micro_batch": 1024}
    blob = f"/v2/library/qwen3/blobs/{manifest.layers[0].digest}"
    assert [request.headers["range"] for request in simulator.asked(blob)] == ["bytes=0-65535"]
    assert paths(simulator)["/content/"] == 1
    assert set(paths(simulator)) == {
        "/api/tags",
        "/v2/library/qwen3/manifests/8b",
        "/v2/library/qwen3/blobs/",
        "/content/",
        "/api/blobs/",
    }


async def test_head_is_read_once_for_several_plans(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", **QWEN)
    async with connect() as call:
        plans = [await call("plan_pull", model="qwen3:8b", context_length=length) for length in (4096, 32_768)]
    assert [one["memory"]["kv_bytes"] for one in plans] == [qwen_kv_bytes(4096), qwen_kv_bytes(32_768)]
    assert paths(simulator)["/content/"] == 1


async def test_context_left_out_is_that_of_the_servers_memory(simulator: Simulator, connect: Connect):
    simulator.registry.publish("gemma3:4b", **GEMMA)
    contexts = [(await plan(connect, "gemma3:4b", stated=size))["context_length"] for size in ("8GB", "24GB")]
    assert contexts == [4096, 32_768]
    assert any("sliding" in note for note in (await plan(connect, "gemma3:4b", stated="8GB"))["notes"])


@pytest.mark.parametrize(
    ("stated", "verdict", "largest"),
    [("5GB", "tight", None), ("gpu:4GB ram:32GB", "spills", None), ("gpu:2GB ram:2GB", "no", None)],
)
async def test_verdict_follows_the_operators_memory(
    simulator: Simulator, connect: Connect, stated: str, verdict: str, largest: int | None
):
    simulator.registry.publish("qwen3:8b", **QWEN)
    memory = await plan(connect, context_length=2048, stated=stated)
    assert (memory["verdict"], memory.get("largest_context_length")) == (verdict, largest)


async def test_server_without_a_gpu_runs_on_the_cpu(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", **QWEN)
    memory = await plan(connect, stated="ram:32GB")
    assert (memory["verdict"], memory["available_bytes"]) == ("fits", 31 * GIB)
    assert any("runs on the CPU" in note for note in memory["notes"])


async def test_unknown_memory_leaves_the_estimate_without_a_verdict(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", **QWEN)
    memory = await plan(connect)
    assert memory["kv_bytes"] == qwen_kv_bytes(4096)
    assert memory["verdict"] == "unknown"
    assert "available_bytes" not in memory
    assert any("MCP_OLLAMA_MEMORY" in note for note in memory["notes"])


async def test_registry_without_ranges_still_gives_the_head(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", **qwen(size_bytes=20 * MAX_BYTES))
    simulator.registry.delivery.has_ranges = False
    memory = await plan(connect, stated="24GB")
    assert (memory["verdict"], memory["weights_bytes"]) == ("fits", 20 * MAX_BYTES)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_expired": True}, "403"),
        ({"content_url": "http://127.0.0.1:1"}, "unreachable"),
        ({"content_url": "ftp://cdn.example"}, "not https"),
    ],
)
async def test_missing_head_leaves_the_weights(
    simulator: Simulator, connect: Connect, change: dict[str, Any], reason: str
):
    simulator.registry.publish("qwen3:8b", **QWEN)
    simulator.registry.delivery = replace(simulator.registry.delivery, **change)
    memory = await plan(connect, stated="24GB")
    assert (memory["verdict"], memory["weights_bytes"]) == ("unknown", QWEN_BYTES)
    assert memory["available_bytes"] == 24 * GIB
    assert reason in memory["notes"][0]
    assert "Signature" not in str(memory)


async def test_slow_head_is_given_up_and_the_plan_stands(simulator: Simulator, connect: Connect):
    manifest = simulator.registry.publish("qwen3:8b", **QWEN)
    simulator.delay(f"/v2/library/qwen3/blobs/{manifest.layers[0].digest}", 20)
    with anyio.fail_after(10):
        async with connect(timeouts=replace(QUICK, memory=0.2)) as call:
            answer = await call("plan_pull", model="qwen3:8b")
    assert answer["total_bytes"] == manifest.size
    assert "in time" in answer["memory"]["notes"][0]


async def test_unknown_architecture_leaves_the_weights(simulator: Simulator, connect: Connect):
    simulator.registry.publish("new:1", size_bytes=GIB, family="deepseek4")
    memory = await plan(connect, "new:1", stated="24GB")
    assert (memory["verdict"], memory["weights_bytes"]) == ("unknown", GIB)
    assert "deepseek4" in memory["notes"][0]


async def test_projector_counts_and_is_noted(simulator: Simulator, connect: Connect):
    projector = Layer(kind="projector", digest=sha256("projector"), size=GIB)
    simulator.registry.publish("qwen3:8b", **QWEN)
    plain = await plan(connect, stated="24GB")
    simulator.registry.publish("qwen3:8b", **qwen(layers=[projector]))
    memory = await plan(connect, stated="24GB")
    assert memory["high_bytes"] == plain["high_bytes"] + GIB
    assert any("Images" in note for note in memory["notes"])


def extra(kind: str) -> Layer:
    return Layer(kind=kind, digest=sha256(kind), size=1000)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"safetensors": True}, "safetensors"),
        ({"layers": [extra("model")]}, "split"),
        ({"layers": [extra("adapter")]}, "adapter"),
        ({"layers": [extra("draft")]}, "draft model"),
    ],
)
async def test_other_weights_are_said_to_be_what_they_are(
    simulator: Simulator, connect: Connect, recipe: Recipe, said: str
):
    simulator.registry.publish("other:1", **{"size_bytes": GIB, **recipe})
    memory = await plan(connect, "other:1", stated="24GB")
    assert GIB <= memory["weights_bytes"] <= GIB + 1000
    assert memory["verdict"] == "unknown"
    assert said in memory["notes"][0]
    assert "high_bytes" not in memory
    assert not paths(simulator)["/content/"]


async def test_cloud_model_takes_no_memory(simulator: Simulator, connect: Connect):
    simulator.registry.publish("gpt-oss:120b-cloud", remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
    simulator.registry.publish("stub:1", remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
    cloud, stub = await plan(connect, "gpt-oss:120b-cloud"), await plan(connect, "stub:1")
    assert (cloud["weights_bytes"], cloud["verdict"]) == (0, "unknown")
    assert "ollama.com" in cloud["notes"][0]
    assert "runs elsewhere" in stub["notes"][0]


async def test_model_that_does_not_exist_has_no_memory(connect: Connect):
    async with connect() as call:
        assert "memory" not in await call("plan_pull", model="nope:1")


async def test_loaded_model_stands_beside_its_estimate(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    simulator.install("gemma3:4b", **GEMMA)
    simulator.load("qwen3:8b", context_length=8192)
    simulator.load("gemma3:4b", context_length=8192)
    size = QWEN_BYTES + 8192 * 131_072
    assert (await plan(connect, context_length=8192))["measured_bytes"] == size
    assert "measured_bytes" not in await plan(connect, context_length=4096)
    assert "measured_bytes" not in await plan(connect, "gemma3:4b", context_length=8192)
    simulator.lack("/api/ps")
    assert "measured_bytes" not in await plan(connect, context_length=8192)


@pytest.mark.parametrize("name", sorted(path.name for path in HEADERS.glob("*.gguf")))
async def test_every_head_gives_an_answer(simulator: Simulator, connect: Connect, name: str):
    simulator.registry.publish("head:1", size_bytes=20_000_000, head=(HEADERS / name).read_bytes())
    memory = await plan(connect, "head:1", stated="24GB")
    assert memory["weights_bytes"] == 20_000_000
    assert memory["verdict"] in ("fits", "unknown")
    assert memory["notes"]


async def test_head_that_promises_gigabytes_is_refused(simulator: Simulator, connect: Connect):
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62)
    simulator.registry.publish("head:1", size_bytes=20_000_000, head=head)
    assert "longer than" in (await plan(connect, "head:1"))["notes"][0]


async def test_plan_with_many_layers_stays_under_9000_characters(simulator: Simulator, connect: Connect):
    simulator.registry.publish("many:1", **qwen(layers=[extra(f"projector{number}") for number in range(100)]))
    async with connect(memory="24GB") as call:
        answer = await call("plan_pull", model="many:1")
    assert answer["memory"]["verdict"] == "fits"
    assert len(json.dumps(answer, separators=(",", ":"))) < 9000


@pytest.mark.parametrize("context_length", [0, -1, 10_000_001, "4k", 1.5])
async def test_invalid_context_length_is_refused(connect: Connect, context_length: object):
    async with connect() as call:
        assert "context_length" in await call.refusal("plan_pull", model="a", context_length=context_length)
