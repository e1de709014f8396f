"""Memory that a model can take on an Ollama server."""

from mcp_ollama.models.app import App
from mcp_ollama.models.fit import free_bytes
from mcp_ollama.models.machine import parse_memory


async def read_available_memory(app: App) -> int | None:
    """Return the bytes that a model can take on the server, GPUs before RAM; None when unknown."""
    if app.settings.memory is None:
        return None
    return sum(free_bytes(parse_memory(app.settings.memory)) or ()) or None
