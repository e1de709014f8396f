"""The memory of the catalogue: its answers by digest, and how long each is waited for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from mcp_ollama import OllamaClient
from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.concurrency import AT_ONCE
from mcp_ollama.models.facts import Facts
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError
from mcp_ollama.simulator import RunningSimulator, Silence, Simulator


@asynccontextmanager
async def catalog_of(running: RunningSimulator) -> AsyncGenerator[Catalog]:
    with anyio.fail_after(20):
        async with OllamaClient(running.base_url) as ollama:
            yield Catalog(ollama)


async def test_a_model_is_found_with_all_others(simulator: Simulator, running: RunningSimulator) -> None:
    for name in ("a", "b", "c"):
        simulator.install(name, modified_at=0)
    async with catalog_of(running) as catalog:
        found, others = await catalog.find("B")
    assert found.name == "b:latest"
    assert [other.name for other in others] == ["a:latest", "c:latest"]


@pytest.mark.parametrize(
    ("installed", "advice"),
    [
        (["llama3.2:3b"], "Did you mean llama3.2:3b? See list_models, or pull it with pull_model."),
        (["qwen3:8b"], "See list_models for the installed ones, or pull it with pull_model."),
        ([], "No model is installed yet: pull one with pull_model."),
    ],
)
async def test_missing_model_is_reported_with_advice(
    installed: list[str], advice: str, simulator: Simulator, running: RunningSimulator
) -> None:
    for name in installed:
        simulator.install(name)
    async with catalog_of(running) as catalog:
        with pytest.raises(ModelNotFoundError) as caught:
            await catalog.find("llama3.2")
    assert str(caught.value) == f"The model llama3.2:latest is not installed. {advice}"


async def test_a_bad_name_is_not_looked_for(simulator: Simulator, running: RunningSimulator) -> None:
    async with catalog_of(running) as catalog:
        with pytest.raises(InvalidModelName):
            await catalog.find("no spaces")
    assert not simulator.requests


async def test_what_is_shown_is_remembered(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.install("a", capabilities=("tools", "completion"), context_length=4096)
    async with catalog_of(running) as catalog:
        model, _ = await catalog.find("a")
        await catalog.info(model)
        facts = await catalog.facts([model])
    (known,) = facts.values()
    assert isinstance(known, Facts)
    assert (known.capabilities, known.context_length) == (("completion", "tools"), 4096)
    assert known.weights == simulator.model("a").manifest.layers[0].digest.removeprefix("sha256:")
    assert len(simulator.asked("/api/show")) == 1


async def test_a_slow_answer_is_not_waited_for(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.install("quick")
    simulator.install("slow", size_bytes=2_000_000)
    simulator.faults.add("slow", Silence(), operation="show")
    async with catalog_of(running) as catalog:
        models = await catalog.ollama.list_models()
        facts = await catalog.facts(models, within=0.3)
        simulator.faults.clear()
        assert None not in (await catalog.facts(models)).values()
    known = {model.name: facts[model.digest] is not None for model in models}
    assert known == {"quick:latest": True, "slow:latest": False}


async def test_few_models_are_asked_about_at_once(simulator: Simulator, running: RunningSimulator) -> None:
    for number in range(2 * AT_ONCE):
        simulator.install(f"m{number}")
        simulator.faults.add(f"m{number}", Silence(), operation="show")
    async with catalog_of(running) as catalog, anyio.create_task_group() as group:
        group.start_soon(catalog.facts, await catalog.ollama.list_models())
        await simulator.until(lambda: simulator.in_flight["/api/show"] == AT_ONCE)
        simulator.faults.clear()
    assert len(simulator.asked("/api/show")) == 2 * AT_ONCE


async def test_the_oldest_is_forgotten(simulator: Simulator, running: RunningSimulator) -> None:
    for name in ("a", "b", "c"):
        simulator.install(name, modified_at=0)
    async with catalog_of(running) as catalog:
        catalog.most = 2
        models = await catalog.ollama.list_models()
        for asked_about in (models[:1], models[1:2], models[2:], models[1:], models[:1]):
            await catalog.facts(asked_about)
    asked = [request.body for request in simulator.asked("/api/show")]
    assert asked == [{"model": f"{name}:latest"} for name in ("a", "b", "c", "a")]


async def test_a_model_without_a_digest_is_not_remembered(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.install("a")
    async with catalog_of(running) as catalog:
        (model,) = [one.model_copy(update={"digest": ""}) for one in await catalog.ollama.list_models()]
        assert await catalog.facts([model]) == {"": None}


async def test_more_models_than_are_remembered_are_all_answered(
    simulator: Simulator, running: RunningSimulator
) -> None:
    for name in ("a", "b", "c", "d"):
        simulator.install(name, size_bytes=1_000 + ord(name))
    async with catalog_of(running) as catalog:
        catalog.most = 2
        models = await catalog.ollama.list_models()
        for _ in range(2):
            assert None not in (await catalog.facts(models)).values()
