"""The MCP server: composes tools, resources and what they share; knows where the SDK departs from the spec."""

import math
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.types import INVALID_PARAMS, CallToolResult, GetPromptResult, InputRequiredResult, Resource, TextContent
from pydantic import AnyUrl, BaseModel, ValidationError

from mcp_ollama import tools
from mcp_ollama.models.app import App, Timeouts, answering, failure, open_app
from mcp_ollama.models.events import MAX_URI_LENGTH
from mcp_ollama.server import prompts, resources
from mcp_ollama.server.subscriptions import Announcements
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry
from mcp_ollama.tools.spec import ToolSpec

_JSON_TYPES = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (list, "array"),
    (tuple, "array"),
)

_HOUR_MS = 3_600_000
_FIXED = CacheHint(ttl_ms=_HOUR_MS, scope="public")
CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    "server/discover": _FIXED,
    "tools/list": _FIXED,
    "prompts/list": _FIXED,
    "resources/templates/list": _FIXED,
    "resources/list": CacheHint(ttl_ms=5_000),
}
"""How long clients may keep what they were told (2026-07-28); documents are as fresh as they are read."""

DISTRIBUTION = "mcp-ollama-manager"
_FOR_ALL = "Manages the models of an Ollama server. list_models gives exact names; health says what is wrong."
_FOR_PULLS = "A pull goes on after its call has ended: call pull_model again to keep waiting, cancel_pull to stop it."
_FOR_DELETES = "Ask the user before deleting."
INSTRUCTIONS = {
    "full": f"{_FOR_ALL} {_FOR_PULLS} {_FOR_DELETES}",
    "no-delete": f"{_FOR_ALL} {_FOR_PULLS} No model can be deleted here.",
    "read-only": f"{_FOR_ALL} Nothing can be changed here.",
}
"""What a model is told of the whole, by access tier."""


def build_server(
    settings: OllamaSettings | None = None, *, registry: Registry | None = None, timeouts: Timeouts | None = None
) -> "OllamaServer":
    """Build the MCP server; nothing is connected before the first call.

    Args:
        settings: What the operator chose; None reads the environment.
        registry: Where sizes of models are asked, for a registry under another address.
        timeouts: How long things may take.

    Raises:
        ValueError: A variable holds a wrong value, which the text names.
    """
    settings = settings or OllamaSettings.load()
    server = OllamaServer(settings, registry, timeouts or Timeouts())
    for spec in tools.ALL:
        server.offer(spec)
    return server


