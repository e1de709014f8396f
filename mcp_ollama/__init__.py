"""Manage the models of an Ollama server: an MCP server, and the library it is built on.

The names below are imported when they are first used: importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_ollama.ollama.client import OllamaClient
    from mcp_ollama.ollama.errors import ModelError, OllamaError
    from mcp_ollama.server import build_server
    from mcp_ollama.settings import OllamaSettings

    __version__: str

__all__ = ["ModelError", "OllamaClient", "OllamaError", "OllamaSettings", "__version__", "build_server"]

_HOMES = {
    "ModelError": "mcp_ollama.ollama.errors",
    "OllamaClient": "mcp_ollama.ollama.client",
    "OllamaError": "mcp_ollama.ollama.errors",
    "OllamaSettings": "mcp_ollama.settings",
    "build_server": "mcp_ollama.server",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that the start of a server need not pay

        return version("mcp-ollama-manager")
    if home := _HOMES.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
