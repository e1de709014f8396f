"""An MCP client in this process: it calls tools in memory, and checks the rules for every result."""

import json
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any, Literal, cast

import anyio
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, TextContent, Tool

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama import tools as all_tools
from mcp_ollama.models.app import Timeouts
from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.server.server import OllamaServer
from mcp_ollama.sources.registry import Registry
from mcp_ollama.tools.spec import ToolSpec

Era = Literal["auto", "legacy"]
"""Which revisions of the protocol the client speaks: the stateless ones, or those with a handshake."""

SECONDS = 30
"""No conversation takes nearly so long."""


class Host:
    """One conversation with a server: `await host("list_models", limit=3)`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.reported: list[tuple[float, float | None, str]] = []
        """All progress so far: how much, of how much, and the line for a person."""
        self._reported_more = anyio.Event()

    async def __call__(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool that succeeds."""
        result = await self.result(tool, **arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def refusal(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool that does not, and read what it says."""
        result = await self.result(tool, **arguments)
        assert result.is_error, result.content
        return text_of(result)

    async def result(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """Call a tool; the SDK's client holds the answer against the output schema."""
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        if result.is_error:
            _check_error(result)
        else:
            _check_answer(result)
        return result

    async def until_reported(self, times: int) -> None:
        """Wait until progress was reported this many times."""
        while len(self.reported) < times:
            self._reported_more = anyio.Event()
            await self._reported_more.wait()

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.reported.append((progress, total, message or ""))
        self._reported_more.set()


@cache
def own_port() -> int:
    """Choose the port of all simulators of this process, so that a server once built can be used again.

    It lies below the range from which the system hands out ports: between two tests another process could get it.
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20,000 and 30,000")


@cache
def built(timeouts: Timeouts, *more_tools: ToolSpec, **settings: Any) -> OllamaServer:
    """Build a server, once: that takes longer than most tests. Each client of it begins another life."""
    own = f"http://127.0.0.1:{own_port()}"
    chosen = OllamaSettings.load(**{"base_url": own, "hf_endpoint": own, "state_dir": "off"} | settings)
    addresses = dict.fromkeys((*REGISTRIES, *chosen.registry_hosts), chosen.base_url)
    registry = Registry((), addresses | {"ollama.com": f"{chosen.base_url}/ollama.com"})
    return build_server(chosen, registry=registry, timeouts=timeouts, tools=(*all_tools.ALL, *more_tools))


@asynccontextmanager
async def host(server: Server[Any], era: Era) -> AsyncGenerator[Host]:
    """Open a conversation; it is cut off when it hangs."""
    with anyio.fail_after(SECONDS):
        async with Client(server, mode=era) as client:
            yield Host(client)


async def listed_tools(**settings: Any) -> list[Tool]:
    """List the tools of a server, as a client receives them."""
    async with Client(built(Timeouts(), **settings)) as client:
        return (await client.list_tools()).tools


def text_of(result: CallToolResult) -> str:
    """Read the one text of an answer."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def _check_answer(result: CallToolResult) -> None:
    text = text_of(result)
    answer = json.loads(text)
    assert answer == result.structured_content
    assert text == json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
    assert not _has_null(answer)


def _has_null(value: object) -> bool:
    match value:
        case dict():
            return any(map(_has_null, cast("dict[str, object]", value).values()))
        case list():
            return any(map(_has_null, cast("list[object]", value)))
        case _:
            return value is None


def _check_error(result: CallToolResult) -> None:
    text = text_of(result)
    assert result.structured_content is None
    assert 0 < len(text) <= 600
    assert "\n" not in text
    assert text[-1] in ".…"
    for foreign in ("pydantic.dev", "Traceback", "object at 0x", "<html"):
        assert foreign not in text
