"""Memory of installed models, of the server's machine, and of models that spill to the CPU."""

import json
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.models.app import open_app
from mcp_ollama.models.machine import parse_memory
from mcp_ollama.models.memory_answer import report_installed
from mcp_ollama.models.server_memory import read_server_memory
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import RunningSimulator, Simulator
from mcp_ollama.simulator.manifests import Layer, sha256
from mcp_ollama.simulator.recipes import Recipe
from mcp_ollama.simulator.shapes import SHAPES
from mcp_ollama.sources.registry import Registry
from tests.conftest import QUICK, Connect
from tests.support.client import Era, built, host
from tests.support.shapes import GEMMA, GEMMA_BYTES, GIB, QWEN, QWEN_BYTES, qwen, qwen_kv_bytes

FIGURES = ("available_bytes", "available_from", "largest_context_length")


async def shown(connect: Connect, model: str = "qwen3:8b", /, stated: str | None = None, **arguments: Any) -> Any:
    async with connect(memory=stated) as call:
        return (await call("show_model", model=model, include=["memory"], **arguments))["memory"]


def asked_registry(simulator: Simulator) -> list[str]:
    return [request.path for request in simulator.requests if request.path.startswith(("/v2/", "/content/"))]


async def test_installed_model_needs_no_registry(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    memory = await shown(connect, stated="24GB", context_length=16_384)
    assert memory["kv_bytes"] == qwen_kv_bytes(16_384)
    assert (memory["verdict"], memory["available_from"]) == ("fits", "operator")
    assert asked_registry(simulator) == []


async def test_memory_is_shown_only_when_it_is_asked_for(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    async with connect() as call:
        assert "memory" not in await call("show_model", model="qwen3:8b")
        both = await call("show_model", model="qwen3:8b", include=["memory", "license"])
    assert set(both["texts"]) == {"license"}


async def test_context_left_out_is_the_models_own(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **qwen(parameters={"num_ctx": 12_288}))
    assert (await shown(connect))["context_length"] == 12_288
    assert (await shown(connect, context_length=2048))["context_length"] == 2048


async def test_loaded_model_is_measured_beside_the_estimate(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    simulator.load("qwen3:8b", context_length=8192)
    memory = await shown(connect, context_length=8192)
    assert memory["measured_bytes"] == QWEN_BYTES + 8192 * 131_072


ARRAYS = qwen(shape={**SHAPES["qwen3:8b"], "attention.head_count_kv": [8] * 36})


async def test_arrays_come_from_the_registrys_head(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **ARRAYS)
    assert (await shown(connect, context_length=4096))["kv_bytes"] == qwen_kv_bytes(4096)
    assert len(asked_registry(simulator)) == 3
    assert [request.body for request in simulator.asked("/api/show")] == [{"model": "qwen3:8b"}]


async def test_model_unknown_to_the_registry_is_read_verbosely(simulator: Simulator, connect: Connect):
    simulator.install("mine:1", **ARRAYS)
    simulator.registry.withdraw("mine:1")
    assert (await shown(connect, "mine:1", context_length=4096))["kv_bytes"] == qwen_kv_bytes(4096)
    assert simulator.asked("/api/show")[-1].body == {"model": "mine:1", "verbose": True}


async def test_other_weights_in_the_registry_are_not_taken(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **ARRAYS)
    simulator.registry.publish("qwen3:8b", **qwen(size_bytes=7))
    assert (await shown(connect))["weights_bytes"] > QWEN_BYTES


async def test_metadata_that_nothing_states_leave_the_weights(simulator: Simulator, connect: Connect):
    simulator.install("new:1", size_bytes=GIB, family="deepseek4")
    memory = await shown(connect, "new:1", stated="24GB")
    assert memory["verdict"] == "unknown"
    assert "deepseek4" in memory["notes"][0]


async def test_failing_verbose_answer_is_the_reason(simulator: Simulator, connect: Connect):
    simulator.install("mine:1", **ARRAYS)
    simulator.registry.withdraw("mine:1")
    plain = {"modelfile": "FROM x", "model_info": {"general.architecture": "qwen3"}}
    simulator.respond("/api/show", body=json.dumps(plain))
    memory = await shown(connect, "mine:1")
    assert (memory["verdict"], "block_count" in memory["notes"][0]) == ("unknown", True)


async def test_projector_of_an_installed_model_counts_apart(simulator: Simulator, connect: Connect):
    projector = Layer(kind="projector", digest=sha256("projector"), size=GIB)
    model = simulator.install("gemma3:4b", **{**GEMMA, "layers": [projector]})
    sources = [f"FROM /blobs/{layer.digest.replace(':', '-')}" for layer in model.manifest.layers[:2]]
    weights = model.manifest.layers[0].weights
    assert weights
    simulator.respond("/api/show", body=json.dumps({"modelfile": "\n".join(sources), "model_info": dict(weights.info)}))
    memory = await shown(connect, "gemma3:4b", stated="24GB")
    assert memory["weights_bytes"] == GEMMA_BYTES
    assert any("Images" in note for note in memory["notes"])


async def test_slow_verbose_answer_is_given_up(simulator: Simulator, connect: Connect):
    simulator.install("mine:1", **ARRAYS)
    simulator.registry.withdraw("mine:1")
    simulator.delay("/api/show", 0.3)
    async with connect(timeouts=replace(QUICK, memory=0.05)) as call:
        memory = (await call("show_model", model="mine:1", include=["memory"]))["memory"]
    assert "in time" in memory["notes"][0]


async def test_refused_verbose_answer_is_the_reason(running: RunningSimulator):
    running.simulator.install("mine:1", **ARRAYS)
    settings = OllamaSettings.load(base_url=running.base_url)
    async with open_app(settings, Registry((), {"registry.ollama.ai": running.base_url})) as app:
        model, _ = await app.catalog.find("mine:1")
        info = await app.catalog.info(model)
        running.simulator.registry.withdraw("mine:1")
        running.simulator.lack("/api/show")
        report = await report_installed(app, model, info)
    assert report.verdict == "unknown"
    assert "/api/show" in report.notes[0]


@pytest.mark.parametrize(
    ("recipe", "said"), [({"safetensors": True}, "safetensors"), ({"remote_host": "https://ollama.com:443"}, "ollama")]
)
async def test_installed_model_without_gguf_is_said_to_be_that(
    simulator: Simulator, connect: Connect, recipe: Recipe, said: str
):
    simulator.install("other:1", **recipe)
    memory = await shown(connect, "other:1")
    assert memory["verdict"] == "unknown"
    assert said in memory["notes"][0]


async def test_adapter_of_an_installed_model_is_named(simulator: Simulator, connect: Connect):
    simulator.install("tuned:1", **QWEN)
    simulator.respond("/api/show", body=json.dumps({"modelfile": "FROM /a/sha256-1\nADAPTER /b/sha256-2\n"}))
    assert "adapter" in (await shown(connect, "tuned:1"))["notes"][0]


def place_blob(simulator: Simulator, folder: Path) -> Path:
    """Install a model whose blob lies on this machine, at the path that its modelfile names; return the blobs."""
    blobs = folder / "blobs"
    blobs.mkdir()
    blob = blobs / f"sha256-{'a' * 64}"
    blob.write_bytes(bytes(1_000_000))
    simulator.install("here:1", size_bytes=1_000_000)
    simulator.respond("/api/show", body=json.dumps({"modelfile": f"FROM {blob}\n"}))
    return blobs


def add_nvidia(folder: Path, monkeypatch: pytest.MonkeyPatch, row: str = "RTX 4090, 24576, 20480") -> None:
    """Put an `nvidia-smi` on the path; its row is a name, and MiB in all and free."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n: > '{folder}/asked'\necho '{row}'\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


async def test_memory_of_this_machine_counts_when_ollama_is_here(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_nvidia(tmp_path, monkeypatch)
    place_blob(simulator, tmp_path)
    simulator.registry.publish("qwen3:8b", **QWEN)
    simulator.load("here:1", context_length=8192)
    async with connect(memory="8GB") as call:
        memory = (await call("plan_pull", model="qwen3:8b"))["memory"]
        check = next(one for one in (await call("health"))["checks"] if one["name"] == "memory")
    assert memory["available_from"] == "machine"
    assert memory["available_bytes"] == 20 * GIB + 1_000_000 + 8192 * 131_072
    assert memory["context_length"] == 32_768
    assert "RTX 4090: 20.0 of 24.0 GB free" in check["detail"]
    assert "seen on this machine" in check["detail"]


async def test_plan_beside_ollama_looks_up_blobs_on_the_disk(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without memory the requests were: tags, manifest, show, and one for each blob; it may cost two more."""
    add_nvidia(tmp_path, monkeypatch)
    blobs = place_blob(simulator, tmp_path)
    manifest = simulator.registry.publish("qwen3:8b", **QWEN)
    (blobs / manifest.config.digest.replace(":", "-")).touch()
    async with connect() as call:
        plan = await call("plan_pull", model="qwen3:8b")
    assert plan["memory"]["available_from"] == "machine"
    assert plan["present_bytes"] == manifest.config.size
    weights = manifest.layers[0].digest
    assert sorted(request.path for request in simulator.requests) == [
        "/api/ps",
        "/api/show",
        "/api/tags",
        f"/content/{weights}",
        f"/v2/library/qwen3/blobs/{weights}",
        "/v2/library/qwen3/manifests/8b",
    ]


async def test_gpu_without_figures_leaves_the_operators(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_nvidia(tmp_path, monkeypatch, "NVIDIA A100 MIG 1g.5gb, [N/A], [N/A]")
    place_blob(simulator, tmp_path)
    async with connect() as call:
        check = next(one for one in (await call("health"))["checks"] if one["name"] == "memory")
    assert "memory of the GPU unknown, RAM: " in check["detail"]
    async with connect(memory="5GB") as call:
        check = next(one for one in (await call("health"))["checks"] if one["name"] == "memory")
    assert "GPU 0: 5.0 GB (stated" in check["detail"]


async def test_slow_look_at_this_machine_leaves_the_operators_memory(simulator: Simulator, connect: Connect):
    simulator.registry.publish("qwen3:8b", **QWEN)
    async with connect(timeouts=replace(QUICK, memory=0), memory="9GB") as call:
        memory = (await call("plan_pull", model="qwen3:8b"))["memory"]
    assert (memory["available_bytes"], memory["available_from"]) == (9 * GIB, "operator")


async def test_slow_probe_of_the_memory_leaves_the_operators_figure(nowhere: str):
    settings = OllamaSettings.load(base_url=nowhere, memory="9GB")
    async with open_app(settings, Registry(()), replace(QUICK, memory=0)) as app:
        assert (await read_server_memory(app, "machine")).memory == parse_memory("9GB")


async def test_free_memory_counts_without_the_loaded_models(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_nvidia(tmp_path, monkeypatch)
    place_blob(simulator, tmp_path)
    simulator.registry.publish("qwen3:8b", **QWEN)
    simulator.lack("/api/ps")
    async with connect() as call:
        assert (await call("plan_pull", model="qwen3:8b"))["memory"]["available_bytes"] == 20 * GIB


async def test_server_without_models_is_not_asked_for_loaded_ones(
    running: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_nvidia(tmp_path, monkeypatch)
    settings = OllamaSettings.load(base_url=running.base_url)
    async with open_app(settings, Registry(())) as app:
        empty = await read_server_memory(app, "machine_assumed", may_evict=False)
        assert running.simulator.requests == []
        assert empty.memory
        assert [gpu.free_bytes for gpu in empty.memory.gpus or ()] == [20 * GIB]
        await read_server_memory(app, "machine_assumed")
    assert [request.path for request in running.simulator.requests] == ["/api/ps"]


async def test_memory_of_this_machine_is_never_shown_for_another(
    running: RunningSimulator, era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A server at another machine's address has the same blobs at the same paths."""
    simulator = running.simulator
    add_nvidia(tmp_path, monkeypatch)
    place_blob(simulator, tmp_path)
    simulator.registry.publish("qwen3:8b", **QWEN)
    monkeypatch.setattr(socket.socket, "bind", refuse_bind)
    async with host(built(QUICK), era) as call:
        memory = (await call("plan_pull", model="qwen3:8b"))["memory"]
        check = next(one for one in (await call("health"))["checks"] if one["name"] == "memory")
        card = (await call("show_model", model="here:1", include=["memory"]))["memory"]
    for answer in (memory, card):
        assert not set(FIGURES) & set(answer)
        assert any("MCP_OLLAMA_MEMORY" in note for note in answer["notes"])
    assert "GB" not in check["detail"]
    assert "RTX" not in str(check)


def refuse_bind(_: socket.socket, __: object) -> None:
    raise OSError("Cannot assign requested address")


async def test_this_machine_is_looked_at_only_for_tools_that_need_it(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_nvidia(tmp_path, monkeypatch)
    place_blob(simulator, tmp_path)
    async with connect() as call:
        for tool in ("show_model", "load_model"):
            await call(tool, model="here:1")
        await call("list_models")
        assert not (tmp_path / "asked").exists()
        await call("show_model", model="here:1", include=["memory"])
    assert (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("stated", "detail"),
    [
        ("gpu:24GB,8GB ram:64GB", "GPU 0: 24.0 GB, GPU 1: 8.0 GB, RAM: 64.0 GB (stated in MCP_OLLAMA_MEMORY)."),
        ("ram:32GB", "RAM: 32.0 GB (stated in MCP_OLLAMA_MEMORY)."),
        ("24GB", "GPU 0: 24.0 GB (stated in MCP_OLLAMA_MEMORY)."),
        ("gpu:0GB ram:32GB", "RAM: 32.0 GB (stated in MCP_OLLAMA_MEMORY)."),
    ],
)
async def test_health_says_what_the_operator_stated(simulator: Simulator, connect: Connect, stated: str, detail: str):
    async with connect(memory=stated) as call:
        check = next(one for one in (await call("health"))["checks"] if one["name"] == "memory")
    assert check == {"name": "memory", "status": "ok", "detail": f"No loaded model runs on the CPU. {detail}"}


async def test_model_on_the_cpu_does_not_degrade_health(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2", size_bytes=1000, context_length=2048)
    simulator.runners.vram_share = 0.0
    simulator.load("llama3.2")
    async with connect() as call:
        health = await call("health")
    assert next(one for one in health["checks"] if one["name"] == "memory")["status"] == "warn"
    assert health["status"] == "ok"


async def test_load_that_spills_names_the_context_that_fits(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **qwen(parameters={"num_ctx": 40_960}))
    simulator.runners.vram_share = 0.75
    async with connect(memory="9GB") as call:
        loaded = await call("load_model", model="qwen3:8b")
        largest = (await call("show_model", model="qwen3:8b", include=["memory"]))["memory"]["largest_context_length"]
    assert 4096 < largest < 40_960
    assert loaded["next_step"].startswith("25 % of it runs on the CPU")
    assert f"create_model with num_ctx {largest}." in loaded["next_step"]


@pytest.mark.parametrize(
    ("stated", "share", "said"),
    [
        (None, 0.0, "It runs on the CPU"),
        (None, 0.5, "Use a smaller model"),
        ("4GB", 0.5, "no context fits entirely"),
        ("24GB", 0.5, "it fits entirely: unload_model others"),
        ("ram:32GB", 0.0, "No GPU is known there, so this is normal: a smaller model"),
        ("ram:2GB", 0.0, "No GPU is known there, so this is normal: a smaller model"),
    ],
)
async def test_load_that_spills_advises(
    simulator: Simulator, connect: Connect, stated: str | None, share: float, said: str
):
    simulator.install("qwen3:8b", **QWEN)
    simulator.runners.vram_share = share
    async with connect(memory=stated) as call:
        assert said in (await call("load_model", model="qwen3:8b"))["next_step"]


async def test_load_whose_details_are_refused_advises_all_the_same(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    simulator.runners.vram_share = 0.5
    simulator.lack("/api/show")
    async with connect(memory="9GB") as call:
        assert "Use a smaller model" in (await call("load_model", model="qwen3:8b"))["next_step"]


async def test_load_on_the_gpu_needs_no_advice(simulator: Simulator, connect: Connect):
    simulator.install("qwen3:8b", **QWEN)
    async with connect(memory="24GB") as call:
        assert "next_step" not in await call("load_model", model="qwen3:8b")
