"""The models that Ollama itself recommends."""

from pydantic import BaseModel

from mcp_ollama.models.app import App
from mcp_ollama.models.facts import capabilities_of
from mcp_ollama.models.lookup import find_named
from mcp_ollama.ollama.error_messages import sanitize
from mcp_ollama.ollama.errors import OllamaStatusError
from mcp_ollama.ollama.schemas import InstalledModel, Recommendation

MAX_ROWS = 200
SOURCE = "Ollama's own recommendations, as this server gives them"


class Recommended(BaseModel):
    """A model that Ollama recommends."""

    model: str
    description: str
    context_length: int | None = None
    memory_bytes: int | None = None
    installed: bool


class Recommendations(BaseModel):
    """What Ollama recommends, and who says so."""

    models: list[Recommended]
    source: str


async def recommend_models(app: App, capability: str = "", max_memory_bytes: int | None = None) -> Recommendations:
    """List Ollama's recommendations (`GET /api/experimental/model-recommendations`).

    Args:
        app: The server.
        capability: Leaves out installed models without it.
        max_memory_bytes: Leaves out models that need more.
    """
    try:
        recommended = await app.ollama.list_recommendations()
    except OllamaStatusError as error:
        if error.status_code != 404:
            raise
        return Recommendations(models=[], source="This server is too old to recommend models: 0.22.1 was the first.")
    models = await app.ollama.list_models()
    named = {one.model: find_named(one.model, models) for one in recommended[:MAX_ROWS]}
    facts = await app.catalog.facts(one for one in named.values() if one) if capability else {}
    rows: list[Recommended] = []
    for one in recommended[:MAX_ROWS]:
        found = named[one.model]
        if max_memory_bytes is not None and one.vram_bytes > max_memory_bytes:
            continue
        if capability and found and capability.lower() not in capabilities_of(found, facts.get(found.digest)):
            continue
        rows.append(_recommended(one, found))
    return Recommendations(models=rows, source=SOURCE)


def _recommended(one: Recommendation, found: InstalledModel | None) -> Recommended:
    return Recommended(
        model=sanitize(one.model, 200),
        description=sanitize(one.description, 200),
        context_length=one.context_length or None,
        memory_bytes=one.vram_bytes or None,
        installed=found is not None,
    )
