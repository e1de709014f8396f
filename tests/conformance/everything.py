"""Our server class with the fixtures of the official suite, over HTTP: `python -m tests.conformance.everything`."""

import sys
import warnings

from mcp import MCPDeprecationWarning

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.simulator import demo_simulator
from mcp_ollama.simulator import serve as simulate
from mcp_ollama.transports.http import Address, serve
from tests.conformance import fixtures, questions


def main() -> int:
    """Serve until a signal comes."""
    # Older revisions are asked for what newer ones have given up.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    with simulate(demo_simulator()) as ollama:
        server = build_server(OllamaSettings(base_url=ollama.base_url))
        fixtures.register(server)
        questions.register(server)
        return serve(server, Address("127.0.0.1", 0), notifications=server.announced())


if __name__ == "__main__":
    sys.exit(main())