class OllamaServer(MCPServer[App]):
    """`MCPServer` with the details of the MCP specification that SDK 2.3 leaves open.

    An unknown tool is -32602, unknown arguments are refused and nulls for optional ones accepted, schemas are
    short, and only our own sentences reach the model.
    """

    def __init__(self, settings: OllamaSettings, registry: Registry | None, timeouts: Timeouts) -> None:
        announcements = Announcements()

        @asynccontextmanager
        async def lifespan(_: MCPServer[App]) -> AsyncGenerator[App]:
            async with open_app(settings, registry, timeouts, announcements.publish) as app:
                yield app

        reached: ContextVar[App] = ContextVar("app")

        # Static resources and completions are given no context by the SDK, but need the app.
        async def reach(ctx: ServerRequestContext[App], call_next: CallNext) -> HandlerResult:
            reached.set(ctx.lifespan_context)
            announcements.note(ctx)
            return await call_next(ctx)

        super().__init__(
            "ollama",
            title="Ollama models",
            description="List, pull, inspect and delete the models of an Ollama server, and see its health.",
            instructions=INSTRUCTIONS[settings.access],
            website_url=f"https://github.com/{DISTRIBUTION}/{DISTRIBUTION}",
            version=version(DISTRIBUTION),
            log_level=settings.log_level,
            lifespan=lifespan,
            middleware=[reach],
            cache_hints=CACHE_HINTS,
            subscriptions=announcements.bus,
        )
        announcements.serve(self._lowlevel_server)
        self._settings = settings
        self._timeouts = timeouts
        self._disabled: dict[str, str] = {}
        self._reached = reached.get
        resources.register(self, reached.get)
        prompts.register(self)

    def offer(self, spec: ToolSpec) -> None:
        """Add a tool, unless the operator's settings leave it out."""
        if setting := spec.disabled_by(self._settings):
            self._disabled[spec.name] = setting
            return
        self.add_tool(
            answering(spec.run, math.inf if spec.waits else self._timeouts.call),
            name=spec.name,
            title=spec.title,
            description=spec.description(self._settings),
            annotations=spec.annotations,
            structured_output=False,
        )
        tool = self._tool_manager.list_tools()[-1]
        arguments = tool.fn_metadata.arg_model
        arguments.model_config = {**arguments.model_config, "extra": "forbid"}
        arguments.model_rebuild(force=True)
        tool.parameters = slim({"additionalProperties": False} | tool.parameters)
        # Not derived by the SDK: its whole schema would be made only to be cut down, and then every result, an
        # instance of that very model, validated against it.
        tool.fn_metadata.output_schema = outline(get_type_hints(spec.run)["return"])

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[App, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; see `MCPServer.call_tool`.

        Raises:
            MCPError: There is no such tool.
            UnexpectedToolError: A bug; the SDK logs it and hides its text.
        """
        if setting := self._disabled.get(name):
            return failure(f"{name} is switched off by the operator ({setting}).")
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {name[:100]}")
        known = list(tool.parameters.get("properties", ()))
        # Hosts send null for what they leave out; one that is required, or unknown, stays and is refused.
        optional = set(known).difference(tool.parameters.get("required", ()))
        given = {key: value for key, value in arguments.items() if value is not None or key not in optional}
        try:
            return self._append_disabled_tools(await super().call_tool(name, given, context))
        except ToolError as error:
            if isinstance(error, UnexpectedToolError) or not isinstance(error.__cause__, ValidationError):
                raise
            return failure(_explain(error.__cause__, name, known))

    def _append_disabled_tools(
        self, answer: CallToolResult | InputRequiredResult
    ) -> CallToolResult | InputRequiredResult:
        """Say of the tools that an error advises which of them are not there."""
        if not isinstance(answer, CallToolResult) or not answer.is_error:
            return answer
        (told,) = answer.content
        text = cast("TextContent", told).text
        off = [
            f"{tool} is switched off by the operator ({setting})."
            for tool, setting in self._disabled.items()
            if re.search(rf"\b{tool}\b", text)
        ]
        return failure(" ".join([text, *off]), answer.meta) if off else answer

    async def list_resources(self) -> list[Resource]:
        """List the documents, with one for each installed model; see `MCPServer.list_resources`."""
        return [*await super().list_resources(), *await resources.of_models(self._reached())]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[App, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a document; see `MCPServer.read_resource`.

        Raises:
            MCPError: The address is longer than any that there can be; the SDK would repeat it whole, twice.
        """
        if len(address := str(uri)) > MAX_URI_LENGTH:
            start = f"{address[:100]}…"
            raise MCPError(INVALID_PARAMS, f"Unknown resource: {start}", {"uri": start})
        return await super().read_resource(uri, context)

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[App, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Get a prompt; see `MCPServer.get_prompt`.

        Raises:
            MCPError: There is no such prompt, or its arguments are wrong.
        """
        prompt = self._prompt_manager.get_prompt(name)
        if prompt is None:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {name[:100]}")
        known = prompt.arguments or []
        if missing := [one.name for one in known if one.required and one.name not in (arguments or {})]:
            raise MCPError(INVALID_PARAMS, f"The prompt {name} needs {', '.join(missing)}.")
        try:
            return await super().get_prompt(name, arguments, context)
        except ValueError as error:
            wrong = error.__cause__ and error.__cause__.__cause__
            if not isinstance(wrong, ValidationError):
                raise
            why = _explain(wrong, name, [one.name for one in known])
            raise MCPError(INVALID_PARAMS, why) from error

    def announced(self) -> NotificationOptions:
        """Tell which changes are announced to hosts of the handshake era: those of resources, where they are served."""
        changes = self._lowlevel_server.get_request_handler("resources/subscribe") is not None
        return NotificationOptions(resources_changed=changes)


def _explain(error: ValidationError, tool: str, known: list[str]) -> str:
    """Say in one line which arguments are wrong, and what they may be."""
    problems: list[str] = []
    unknown = False
    for problem in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(part)[:60] for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            unknown = True
            problems.append(f"there is no argument {where!r}")
        elif problem["type"] == "missing":
            problems.append(f"the argument {where!r} is missing")
        else:
            text = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
            problems.append(f"{where} {text[:1].lower()}{text[1:]}")
    hint = f" (there is: {', '.join(known) or 'none'})" if unknown else ""
    return f"{tool} was not called: {'; '.join(problems)}{hint}."


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """Take out of a JSON schema what a model need not read: titles, nulls, and null as a default.

    Absent fields are left out and never null, on both ways, so `anyOf` with null says nothing.
    """
    slimmed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            # Names of fields, which may well be called `title`.
            slimmed[key] = {name: slim(child) for name, child in value.items()}
        elif key == "anyOf" and {"type": "null"} in value:
            # Only X | None is used here, so that one alternative is left.
            slimmed |= slim(next(one for one in value if one != {"type": "null"}))
        elif key != "title" and not (key == "default" and value is None):
            slimmed[key] = slim(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
    return slimmed


def outline(model: type[BaseModel]) -> dict[str, Any]:
    """Tell of an answer which fields it has, and of what type: all tools together have 20 KB in a model's context."""
    fields = model.model_fields
    return {
        "type": "object",
        "properties": {name: {"type": _json_type(field.annotation)} for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.is_required()],
    }


def _json_type(annotation: Any) -> str:
    if type(None) in get_args(annotation):
        # Only X | None is used here, and an absent field is left out.
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is Literal:
        return "string"
    kind = get_origin(annotation) or annotation
    return next((name for base, name in _JSON_TYPES if issubclass(kind, base)), "object")
