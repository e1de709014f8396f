"""What every handler can reach, and the one place where our errors become MCP's."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, InputRequiredResult, TextContent
from pydantic import BaseModel

from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.events import Changes, Publish
from mcp_ollama.models.loading import Loads
from mcp_ollama.models.transfers import Transfers
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    ModelError,
    ModelNotFoundError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
)
from mcp_ollama.server.confirmations import Confirmations
from mcp_ollama.settings import REGISTRIES, OllamaSettings
from mcp_ollama.sources.registry import Registry

Params = ParamSpec("Params")

MAX_ERROR_TEXT = 600
MAX_ANSWER_TEXT = 150_000
"""Characters of an answer: 200 models have 60,000, and a model with all its long texts has as many."""
STATELESS_SINCE = "2026-07-28"
"""The revision of MCP since which there is no handshake: each request stands alone."""
META = "io.github.mcp-ollama-manager"
"""Prefix of the keys under which an error carries data for programs, in `_meta`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long things may take, in seconds.

    Args:
        call: Limit for a tool call that does not wait for a transfer or a load; clients time out after 60.
        check: One request of `health`; four of them and `health_extra` stay under `call`.
        health_extra: All further checks of `health`, side by side.
        unload: Until a model that is to be deleted has left memory.
        cancel: Until a cancelled transfer has ended.
        confirmation_ttl: Lifetime of a confirmation token.
        elicitation: Limit for the user to answer a question; not part of `call`.
        progress_interval: Between two progress notifications while bytes move (four a second at most).
        progress_keepalive: The same while none move; some clients give up on a call that reports nothing.
        retry: Before the second attempt of a transfer; further pauses grow from it.
        load: Until a model is in memory; Ollama gives up sooner.
        updates: All registry lookups of `check_updates` together.
    """

    call: float = 40
    check: float = 7
    health_extra: float = 5
    unload: float = 10
    cancel: float = 35
    confirmation_ttl: float = 600
    elicitation: float = 120
    progress_interval: float = 0.34
    progress_keepalive: float = 5
    retry: float = 1
    load: float = 3600
    updates: float = 35


@dataclass(frozen=True, slots=True)
class App:
    """What lives as long as the server does."""

    settings: OllamaSettings
    timeouts: Timeouts
    ollama: OllamaClient
    registry: Registry
    catalog: Catalog
    transfers: Transfers
    loads: Loads
    confirmations: Confirmations
    changes: Changes


Call = Context[App]
"""What a handler gets from the SDK: this request, and through it the server's whole life."""


def app_of(call: Call) -> App:
    """Reach what lives as long as the server does."""
    return call.request_context.lifespan_context


def build_client(settings: OllamaSettings, *, base_url: str | None = None, limit: float = math.inf) -> OllamaClient:
    """Build a client of the server of these settings, with its key and headers.

    Args:
        settings: Address, timeout, key and headers.
        base_url: Another address of the same server.
        limit: Seconds for one request, where the settings allow more.
    """
    return OllamaClient(
        base_url or settings.base_url,
        min(settings.timeout, limit),
        api_key=settings.plain_api_key(),
        headers=settings.plain_headers(),
    )


@asynccontextmanager
async def open_app(
    settings: OllamaSettings,
    registry: Registry | None = None,
    timeouts: Timeouts | None = None,
    publish: Publish | None = None,
) -> AsyncGenerator[App]:
    """Bring the server to life: nothing is connected before the first call, all is closed at the end."""
    ollama = build_client(settings)
    registry = registry or Registry((*REGISTRIES, *settings.registries))
    timeouts = timeouts or Timeouts()
    changes = Changes(publish)
    transfers = Transfers(
        ollama,
        registry,
        stall_seconds=settings.stall_seconds,
        retry_seconds=timeouts.retry,
        changed=changes.transfer_changed,
    )
    loads = Loads(ollama, longest=timeouts.load, changed=changes.running_changed)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.aclose)
        stack.push_async_callback(ollama.aclose)
        await stack.enter_async_context(transfers.running())
        await stack.enter_async_context(loads.running())
        confirmations = Confirmations(timeouts.confirmation_ttl)
        yield App(settings, timeouts, ollama, registry, Catalog(ollama), transfers, loads, confirmations, changes)


