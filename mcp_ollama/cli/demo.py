"""`--demo`: the server over a simulated Ollama, on a machine without one."""

from typing import TYPE_CHECKING

from mcp_ollama.server.server import build_server
from mcp_ollama.simulator import demo_simulator, serve
from mcp_ollama.sources.registry import Registry

if TYPE_CHECKING:
    from mcp_ollama.cli.main import Serve
    from mcp_ollama.settings import OllamaSettings


def serve_demo(settings: "OllamaSettings", transport: "Serve") -> int:
    """Serve a simulated Ollama server and its registry on the transport, and return the exit status."""
    with serve(demo_simulator()) as running:
        simulated = settings.model_copy(update={"base_url": running.base_url})
        registry = Registry((), {"registry.ollama.ai": running.base_url})
        return transport(build_server(simulated, registry=registry), simulated)
