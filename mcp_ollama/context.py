"""What every handler can reach, and the one place where our errors become MCP's."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from mcp_ollama.catalog import Catalog
from mcp_ollama.confirmations import Confirmations
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError, OllamaStatusError
from mcp_ollama.ollama.registry import Registry
from mcp_ollama.settings import REGISTRIES, OllamaSettings
from mcp_ollama.transfers import Transfers

Params = ParamSpec("Params")

MAX_ERROR_TEXT = 600
META = "io.github.mcp-ollama-manager"
"""Prefix of the keys under which an error carries data for programs, in `_meta`."""


@dataclass(frozen=True, slots=True)
class App:
    """What lives as long as the server does."""

    settings: OllamaSettings
    ollama: OllamaClient
    registry: Registry
    catalog: Catalog
    transfers: Transfers
    confirmations: Confirmations


Call = Context[App]
"""What a handler gets from the SDK: this request, and through it the server's whole life."""


def app_of(call: Call) -> App:
    """Reach what lives as long as the server does."""
    return call.request_context.lifespan_context


@asynccontextmanager
async def living(settings: OllamaSettings, registry: Registry | None = None) -> AsyncGenerator[App]:
    """Bring the server to life: nothing is connected before the first call, all is closed at the end."""
    ollama = OllamaClient(
        settings.base_url, settings.timeout, api_key=settings.plain_api_key(), headers=settings.plain_headers()
    )
    registry = registry or Registry((*REGISTRIES, *settings.registries))
    transfers = Transfers(ollama, registry, stall_seconds=settings.stall_seconds)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.aclose)
        stack.push_async_callback(ollama.aclose)
        await stack.enter_async_context(transfers.running())
        yield App(settings, ollama, registry, Catalog(ollama), transfers, Confirmations())


class RefusedError(OllamaError):
    """Something that this server does not do, whatever Ollama would; nothing was sent."""


class FailedError(OllamaError):
    """A job that was waited for has failed; `outcome` tells programs how it stood."""

    def __init__(self, problem: str, next_step: str, outcome: BaseModel) -> None:
        super().__init__(problem, next_step)
        self.outcome = outcome


def answering(handler: Callable[Params, Awaitable[BaseModel]]) -> Callable[Params, Awaitable[CallToolResult]]:
    """Turn what a tool returns or raises into MCP's result.

    The same complete data goes into the structured and, as compact JSON without nulls, into the text
    content, since some hosts read only one of the two. Our errors become sentences for the model; any
    other exception is a bug, which the SDK logs and hides.
    """

    @wraps(handler)
    async def answer(*args: Params.args, **kwargs: Params.kwargs) -> CallToolResult:
        try:
            result = await handler(*args, **kwargs)
        except (OllamaError, InvalidModelName) as error:
            return failure(str(error), _data_of(error))
        text = TextContent(type="text", text=result.model_dump_json(exclude_none=True))
        return CallToolResult(content=[text], structured_content=result.model_dump(mode="json", exclude_none=True))

    return answer


def failure(sentence: str, meta: dict[str, Any] | None = None) -> CallToolResult:
    """Make an error result; data goes into `_meta`, since clients check structured content against the schema."""
    if len(sentence) > MAX_ERROR_TEXT:
        sentence = f"{sentence[: MAX_ERROR_TEXT - 1]}…"
    return CallToolResult(content=[TextContent(type="text", text=sentence)], is_error=True, _meta=meta)


def _data_of(error: OllamaError | InvalidModelName) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": type(error).__name__}
    if isinstance(error, OllamaStatusError):
        data["status_code"] = error.status_code
    if isinstance(error, ModelNotFoundError):
        data["model"] = error.model
    meta: dict[str, Any] = {f"{META}/error": data}
    if isinstance(error, FailedError):
        meta[f"{META}/transfer"] = error.outcome.model_dump(mode="json", exclude_none=True)
    return meta
