"""The MCP server: composes tools, resources, prompts and subscriptions on the SDK's low-level server."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import anyio
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from mcp_ollama import tools as all_tools
from mcp_ollama.models.app import App, Timeouts, open_app
from mcp_ollama.server import prompts as all_prompts
from mcp_ollama.server import resources
from mcp_ollama.server.arguments import InvalidArgumentsError
from mcp_ollama.server.consent import Consent, InputRequiredError
from mcp_ollama.server.limits import MAX_WORKING, RequestLimits
from mcp_ollama.server.prompts import PromptRegistry, PromptSpec
from mcp_ollama.server.results import EXPECTED_ERRORS, failure, failure_from, success, timeout_sentence
from mcp_ollama.server.subscriptions import Subscriptions
from mcp_ollama.server.tokens import ConfirmationTokens
from mcp_ollama.server.tool_registry import RegisteredTool, ToolRegistry
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry
from mcp_ollama.tools.spec import Call, ToolSpec

logger = logging.getLogger(__name__)

NAME = "ollama"
DISTRIBUTION = "mcp-ollama-manager"

_HOUR_MS = 3_600_000
_FIXED = CacheHint(ttl_ms=_HOUR_MS, scope="public")
CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    "server/discover": _FIXED,
    "tools/list": _FIXED,
    "prompts/list": _FIXED,
    "resources/templates/list": _FIXED,
    "resources/list": CacheHint(ttl_ms=5_000),
}
"""How long clients may keep a result (2026-07-28); the content of a resource is not kept."""

_FOR_ALL = "Manages the models of an Ollama server. list_models gives exact names; health says what is wrong."
_FOR_PULLS = "A pull goes on after its call has ended: call pull_model again to keep waiting, cancel_pull to stop it."
_FOR_DELETES = "Ask the user before deleting."
INSTRUCTIONS = {
    "full": f"{_FOR_ALL} {_FOR_PULLS} {_FOR_DELETES}",
    "no-delete": f"{_FOR_ALL} {_FOR_PULLS} No model can be deleted here.",
    "read-only": f"{_FOR_ALL} Nothing can be changed here.",
}
"""The instructions for models, by access tier."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of a running server, shared by its clients.

    Args:
        app: The application behind all requests.
        tokens: The confirmation tokens of destructive actions.
        slots: One for each request that may work at the same time.
        subscriptions: The clients that changes are sent to.
    """

    app: App
    tokens: ConfirmationTokens
    slots: anyio.Semaphore
    subscriptions: Subscriptions


Context = ServerRequestContext[ServerState, Any]


class OllamaServer(Server[ServerState]):
    """The low-level server of the SDK, with the one notification that the handshake has to declare."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """Return the answer to `initialize`: the list of resources changes, those of tools and prompts do not."""
        options = notification_options or NotificationOptions(resources_changed=True)
        return super().create_initialization_options(options, experimental_capabilities, extensions)


def build_server(
    settings: OllamaSettings | None = None,
    *,
    registry: Registry | None = None,
    timeouts: Timeouts | None = None,
    tools: Sequence[ToolSpec] = all_tools.ALL,
    prompts: Sequence[PromptSpec] = all_prompts.ALL,
) -> OllamaServer:
    """Build the MCP server; the first tool call opens the first connection.

    Args:
        settings: The operator's settings; None reads the environment.
        registry: The client of model registries, for one under another address.
        timeouts: Limits of time.
        tools: The tools to offer, where the settings allow them.
        prompts: The prompts to offer.

    Raises:
        ValueError: An environment variable has an invalid value, which the text names.
    """
    settings = settings or OllamaSettings.load()
    bus = InMemorySubscriptionBus()
    handlers = _Handlers(ToolRegistry(tools, settings), PromptRegistry(prompts))
    server = OllamaServer(
        NAME,
        title="Ollama models",
        description="List, pull, inspect and delete the models of an Ollama server, and see its health.",
        instructions=INSTRUCTIONS[settings.access],
        website_url=f"https://github.com/{DISTRIBUTION}/{DISTRIBUTION}",
        version=version(DISTRIBUTION),
        cache_hints=CACHE_HINTS,
        lifespan=lambda _: _lifespan(settings, registry, timeouts or Timeouts(), bus),
        get_tool_input_schema=handlers.tools.input_schema,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_resource_templates,
        on_read_resource=handlers.read_resource,
        on_subscribe_resource=handlers.subscribe,
        on_unsubscribe_resource=handlers.unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_completion=handlers.complete,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    server.middleware.append(_register_connection)
    return server


@asynccontextmanager
async def _lifespan(
    settings: OllamaSettings, registry: Registry | None, timeouts: Timeouts, bus: InMemorySubscriptionBus
) -> AsyncGenerator[ServerState]:
    subscriptions = Subscriptions(bus)
    tokens, slots = ConfirmationTokens(timeouts.confirmation_ttl), anyio.Semaphore(MAX_WORKING)
    async with subscriptions.running(), open_app(settings, registry, timeouts, subscriptions.publish) as app:
        yield ServerState(app, tokens, slots, subscriptions)


async def _register_connection(ctx: ServerRequestContext[ServerState], call_next: CallNext) -> HandlerResult:
    ctx.lifespan_context.subscriptions.register(ctx)
    return await call_next(ctx)


@dataclass(frozen=True, slots=True)
class _Handlers:
    """The handlers of MCP's requests; each takes the application from the lifespan of its request."""

    tools: ToolRegistry
    prompts: PromptRegistry

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=self.tools.definitions())

    async def call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        tool = self.tools.find(params.name)
        if isinstance(tool, CallToolResult):
            return tool
        try:
            result = await _call(tool, ctx, params)
        except InputRequiredError as question:
            return question.request
        except InvalidArgumentsError as error:
            result = failure(str(error))
        except EXPECTED_ERRORS as error:
            result = failure_from(error)
        except Exception:
            logger.exception("Unexpected exception in tool %s", params.name)
            result = failure(f"Error executing tool {params.name}")
        return self.tools.with_disabled_tools(result) if result.is_error else result

    async def list_resources(self, ctx: Context, _: PaginatedRequestParams | None) -> ListResourcesResult:
        async with ctx.lifespan_context.slots:
            return ListResourcesResult(resources=await resources.list_resources(ctx.lifespan_context.app))

    async def list_resource_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=resources.list_templates())

    async def read_resource(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        async with ctx.lifespan_context.slots:
            content = await resources.read_resource(ctx.lifespan_context.app, str(params.uri))
        return ReadResourceResult(contents=[content])

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        return ctx.lifespan_context.subscriptions.subscribe(ctx, str(params.uri))

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        return ctx.lifespan_context.subscriptions.unsubscribe(ctx, str(params.uri))

    async def list_prompts(self, _: Context, __: PaginatedRequestParams | None) -> ListPromptsResult:
        return ListPromptsResult(prompts=self.prompts.definitions())

    async def get_prompt(self, _: Context, params: GetPromptRequestParams) -> GetPromptResult:
        return self.prompts.get(params.name, params.arguments or {})

    async def complete(self, ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        async with ctx.lifespan_context.slots:
            return CompleteResult(completion=await resources.complete(ctx.lifespan_context.app, params))


async def _call(tool: RegisteredTool, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    """Run a tool within its time limit: the one place that turns a request into a `Call` with its application."""
    arguments = tool.parameters.validate(params.arguments or {})
    state = ctx.lifespan_context
    app = state.app
    with anyio.move_on_after(app.timeouts.call) as scope:
        limits = RequestLimits(state.slots, scope)
        consent = Consent(ctx, params, app, state.tokens, limits)
        call = Call(app, ctx.session.report_progress, consent.ask, limits.waiting)
        async with limits.working():
            answer = await tool.spec.run(call, **arguments)
        return success(answer, arguments)
    return failure(f"{timeout_sentence(app.timeouts.call)}, then retry.")