class RefusedError(OllamaError):
    """Something that this server does not do, whatever Ollama would; nothing was sent."""


class FailedError(OllamaError):
    """A job that was waited for has failed; `outcome` tells programs how it stood."""

    def __init__(self, problem: str, next_step: str, outcome: BaseModel) -> None:
        super().__init__(problem, next_step)
        self.outcome = outcome


def written(answer: BaseModel) -> str:
    """Write an answer as compact JSON without nulls.

    Raises:
        OllamaResponseError: It is so long that what Ollama said cannot be true; a model's context holds no such text.
    """
    text = answer.model_dump_json(exclude_none=True)
    if len(text) > MAX_ANSWER_TEXT:
        raise OllamaResponseError(
            f"The answer would have {len(text):,} characters, because the server's own is not what Ollama's would be.",
            "Check with health that the address is an Ollama server, or ask for less.",
        )
    return text


class QuestionError(Exception):
    """The user has to be asked before the call can be answered: the host does so, and calls again."""

    def __init__(self, request: InputRequiredResult) -> None:
        super().__init__("The user has to be asked first.")
        self.request = request


_patience_of_call: ContextVar[anyio.CancelScope] = ContextVar("patience_of_call")


@contextmanager
def user_decides() -> Generator[None]:
    """Stop the clock of a call while its user thinks."""
    scope = _patience_of_call.get()
    left = scope.deadline - anyio.current_time()
    scope.deadline = math.inf
    try:
        yield
    finally:
        scope.deadline = anyio.current_time() + left


def answering(
    handler: Callable[Params, Awaitable[BaseModel]], seconds: float
) -> Callable[Params, Awaitable[CallToolResult | InputRequiredResult]]:
    """Turn what a tool returns or raises into MCP's result.

    The same complete data goes into the structured and, as compact JSON without nulls, into the text
    content, since some hosts read only one of the two. Our errors become sentences for the model; any
    other exception is a bug, which the SDK logs and hides. After so many seconds a sentence is the answer.
    """

    @wraps(handler)
    async def answer(*args: Params.args, **kwargs: Params.kwargs) -> CallToolResult | InputRequiredResult:
        result: BaseModel | None = None
        with anyio.move_on_after(seconds) as scope:
            _patience_of_call.set(scope)
            try:
                result = await handler(*args, **kwargs)
            except QuestionError as question:
                return question.request
            except (OllamaError, InvalidModelName) as error:
                return failure(str(error), _data_of(error))
        if result is None:
            return failure(f"The Ollama server is too slow: no end within {seconds:g} s. See health, then call again.")
        try:
            text = TextContent(type="text", text=written(result))
        except OllamaResponseError as error:
            return failure(str(error), _data_of(error))
        return CallToolResult(content=[text], structured_content=result.model_dump(mode="json", exclude_none=True))

    return answer


@contextmanager
def reading(seconds: float) -> Generator[None]:
    """Turn what a resource raises into MCP's error; after so many seconds a sentence is the answer."""
    try:
        with anyio.fail_after(seconds):
            yield
    except (ModelNotFoundError, ModelError, InvalidModelName) as error:
        raise ResourceNotFoundError(_bounded(str(error))) from error
    except OllamaError as error:
        raise ResourceError(_bounded(str(error))) from error
    except TimeoutError as error:
        raise ResourceError(f"The Ollama server is too slow: no end within {seconds:g} s. See health.") from error


def failure(sentence: str, meta: dict[str, Any] | None = None) -> CallToolResult:
    """Make an error result; data goes into `_meta`, since clients check structured content against the schema."""
    return CallToolResult(content=[TextContent(type="text", text=_bounded(sentence))], is_error=True, _meta=meta)


def _bounded(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_ERROR_TEXT else f"{sentence[: MAX_ERROR_TEXT - 1]}…"


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
