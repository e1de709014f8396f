"""A host in this process: it calls tools in memory, and checks what holds for every answer."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from mcp import Client
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

from mcp_ollama.context import App

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

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.reported.append((progress, total, message or ""))


@asynccontextmanager
async def host(server: MCPServer[App], era: Era) -> AsyncGenerator[Host]:
    """Open a conversation; it is cut off when it hangs."""
    with anyio.fail_after(SECONDS):
        async with Client(server, mode=era) as client:
            yield Host(client)


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


def _has_null(value: Any) -> bool:
    inner: list[Any] = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []  # pyright: ignore
    return value is None or any(_has_null(one) for one in inner)


def _check_error(result: CallToolResult) -> None:
    text = text_of(result)
    assert result.structured_content is None
    assert 0 < len(text) <= 600
    assert "\n" not in text
    assert text[-1] in ".…"
    for foreign in ("pydantic", "Traceback", "object at 0x", "<html"):
        assert foreign not in text
