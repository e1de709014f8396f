"""A host that manages models: the real server over a simulated Ollama, in one protocol era."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import anyio
from mcp import Client
from mcp.types import CallToolResult, TextContent

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.context import Patience
from mcp_ollama.ollama.registry import Registry
from mcp_ollama.server import OllamaServer
from mcp_ollama.simulator import Simulator, serve

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")


@dataclass
class Host:
    """Calls tools as a host does, and reads what a model would."""

    client: Client
    simulator: Simulator
    base_url: str
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list[Any])

    async def raw(self, tool: str, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments, progress_callback=self._note)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content
        assert isinstance(result.content[0], TextContent)
        assert result.structured_content is not None
        return result.structured_content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        result = await self.raw(tool, **arguments)
        assert result.is_error, result.content
        assert result.structured_content is None
        assert isinstance(result.content[0], TextContent)
        return result.content[0].text

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))


@cache
def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _server(patience: Patience, settings: tuple[tuple[str, Any], ...]) -> OllamaServer:
    """Build a server once: each client of it enters a life of its own, and building takes longer than most tests."""
    chosen = OllamaSettings(**{"base_url": f"http://127.0.0.1:{_port()}", **dict(settings)})
    return build_server(chosen, registry=Registry((), {"registry.ollama.ai": chosen.base_url}), patience=patience)


QUICK = Patience(report=0.01, heartbeat=0.05)


@asynccontextmanager
async def hosting(
    simulator: Simulator,
    era: Era,
    *,
    patience: Patience = QUICK,
    answer: Any = None,
    seconds: float = 15,
    on_message: Any = None,
    **settings: Any,
) -> AsyncGenerator[Host]:
    """Serve a simulator and talk to the MCP server over it; `answer` is what the user says to a question."""
    server = _server(patience, tuple(settings.items()))
    with serve(simulator, port=_port()) as running, anyio.fail_after(seconds):
        async with Client(server, mode=era, elicitation_callback=answer, message_handler=on_message) as client:
            yield Host(client, simulator, running.base_url)
