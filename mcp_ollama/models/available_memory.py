"""Memory that a model can take on an Ollama server."""

from contextlib import suppress

import anyio

from mcp_ollama.models.app import App
from mcp_ollama.models.fit import free_bytes
from mcp_ollama.models.server_memory import (
    ServerMemory,
    locate_server,
    read_local_model,
    read_server_memory,
    stated_memory,
)
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import InstalledModel

READ_SECONDS = 4
"""Less than the 5 s that a search waits for facts; after that the operator's figure counts."""


async def read_available_memory(app: App, seconds: float = READ_SECONDS) -> int | None:
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
