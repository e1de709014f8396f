"""`--demo`: the server over a simulated Ollama, on a machine without one."""

from typing import TYPE_CHECKING

from mcp_ollama.cli.output import print_note
from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.server.server import build_server
from mcp_ollama.simulator import PULLABLE, demo_simulator, serve
from mcp_ollama.sources.registry import Registry

if TYPE_CHECKING:
    from mcp_ollama.cli.main import Serve
    from mcp_ollama.settings import OllamaSettings


def serve_demo(settings: "OllamaSettings", transport: "Serve") -> int:
    """Serve a simulated Ollama server and its registry on the transport, and return the exit status."""
    note = f"This is a demo with a simulated Ollama server; it can pull {', '.join(PULLABLE)}."
    print_note(note)
    with serve(demo_simulator()) as running:
        # The simulated server ends with the process: there is nothing to resume.
        changes = {"base_url": running.base_url, "hf_endpoint": running.base_url, "state_dir": "off"}
        simulated = settings.model_copy(update=changes)
        registry = Registry(
            (), dict.fromkeys(REGISTRIES, running.base_url) | {"ollama.com": f"{running.base_url}/ollama.com"}
        )
        server = build_server(simulated, registry=registry)
        server.instructions = f"{server.instructions} {note}"
        return transport(server, simulated)
