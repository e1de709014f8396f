"""Models in memory: what `/api/ps` says of them, and which of them run a given model."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.formatting import format_timestamp
from mcp_ollama.models.lookup import find_model, key_of
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import RunningModel

FOREVER = timedelta(days=20 * 365)
"""Ollama writes "forever" as a time some centuries away."""

Processor = Literal["gpu", "cpu", "mixed", "unknown"]


class RunningRow(BaseModel):
    """A model in memory; without `expires_at` it stays forever."""

    name: str
    size_bytes: int
    size_vram_bytes: int
    processor: Processor
    context_length: int | None = None
    expires_at: str | None = None


class RunningList(BaseModel):
    """The models in memory."""

    models: list[RunningRow]


def running_list(running: Iterable[RunningModel]) -> RunningList:
    """Build the answer of `list_running_models`."""
    return RunningList(models=[running_row(model) for model in running])


def running_row(model: RunningModel) -> RunningRow:
    """Build a row: size, processor, and when the model leaves memory."""
    return RunningRow(
        name=model.name,
        size_bytes=model.size,
        size_vram_bytes=model.size_vram,
        processor=processor_of(model),
        context_length=model.context_length or None,
        expires_at=_expiry(model.expires_at),
    )


def processor_of(model: RunningModel) -> Processor:
    """Return where a model runs, by the rule of `ollama ps`."""
    if model.size <= 0 or not 0 <= model.size_vram <= model.size:
        return "unknown"
    if model.size_vram == model.size:
        return "gpu"
    return "mixed" if model.size_vram else "cpu"


async def find_runners(catalog: Catalog, name: ModelName) -> list[RunningModel]:
    """Find what runs a model: itself, then others with the same weights, then what had its name before it."""
    running = await catalog.running_now()
    models = await catalog.ollama.list_models() if running else []
    found = find_model(name, models)
    if found is None:
        return [one for one in running if key_of(one.name) == name.key]
    digests = {found.digest, *(one.digest for one in running)}
    facts = await catalog.facts(one for one in models if one.digest in digests)
    weights = {digest: known.weights for digest, known in facts.items() if known and known.weights}
    own = weights.get(found.digest, found.digest)

    def nearness(one: RunningModel) -> int:
        return 2 * (one.digest == found.digest) + (weights.get(one.digest, one.digest) == own != "")

    runners = [one for one in running if key_of(one.name) == name.key or nearness(one)]
    return sorted(runners, key=nearness, reverse=True)


def _expiry(moment: datetime | None) -> str | None:
    if moment is None or moment - datetime.now(UTC) > FOREVER:
        return None
    return format_timestamp(moment)
