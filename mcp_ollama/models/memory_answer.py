"""Answer `memory` of the tools: metadata of the weights and memory of the server, brought together."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio

from mcp_ollama.models.app import App
from mcp_ollama.models.concurrency import side_by_side
from mcp_ollama.models.facts import configured_context, facts_of, file_digests, parse_parameters
from mcp_ollama.models.fit import FitQuery, Measured, MemoryReport, report_memory
from mcp_ollama.models.layers import UnknownArchitecture, read_shape
from mcp_ollama.models.locality import LocalModel
from mcp_ollama.models.lookup import find_running
from mcp_ollama.models.machine import Origin
from mcp_ollama.models.server_memory import ServerMemory, locate_server, read_server_memory
from mcp_ollama.models.weights import WEIGHTS_ONLY, Weights, read_weights
from mcp_ollama.ollama.errors import InvalidModelName, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, Manifest, ModelInfo, RunningModel

REMOTE = MemoryReport(
    weights_bytes=0, verdict="unknown", notes=["It runs on ollama.com and takes no memory of the Ollama server."]
)

Metadata = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Source:
    """The data behind an estimate; without metadata, `reason` says why."""

    weights: Weights
    metadata: Metadata | None = None
    reason: str = ""


async def report_planned(
    app: App,
    name: ModelName,
    manifest: Manifest,
    *,
    context_length: int | None = None,
    origin: Origin | None = None,
    may_evict: bool = True,
    measured: Measured | None = None,
) -> MemoryReport:
    """Report the memory of a model in a registry, from its manifest and the head of its weights file.

    Args:
        app: The application.
        name: The model.
        manifest: Its manifest.
        context_length: Tokens per slot; None takes the server's default.
        origin: Whether the server runs on this machine, see `locate_server`.
        may_evict: Whether a model may be loaded, see `read_server_memory`.
        measured: The figure of `/api/ps`, when this very model is loaded.
    """
    if name.is_cloud:
        return REMOTE
    source, server = await side_by_side(
        lambda: _read_head(app, name, read_weights(manifest)),
        lambda: read_server_memory(app, origin, may_evict=may_evict),
    )
    return _report(source, server, context_length, measured)


async def report_installed(
    app: App,
    model: InstalledModel,
    info: ModelInfo,
    *,
    context_length: int | None = None,
    measured: Measured | None = None,
) -> MemoryReport:
    """Report the memory of an installed model.

    Args:
        app: The application.
        model: The model.
        info: Its details, from `/api/show`.
        context_length: Tokens per slot; None takes the model's `num_ctx`, else the server's default.
        measured: The figure of `/api/ps`, when it is loaded.
    """
    if model.remote_host:
        return REMOTE
    source = await _read_installed(app, model, info)
    origin = await locate_server(app, LocalModel(model.size, facts_of(info).sources))
    server = await read_server_memory(app, origin)
    context_length = context_length or configured_context(parse_parameters(info.parameters))
    return _report(source, server, context_length, measured)


def find_measured(model: InstalledModel, running: Iterable[RunningModel]) -> Measured | None:
    """Find the figure of `/api/ps` for a model with the same digest; None when it is not loaded."""
    loaded = next(iter(find_running(model, running)), None) if model.digest else None
    return Measured(loaded.context_length, loaded.size_vram) if loaded else None


def _report(
    source: _Source, server: ServerMemory, context_length: int | None, measured: Measured | None
) -> MemoryReport:
    fit = FitQuery(source.metadata, source.weights.size_bytes, source.weights.projector_bytes, context_length)
    return report_memory(
        fit, server.memory, evictable_bytes=server.evictable_bytes, measured=measured, reason=source.reason
    )


async def _read_head(app: App, name: ModelName, weights: Weights) -> _Source:
    """Read the metadata from the registry; a failure is a reason, since the rest of the answer stands without it."""
    if weights.layer is None:
        return _Source(weights, reason=weights.reason)
    reason = "The head of the weights file did not arrive in time. Only the weights are estimated."
    with anyio.move_on_after(app.timeouts.memory):
        try:
            return _Source(weights, await app.registry.read_weights_metadata(name, weights.layer))
        except OllamaError as error:
            reason = str(error)
    return _Source(weights, reason=reason)


async def _read_installed(app: App, model: InstalledModel, info: ModelInfo) -> _Source:
    """Read the metadata of an installed model from `/api/show`, else from the registry, else from a verbose one.

    A plain `/api/show` leaves out only arrays, which most architectures do without.
    """
    whole = Weights(None, model.size)
    if shape := _unestimated(info):
        return _Source(whole, reason=WEIGHTS_ONLY[shape])
    known = info.model_info or {}
    suffices, digests = _suffices(known), file_digests(info)
    if suffices and len(digests) < 2:
        return _Source(whole, known)
    published = await _find_published(app, model, digests)
    if published and (suffices or published.reason):
        return _Source(published, known, published.reason) if suffices else _Source(published, reason=published.reason)
    if published and (source := await _read_head(app, ModelName.for_pull(model.name), published)).metadata is not None:
        return source
    return await _read_verbose(app, model, published or whole)


def _unestimated(info: ModelInfo) -> str:
    if info.details.format == "safetensors":
        return "tensor"
    return "adapter" if any(line.startswith("ADAPTER ") for line in info.modelfile.splitlines()) else ""


def _suffices(metadata: Metadata) -> bool:
    try:
        read_shape(metadata)
    except UnknownArchitecture:
        return False
    return True


async def _find_published(app: App, model: InstalledModel, digests: list[str]) -> Weights | None:
    """Find the weights of an installed model in the registry of its name; None when it has others there, or none."""
    with suppress(OllamaError, InvalidModelName):
        weights = read_weights(await app.registry.get_manifest(ModelName.for_pull(model.name)))
        if weights.layer is None or weights.layer.digest.removeprefix("sha256:") in digests:
            return weights
    return None


async def _read_verbose(app: App, model: InstalledModel, weights: Weights) -> _Source:
    source = _Source(weights, reason="The Ollama server did not send the model's metadata in time.")
    with anyio.move_on_after(app.timeouts.memory):
        try:
            return replace(source, metadata=await app.ollama.get_metadata(model.name))
        except OllamaError as error:
            return replace(source, reason=str(error))
    return source
