"""Sentence of `health` on the memory of the Ollama server: what is free, and how it is known."""

from mcp_ollama.models.app import App
from mcp_ollama.models.formatting import format_memory
from mcp_ollama.models.machine import Memory, Origin
from mcp_ollama.models.server_memory import locate_server, read_local_model, read_server_memory
from mcp_ollama.ollama.schemas import InstalledModel

_UNKNOWN = "How much memory is free is unknown: Ollama is not proved to run here, and MCP_OLLAMA_MEMORY is not set."
_ORIGINS: dict[Origin, str] = {
    "machine": "seen on this machine, where Ollama runs",
    "machine_assumed": "seen on this machine, where Ollama is assumed to run",
    "operator": "stated in MCP_OLLAMA_MEMORY",
}


async def describe_free_memory(app: App, models: list[InstalledModel]) -> str:
    """Describe the free memory of the Ollama server, in units of 1024³ bytes."""
    origin = await locate_server(app, await read_local_model(app, models))
    server = await read_server_memory(app, origin)
    return _describe(server.memory) if server.memory else _UNKNOWN


def _describe(memory: Memory) -> str:
    is_stated = memory.origin == "operator"
    parts = [_part(gpu.name, gpu.free_bytes, gpu.total_bytes, is_stated=is_stated) for gpu in memory.gpus or ()]
    if memory.gpus is None:
        parts.append("memory of the GPU unknown")
    if memory.ram:
        parts.append(_part("RAM", memory.ram.available_bytes, memory.ram.total_bytes, is_stated=is_stated))
    return f"{', '.join(parts) or 'No GPU found, RAM unknown'} ({_ORIGINS[memory.origin]})."


def _part(name: str, free: int, total: int, *, is_stated: bool) -> str:
    return f"{name}: {format_memory(total)}" if is_stated else f"{name}: {format_memory(free, total)} free"
