"""Manage the models of an Ollama server: an MCP server, and the library it is built on.

The names below are imported when they are first used: importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_ollama.agents.provider import (
        ProviderHealthStatus,
        agent_from_config,
        create_ollama_model,
        create_ollama_model_async,
        detect_ollama_model,
        ollama_health_check,
    )
    from mcp_ollama.ollama.client import OllamaClient
    from mcp_ollama.ollama.errors import ModelError, OllamaError
    from mcp_ollama.server.server import build_server
    from mcp_ollama.settings import OllamaSettings

    __version__: str

__all__ = [
    "ModelError",
    "OllamaClient",
    "OllamaError",
    "OllamaSettings",
    "ProviderHealthStatus",
    "__version__",
    "agent_from_config",
    "build_server",
    "create_ollama_model",
    "create_ollama_model_async",
    "detect_ollama_model",
    "ollama_health_check",
]

_HOMES = {
    "ModelError": "mcp_ollama.ollama.errors",
    "OllamaClient": "mcp_ollama.ollama.client",
    "OllamaError": "mcp_ollama.ollama.errors",
    "OllamaSettings": "mcp_ollama.settings",
    "ProviderHealthStatus": "mcp_ollama.agents.provider",
    "agent_from_config": "mcp_ollama.agents.provider",
    "build_server": "mcp_ollama.server.server",
    "create_ollama_model": "mcp_ollama.agents.provider",
    "create_ollama_model_async": "mcp_ollama.agents.provider",
    "detect_ollama_model": "mcp_ollama.agents.provider",
    "ollama_health_check": "mcp_ollama.agents.provider",
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
