"""Know before doing: what a pull would fetch, which models have an update, what Ollama recommends."""

import re
import shutil
from pathlib import Path
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, Field

from mcp_ollama.models.app import App, Call, app_of
from mcp_ollama.models.catalog import find_installed
from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.lookup import capabilities_of, find_model, find_named, key_of, listed_name
from mcp_ollama.models.progress import format_bytes
from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.error_messages import sanitize
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, Manifest, Recommendation
from mcp_ollama.sources.registry import MAX_LOOKUPS, present_blobs
from mcp_ollama.tools.spec import ToolSpec
from mcp_ollama.tools.transfers import allowed

MAX_ROWS = 200
SOURCE = "Ollama's own recommendations, as this server gives them"

_BLOB_OF_MODEL = re.compile(r"^FROM (.+[/\\]blobs[/\\]sha256-[0-9a-f]{64})\s*$", re.MULTILINE)


class LayerPlan(BaseModel):
    """A part of a model; no `present` means that nobody knows."""

    digest: str
    kind: str
    size_bytes: int
    present: bool | None = None


class PullPlan(BaseModel):
    """What a pull would do; what is left out is not known, and a warning says why."""

    model: str
    exists: bool
    installed: bool
    up_to_date: bool | None = None
    total_bytes: int | None = None
    present_bytes: int | None = None
    download_bytes: int | None = None
    layers: list[LayerPlan] = []
    disk_free_bytes: int | None = None
    fits_on_disk: bool | None = None
    warnings: list[str] = []


class Update(BaseModel):
    """Whether a model has an update, and how much it would fetch."""

    model: str
    state: Literal["current", "outdated", "local_only", "remote", "unknown"]
    download_bytes: int | None = None
    reason: str | None = None


class UpdateList(BaseModel):
    """Installed models against the registry; not `complete` when some could not be looked up."""

    models: list[Update]
    complete: bool
    next_step: str | None = None


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


async def plan_pull(call: Call, model: Annotated[str, Field(description="Model, as for pull_model.")]) -> PullPlan:
    """Tell what pull_model would fetch, byte by byte, and whether it fits on the disk, without fetching it.

    Use it before large downloads. It says what it cannot know.
    """
    app = app_of(call)
    name = allowed(app, model, insecure=False)
    models = await app.ollama.list_models()
    found = find_model(name, models)
    # Ollama asks a registry in the spelling of what is installed.
    name = ModelName.parse(found.name) if found else name
    plan = PullPlan(model=name.short, exists=True, installed=found is not None)
    try:
        manifest = await app.registry.get_manifest(name)
    except ModelNotFoundError as error:
        plan.exists, plan.warnings = False, [str(error)]
        return plan
    plan.up_to_date = found.digest == manifest.digest if found else None
    plan.total_bytes = manifest.total_bytes
    present = set(manifest.blobs) if plan.up_to_date else await present_blobs(app.ollama, manifest)
    _note_layers(plan, manifest, present)
    if name.is_cloud:
        plan.warnings.append("It runs on ollama.com: what is fetched is only a reference to it.")
    await _note_disk(app, plan, models)
    return plan


async def check_updates(
    call: Call,
    models: Annotated[list[str] | None, Field(max_length=MAX_ROWS, description="Only these; else all.")] = None,
) -> UpdateList:
    """Tell which installed models have an update in the registry, and its bytes, without downloading.

    pull_model with the same name updates one.
    """
    app = app_of(call)
    names = [ModelName.for_pull(model) for model in models or ()]
    installed = await app.ollama.list_models()
    chosen = [find_installed(name, installed) for name in names] or installed
    rows = {one.name: Update(model=one.name, state="unknown", reason="There was no time to ask.") for one in chosen}

    async def look(one: InstalledModel) -> None:
        rows[one.name] = await _update_of(app, one)

    with anyio.move_on_after(app.timeouts.updates):
        await for_each(chosen[:MAX_ROWS], look)
    listed = list(rows.values())[:MAX_ROWS]
    complete = len(rows) <= MAX_ROWS and all(row.state != "unknown" for row in listed)
    return UpdateList(models=listed, complete=complete, next_step=_further(len(rows)))


async def recommend_models(
    call: Call,
    capability: Annotated[str, Field(description="Such as tools; known of installed models only.")] = "",
    max_memory_bytes: Annotated[int | None, Field(ge=0, description="Only what fits into it.")] = None,
) -> Recommendations:
    """List the models that Ollama itself recommends, with the memory they need and whether they are installed."""
    app = app_of(call)
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


