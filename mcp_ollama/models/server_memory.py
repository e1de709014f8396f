"""Memory of the machine of an Ollama server: seen when Ollama runs here, else stated by the operator, else unknown."""

from contextlib import suppress
from dataclasses import dataclass

import anyio

from mcp_ollama.models.app import App
from mcp_ollama.models.fit import free_bytes
from mcp_ollama.models.locality import LocalModel
from mcp_ollama.models.machine import Memory, Origin, parse_memory, read_memory
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import InstalledModel

AVAILABLE_SECONDS = 4
"""Less than the 5 s that a search waits for facts; after that the operator's figure counts."""


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """Memory of the Ollama server.

    Attributes:
        memory: The memory; None when it is unknown.
        evictable_bytes: Memory on GPUs of the loaded models, which Ollama unloads when it needs it.
    """

    memory: Memory | None = None
    evictable_bytes: int = 0


async def read_local_model(app: App, models: list[InstalledModel]) -> LocalModel | None:
    """Read the details of an installed model, which can prove that Ollama runs on this machine.

    Returns:
        None without a request when the address of the server is not this machine's, or nothing is installed.
    """
    local = next((one for one in models if not one.remote_host), None)
    if local is None or not await app.locality.has_own_address():
        return None
    facts = (await app.catalog.facts([local]))[local.digest]
    return LocalModel(local.size, facts.sources) if facts else None


async def locate_server(app: App, local: LocalModel | None) -> Origin | None:
    """Find out whether the Ollama server runs on this machine, see `Locality`; no request is sent.

    It takes half of `Timeouts.memory` at most, since the memory is read afterwards; None then.

    Args:
        app: The application.
        local: An installed model, see `read_local_model`.
    """
    with anyio.move_on_after(app.timeouts.memory / 2):
        return await app.locality.find(local)
    return None


async def read_server_memory(app: App, origin: Origin | None, *, may_evict: bool = True) -> ServerMemory:
    """Read the memory of the Ollama server, within `Timeouts.memory`.

    The loaded models count (`GET /api/ps`) where the free memory of GPUs is seen; an operator's figure is a total.

    Args:
        app: The application.
        origin: Whether the server runs on this machine, see `locate_server`.
        may_evict: Whether a model may be loaded; False, which saves the request, when none is installed.
    """
    with anyio.move_on_after(app.timeouts.memory):
        memory = await _read_memory(app, origin)
        if memory is None or memory.origin == "operator" or not memory.gpus or not may_evict:
            return ServerMemory(memory)
        with suppress(OllamaError):
            running = await app.catalog.running_now()
            return ServerMemory(memory, sum(one.size_vram for one in running))
        return ServerMemory(memory)
    return ServerMemory(stated_memory(app))


async def read_available_memory(app: App, seconds: float = AVAILABLE_SECONDS) -> int | None:
    """Return the bytes that a model can take on the server, on GPUs if it has any; None when unknown."""
    server = ServerMemory(stated_memory(app))
    with anyio.move_on_after(seconds):
        models: list[InstalledModel] = []
        with suppress(OllamaError):
            models = await app.ollama.list_models()
        origin = await locate_server(app, await read_local_model(app, models))
        server = await read_server_memory(app, origin)
    free = free_bytes(server.memory, server.evictable_bytes) if server.memory else None
    return sum(free) if free else None


async def _read_memory(app: App, origin: Origin | None) -> Memory | None:
    stated = stated_memory(app)
    if origin is None or (stated and origin == "machine_assumed"):
        return stated
    seen = await read_memory(origin)
    return seen if seen.gpus is not None else stated or seen


def stated_memory(app: App) -> Memory | None:
    """Return the memory that the operator states in `MCP_OLLAMA_MEMORY`, None without a statement."""
    return parse_memory(app.settings.memory) if app.settings.memory else None
