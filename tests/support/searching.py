"""A search over a simulated Ollama server, registry and Hugging Face, all on one socket."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from mcp_ollama.models.search.found_model import FoundModel, SearchResult, SourceReport
from mcp_ollama.models.search.search import SearchRequest, SearchSources, search
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import Hub, HubRepository, RunningSimulator, Simulator, serve
from mcp_ollama.sources.huggingface import HuggingFace
from mcp_ollama.sources.registry import Registry

GB = 1024**3
HOSTS = ("registry.ollama.ai", "hf.co", "huggingface.co")

CODER_7B = HubRepository(
    id="bartowski/Qwen2.5-Coder-7B-Instruct-GGUF",
    quantizations={
        "F16": 15_237_853_184, "Q8_0": 8_098_525_888, "Q6_K": 6_254_199_488, "Q5_K_M": 5_444_831_936,
        "Q4_K_M": 4_683_073_984, "Q3_K_M": 3_808_391_104, "Q2_K": 3_015_940_032,
    },
    base_model="Qwen/Qwen2.5-Coder-7B-Instruct",
    downloads=900,
    parameter_count=7_615_616_512,
)  # fmt: skip
CODER_30B = HubRepository(
    id="unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
    quantizations={"Q4_K_M": 18_556_689_568, "UD-Q2_K_XL": 11_800_000_000},
    split={"BF16": (49_000_000_000, 12_000_000_000)},
    base_model="Qwen/Qwen3-Coder-30B-A3B-Instruct",
    downloads=5000,
)
GEMMA = HubRepository(
    id="ggml-org/gemma-3-4b-it-GGUF",
    quantizations={"Q4_K_M": 2_489_757_856, "Q8_0": 4_130_226_336},
    files={"mmproj-model-f16.gguf": 851_251_104},
    base_model="google/gemma-3-4b-it",
    license="gemma",
    downloads=100,
)
SPLIT = HubRepository(id="owalsh/SmolLM2-135M-Instruct-GGUF-Split", split={"Q4_0": (1, 2, 3)}, downloads=310)
GATED = HubRepository(
    id="example-lab/gated-model-GGUF", quantizations={"Q4_K_M": 2_000_000_000}, gated="manual", downloads=7777
)
RECOMMENDED: tuple[dict[str, Any], ...] = (
    {"model": "kimi-k2.6:cloud", "description": "State-of-the-art coding", "context_length": 262_144},
    {"model": "gemma4", "description": "Reasoning and code generation locally", "vram_bytes": 12_000_000_000},
    {"model": "qwen3.5", "description": "Visual understanding\nlocally", "vram_bytes": 14_000_000_000},
)


@dataclass(frozen=True, slots=True)
class Searching:
    """A search over one simulator; `sources` can be replaced in part."""

    simulator: Simulator
    sources: SearchSources

    async def __call__(self, query: str = "", **arguments: Any) -> SearchResult:
        """Search within a bounded time, and check what holds for every answer."""
        with anyio.fail_after(20):
            result = await search(SearchRequest(query=query, **arguments), self.sources)
        assert len(result.model_dump_json(exclude_none=True)) < 9000
        assert all(ModelName.parse(row.name).short == row.name for row in result.models)
        return result

    def replaced(self, **sources: Any) -> "Searching":
        """Return a search with other collaborators."""
        return Searching(self.simulator, replace(self.sources, **sources))

    @property
    def hub(self) -> Hub:
        return self.simulator.registry.hub

    @property
    def requests_to_hub(self) -> int:
        """Requests to Hugging Face so far: its API, and its registry."""
        paths = [seen.path for seen in self.simulator.requests]
        return sum(path.startswith(("/api/models", "/v2/")) and not path.startswith("/v2/library") for path in paths)


@asynccontextmanager
async def searching(
    repositories: Sequence[HubRepository] = (CODER_7B, CODER_30B, GEMMA, SPLIT, GATED),
) -> AsyncGenerator[Searching]:
    """Serve a simulator with these repositories, a small library and Ollama's recommendations."""
    simulator = Simulator()
    simulator.recommendations = [*RECOMMENDED]
    simulator.install("qwen3:8b", size_bytes=5_225_374_368)
    for repository in repositories:
        simulator.registry.publish_repository(repository)
    with serve(simulator) as running:
        async with _clients(running) as sources:
            yield Searching(simulator, sources)


@asynccontextmanager
async def _clients(running: RunningSimulator) -> AsyncGenerator[SearchSources]:
    ollama = OllamaClient(running.base_url)
    registry = Registry(HOSTS, dict.fromkeys(HOSTS, running.base_url))
    hub = HuggingFace(running.base_url)

    async def installed_names() -> list[str]:
        return [model.name for model in await ollama.list_models()]

    async def memory() -> int | None:
        return None

    async def cloud() -> bool:
        return False

    async def catalogue() -> list[str]:
        return ["gpt-oss:120b", "kimi-k3", "qwen3-coder:480b", "bad name"]

    yield SearchSources(
        look_up=registry.get_manifest,
        recommendations=ollama.list_recommendations,
        installed_names=installed_names,
        available_memory=memory,
        may_use_cloud=cloud,
        cloud_catalogue=catalogue,
        huggingface=hub,
    )
    for client in (ollama, registry, hub):
        await client.aclose()


def names(result: SearchResult, source: str = "") -> list[str]:
    """Return the names of the rows, of one source if it is given."""
    return [row.name for row in result.models if source in ("", row.source)]


def report(result: SearchResult, source: str) -> SourceReport:
    """Return the report of a source."""
    return next(one for one in result.sources if one.name == source)


def row(result: SearchResult, name: str) -> FoundModel:
    """Return the row of a model."""
    return next(one for one in result.models if one.name == name)