def _further(count: int) -> str | None:
    if count <= MAX_ROWS:
        return None
    left = count - MAX_ROWS
    return f"{left} older ones were not looked up: call again with models, from list_models with offset={MAX_ROWS}."


def _recommended(one: Recommendation, found: InstalledModel | None) -> Recommended:
    return Recommended(
        model=sanitize(one.model, 200),
        description=sanitize(one.description, 200),
        context_length=one.context_length or None,
        memory_bytes=one.vram_bytes or None,
        installed=found is not None,
    )


async def _update_of(app: App, model: InstalledModel) -> Update:
    row = Update(model=model.name, state="unknown")
    if model.remote_host:
        row.state = "remote"
        return row
    # It may also be the file that the model's author made it from.
    parent = listed_name(model.details.parent_model)
    try:
        manifest = await app.registry.get_manifest(ModelName.for_pull(model.name))
        row.state = "current" if manifest.digest == model.digest else "outdated"
        if row.state == "outdated" and parent and parent.key == key_of(model.name):
            row.state, row.reason = "local_only", f"Made here from {parent}, whose name it took."
        elif row.state == "outdated":
            present = await present_blobs(app.ollama, manifest)
            row.download_bytes = None if present is None else manifest.total_bytes - _bytes_of(manifest, present)
            # That is told of what was made here, and of what its author had made in the same way and pushed.
            row.reason = f"It was made from {parent}: if here, a pull would replace it." if parent else None
    except ModelNotFoundError:
        row.state = "local_only"
        row.reason = f"Made here from {parent}." if parent else "The registry has no such model."
    except (OllamaError, InvalidModelName) as error:
        row.reason = sanitize(error.problem if isinstance(error, OllamaError) else str(error), 200)
    return row


def _bytes_of(manifest: Manifest, digests: set[str]) -> int:
    return sum(layer.size for digest, layer in manifest.blobs.items() if digest in digests)


def _note_layers(plan: PullPlan, manifest: Manifest, present: set[str] | None) -> None:
    layers = sorted(manifest.blobs.values(), key=lambda layer: -layer.size)
    plan.layers = [
        LayerPlan(
            digest=layer.digest.removeprefix("sha256:")[:12],
            kind=sanitize(layer.kind, 40),
            size_bytes=layer.size,
            present=None if present is None else layer.digest in present,
        )
        for layer in layers[:MAX_LOOKUPS]
    ]
    if present is None:
        why = "too many to ask" if len(layers) > MAX_LOOKUPS else "and the server does not tell"
        plan.warnings.append(f"It has {len(layers)} parts, {why} which of them it has already.")
    else:
        plan.present_bytes = _bytes_of(manifest, present)
        plan.download_bytes = manifest.total_bytes - plan.present_bytes


async def _note_disk(app: App, plan: PullPlan, models: list[InstalledModel]) -> None:
    plan.disk_free_bytes = await _free_bytes(app, models)
    if plan.disk_free_bytes is None:
        plan.warnings.append("How much disk is free is not known: where the server keeps its models cannot be seen.")
    elif plan.download_bytes is not None:
        plan.fits_on_disk = plan.download_bytes <= plan.disk_free_bytes
        if not plan.fits_on_disk:
            short = format_bytes(plan.download_bytes - plan.disk_free_bytes)
            plan.warnings.append(f"The disk lacks {short}: list_models with sort=size shows what is large.")


async def _free_bytes(app: App, models: list[InstalledModel]) -> int | None:
    """Measure the disk that the models lie on; None unless one of its blobs can be seen from here.

    An address of this machine may well lead into a container or a tunnel.
    """
    local = next((one for one in models if not one.remote_host), None)
    if local is None or not is_loopback(app.settings.base_url):
        return None
    try:
        info = await app.ollama.get_model_info(local.name)
    except (OllamaError, InvalidModelName):
        return None
    named = _BLOB_OF_MODEL.search(info.modelfile)
    return _free_beside(Path(named[1])) if named else None


def _free_beside(blob: Path) -> int | None:
    try:
        return shutil.disk_usage(blob.parent).free if blob.is_file() else None
    except (OSError, ValueError):
        return None


TOOLS = (
    ToolSpec(run=plan_pull, title="Plan a pull", read_only=True, idempotent=True, open_world=True),
    ToolSpec(run=check_updates, title="Check for updates", read_only=True, idempotent=True, open_world=True),
    ToolSpec(run=recommend_models, title="Recommend models", read_only=True, idempotent=True, open_world=True),
)
