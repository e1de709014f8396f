"""This server on stdio, with the backend of the measurement as its registry."""

import sys

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.sources.registry import Registry
from mcp_ollama.transports.std_streams import claim
from mcp_ollama.transports.stdio import serve

if __name__ == "__main__":
    pipes = claim()
    settings = OllamaSettings.load()
    server = build_server(settings, registry=Registry((), dict.fromkeys(REGISTRIES, settings.base_url)))
    sys.exit(serve(server, pipes))
