"""The MCP server: composes tools, resources and what they share; knows where the SDK departs from the spec."""

import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.types import INVALID_PARAMS, CallToolResult, InputRequiredResult
from pydantic import ValidationError

from mcp_ollama import tools
from mcp_ollama.context import App, answering, failure, living
from mcp_ollama.ollama.registry import Registry
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.tools.spec import ToolSpec

DISTRIBUTION = "mcp-ollama-manager"
INSTRUCTIONS = (
    "Manages the models of an Ollama server. list_models gives exact names; health says what is wrong when a tool "
    "fails. A pull goes on after its call has ended: call pull_model again to keep waiting, cancel_pull to stop it. "
    "Ask the user before deleting."
)


def build_server(settings: OllamaSettings | None = None, *, registry: Registry | None = None) -> MCPServer[App]:
    """Build the MCP server; nothing is connected before the first call.

    Args:
        settings: What the operator chose; None reads the environment.
        registry: Where sizes of models are asked, for a registry under another address.

    Raises:
        ValueError: A variable holds a wrong value, which the text names.
    """
    settings = settings or OllamaSettings.load()
    server = OllamaServer(settings, registry)
    for spec in tools.ALL:
        server.offer(spec)
    return server


class OllamaServer(MCPServer[App]):
    """`MCPServer` with the details of the MCP specification that SDK 2.3 leaves open.

    An unknown tool is -32602, unknown arguments are refused and nulls for optional ones accepted, schemas are
    short, and only our own sentences reach the model.
    """

    def __init__(self, settings: OllamaSettings, registry: Registry | None) -> None:
        @asynccontextmanager
        async def lifespan(_: MCPServer[App]) -> AsyncGenerator[App]:
            async with living(settings, registry) as app:
                yield app

        super().__init__(
            "ollama",
            title="Ollama models",
            description="List, pull, inspect and delete the models of an Ollama server, and see its health.",
            instructions=INSTRUCTIONS,
            website_url=f"https://github.com/{DISTRIBUTION}/{DISTRIBUTION}",
            version=version(DISTRIBUTION),
            log_level=settings.log_level,
            lifespan=lifespan,
        )
        self._access = settings.access
        self._switched_off: set[str] = set()

    def offer(self, spec: ToolSpec) -> None:
        """Add a tool, unless the access tier leaves it out."""
        if (self._access == "read-only" and not spec.read_only) or (self._access != "full" and spec.destructive):
            self._switched_off.add(spec.name)
            return
        self.add_tool(
            answering(spec.run),
            name=spec.name,
            title=spec.title,
            description=inspect.cleandoc(spec.run.__doc__ or ""),
            annotations=spec.annotations,
        )
        tool = self._tool_manager.list_tools()[-1]
        arguments = tool.fn_metadata.arg_model
        arguments.model_config = {**arguments.model_config, "extra": "forbid"}
        arguments.model_rebuild(force=True)
        tool.parameters = slim(arguments.model_json_schema(by_alias=True))
        tool.fn_metadata.output_schema = slim(tool.fn_metadata.output_schema or {})
        # Our results are instances of that very model: to validate them once more is work for nothing.
        tool.fn_metadata.output_model = None

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[App, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; see `MCPServer.call_tool`.

        Raises:
            MCPError: There is no such tool.
            UnexpectedToolError: A bug; the SDK logs it and hides its text.
        """
        if name in self._switched_off:
            return failure(f"{name} is switched off by the operator (MCP_OLLAMA_ACCESS={self._access}).")
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {name[:100]}")
        # Hosts send null for what they leave out; a required one stays, and is refused.
        required = tool.parameters.get("required", ())
        given = {key: value for key, value in arguments.items() if value is not None or key in required}
        try:
            return await super().call_tool(name, given, context)
        except ToolError as error:
            if isinstance(error, UnexpectedToolError) or not isinstance(error.__cause__, ValidationError):
                raise
            return failure(_explain(error.__cause__, name, list(tool.parameters.get("properties", ()))))


def _explain(error: ValidationError, tool: str, known: list[str]) -> str:
    """Say in one line which arguments are wrong, and what they may be."""
    problems: list[str] = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(part)[:60] for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"there is no argument {where!r} (there is: {', '.join(known) or 'none'})")
        elif problem["type"] == "missing":
            problems.append(f"the argument {where!r} is missing")
        else:
            text = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
            problems.append(f"{where} {text[:1].lower()}{text[1:]}")
    return f"{tool} was not called: {'; '.join(problems)}."


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
