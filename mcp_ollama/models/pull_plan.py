"""The plan of a pull: the bytes to download, and whether they fit on the disk."""

import shutil
from pathlib import Path

from pydantic import BaseModel

from mcp_ollama.models.all_transfers import find_unfinished_pull
from mcp_ollama.models.app import App
from mcp_ollama.models.blobs import MAX_LOOKUPS, bytes_of, present_blobs
from mcp_ollama.models.fit import MemoryReport
from mcp_ollama.models.formatting import format_bytes
from mcp_ollama.models.job import Transfer
from mcp_ollama.models.lookup import find_model, listed_name
from mcp_ollama.models.machine import Origin, run_probe
from mcp_ollama.models.memory_answer import find_measured, report_planned
from mcp_ollama.models.server_memory import locate_server, read_local_model
from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.errors import ModelNotFoundError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import Layer, Manifest

_ONLY_HERE = "It is only here: see show_model, with include memory for what it takes."


class LayerPlan(BaseModel):
    """A part of a model; without `present` it is unknown whether the server has it."""

    digest: str
    kind: str
    size_bytes: int
    present: bool | None = None


class PullPlan(BaseModel):
    """The effect of a pull; an absent field is unknown, and a warning says why."""

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
    memory: MemoryReport | None = None
    warnings: list[str] = []


async def plan_pull(app: App, name: ModelName, context_length: int | None = None) -> PullPlan:
    """Compare the registry's manifest with what the server has, and estimate the memory.

    Args:
        app: The application.
        name: The model.
        context_length: Tokens of context for the estimate; None takes the server's default.

    Raises:
        OllamaError: The server or the registry cannot be asked.
    """
    models = await app.ollama.list_models()
    found = find_model(name, models)
    # Ollama asks a registry in the spelling of what is installed.
    name = ModelName.parse(found.name) if found else name
    plan = PullPlan(model=name.short, exists=True, installed=found is not None)
    try:
        manifest = await app.registry.get_manifest(name)
    except ModelNotFoundError as error:
        plan.exists, plan.warnings = False, [str(error) if found is None else f"{error.problem} {_ONLY_HERE}"]
        return plan
    plan.up_to_date = found.digest in manifest.digests if found else None
    plan.total_bytes = manifest.total_bytes
    if found and not plan.up_to_date and (parent := listed_name(found.details.parent_model)):
        plan.warnings.append(f"The installed one was made from {parent}: if here, a pull would replace it.")
    local = await read_local_model(app, models)
    origin = await locate_server(app, local)
    blob = next(iter(local.blobs), None) if local else None
    present = set(manifest.blobs) if plan.up_to_date else await _read_present(app, manifest, blob, origin)
    _note_layers(plan, manifest, present)
    if name.is_cloud:
        plan.warnings.append("It runs on ollama.com: what is fetched is only a reference to it.")
    pull = await find_unfinished_pull(app.transfers, name)
    saved_bytes = _note_pull(plan, pull) if pull and plan.download_bytes else 0
    _note_disk(plan, await _read_free_bytes(app, blob), saved_bytes)
    plan.memory = await report_planned(
        app,
        name,
        manifest,
        context_length=context_length,
        origin=origin,
        may_evict=bool(models),
        measured=find_measured(found, await app.catalog.running() or []) if found and plan.up_to_date else None,
    )
    return plan


async def _read_present(app: App, manifest: Manifest, blob: Path | None, origin: Origin | None) -> set[str] | None:
    """Find the blobs that the server has: on this disk when it is the server's, else by `HEAD /api/blobs/<digest>`."""
    present = None
    if blob and origin == "machine":
        present = await run_probe(
            lambda: {digest for digest in manifest.blobs if blob.with_name(digest.replace(":", "-")).is_file()}
        )
    return await present_blobs(app.ollama, manifest) if present is None else present


def _note_layers(plan: PullPlan, manifest: Manifest, present: set[str] | None) -> None:
    layers = sorted(manifest.blobs.values(), key=lambda layer: -layer.size)
    plan.layers = [
        LayerPlan(
            digest=layer.digest.removeprefix("sha256:")[:12],
            kind="config" if layer is manifest.config else sanitize(layer.kind, 40),
            size_bytes=layer.size,
            present=_is_present(layer, manifest, present),
        )
        for layer in layers[:MAX_LOOKUPS]
    ]
    if present is None:
        why = "too many to look up" if len(layers) > MAX_LOOKUPS else "and the server does not report"
        plan.warnings.append(f"It has {len(layers)} parts, {why} which of them it has already.")
    else:
        plan.present_bytes = bytes_of(manifest, present)
        plan.download_bytes = manifest.total_bytes - plan.present_bytes


def _is_present(layer: Layer, manifest: Manifest, present: set[str] | None) -> bool | None:
    # The config is looked up only when all layers are present.
    if present is None or (layer is manifest.config and not present >= manifest.layer_digests):
        return None
    return layer.digest in present


def _note_pull(plan: PullPlan, pull: Transfer) -> int:
    """Add how the unfinished pull stands, and return its bytes beyond the parts that are present.

    Of a pull of another version they are other bytes, and one that failed with all of them had them discarded.
    """
    is_same = plan.total_bytes == pull.total_bytes != pull.completed_bytes
    saved_bytes = max(0, pull.completed_bytes - (plan.present_bytes or 0)) if is_same else 0
    if saved_bytes:
        plan.warnings.append(
            f"Of download_bytes a pull has {format_bytes(saved_bytes)} already ({pull.state}): pull_model continues it."
        )
    return saved_bytes


def _note_disk(plan: PullPlan, free_bytes: int | None, saved_bytes: int) -> None:
    plan.disk_free_bytes = free_bytes
    if free_bytes is None:
        plan.warnings.append("Free disk space is unknown: the server's model directory is not accessible from here.")
    elif plan.download_bytes is not None:
        lacking = plan.download_bytes - saved_bytes - free_bytes
        plan.fits_on_disk = lacking <= 0
        if not plan.fits_on_disk:
            plan.warnings.append(f"The disk lacks {format_bytes(lacking)}: plan_cleanup says which models to delete.")


async def _read_free_bytes(app: App, blob: Path | None) -> int | None:
    """Measure the disk that the models lie on; None unless one of its blobs can be seen from here.

    An address of this machine may well lead into a container or a tunnel.
    """
    if blob is None or not is_loopback(app.settings.base_url):
        return None
    return await run_probe(lambda: shutil.disk_usage(blob.parent).free if blob.is_file() else None)
