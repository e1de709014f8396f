"""Tools as clients see them: names, schemas, and which of them the operator has disabled."""

import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, TypeVar, get_type_hints

from mcp import MCPError
from mcp.types import INVALID_PARAMS, CallToolResult, Tool, ToolAnnotations
from pydantic import BaseModel

from mcp_ollama.server.arguments import Parameters
from mcp_ollama.server.host_argument import HostArgument
from mcp_ollama.server.json_schema import summary_schema
from mcp_ollama.server.results import failure, text_of
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.tools.spec import ToolSpec

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class RegisteredTool:
    """A tool of this server; its schemas are built on first use.

    Args:
        spec: The tool as data.
        settings: The operator's settings, on which its description depends.
        argument: The argument that names a host.
    """

    def __init__(self, spec: ToolSpec, settings: OllamaSettings, argument: HostArgument) -> None:
        self.spec = spec
        self._argument = argument
        self.parameters = _parameters(spec.run)
        self._settings = settings

    @cached_property
    def definition(self) -> Tool:
        """The entry of `tools/list`."""
        spec = self.spec
        return Tool(
            name=spec.name,
            title=spec.title,
            description=spec.description(self._settings),
            input_schema=self._input_schema(),
            output_schema=self._argument.extend_output(spec, summary_schema(get_type_hints(spec.run)["return"])),
            annotations=_annotations(spec),
            _meta=_meta(spec),
        )

    def _input_schema(self) -> dict[str, Any]:
        schema = self.parameters.json_schema
        hidden = self.spec.hidden_arguments(self._settings)
        shown = {name: self._described(one) for name, one in schema["properties"].items() if name not in hidden}
        return self._argument.extend_input(self.spec, schema | {"properties": shown})

    def _described(self, argument: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of an argument with the one default that the operator chooses."""
        text = argument.get("description", "").replace("{pull_wait}", f"{self._settings.pull_wait:g}")
        return argument | {"description": text}


class ToolRegistry:
    """The tools that the operator's settings allow, and the names of the others.

    Args:
        specs: All tools, in the order in which clients list them.
        settings: The operator's settings.
        argument: The argument that names a host; a tool is listed when one host allows it.
    """

    def __init__(self, specs: Sequence[ToolSpec], settings: OllamaSettings, argument: HostArgument) -> None:
        hosts = argument.named.hosts
        self._disabled = {
            (spec.name, host): setting
            for spec in specs
            for host in hosts
            if (setting := spec.disabled_by(settings) or spec.disabled_by(hosts[host]))
        }
        self._names = [spec.name for spec in specs]
        self._tools = {
            spec.name: RegisteredTool(spec, settings, argument)
            for spec in specs
            if any((spec.name, host) not in self._disabled for host in hosts)
        }

    def definitions(self) -> list[Tool]:
        """Return the entries of `tools/list`."""
        return [tool.definition for tool in self._tools.values()]

    def input_schema(self, name: str) -> dict[str, Any] | None:
        """Return the schema of a tool's arguments; None for an unknown or disabled tool."""
        return self._tools[name].definition.input_schema if name in self._tools else None

    def find(self, name: str, host: str) -> RegisteredTool | CallToolResult:
        """Return a tool, or the error result that names the setting which disables it on this host, as on all.

        Raises:
            MCPError: The tool is unknown.
        """
        if name in self._tools:
            return self._tools[name]
        if refusal := self.refusal(name, host):
            return refusal
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {name[:100]}")

    def refusal(self, name: str, host: str) -> CallToolResult | None:
        """Return the error result that names the setting which disables a tool on a host; None when it is enabled."""
        return failure(self._disabled_sentence(name, host)) if (name, host) in self._disabled else None

    def with_disabled_tools(self, error: CallToolResult, host: str) -> CallToolResult:
        """Return an error result that also names the setting of each disabled tool which its text recommends."""
        text = text_of(error)
        disabled = self.disabled_sentences(text, host)
        return failure(f"{text} {disabled}", error.meta) if disabled else error

    def complete_next_step(self, answer: AnswerT, host: str) -> AnswerT:
        """Return an answer whose next step also names the setting of each disabled tool which it recommends."""
        next_step: str = getattr(answer, "next_step", None) or ""
        disabled = self.disabled_sentences(next_step, host)
        return answer.model_copy(update={"next_step": f"{next_step} {disabled}"}) if disabled else answer

    def disabled_sentences(self, text: str, host: str) -> str:
        """Return a sentence for each tool in a text that is disabled on a host, unless the text has it already."""
        disabled = [
            self._disabled_sentence(name, host)
            for name in self._names
            if (name, host) in self._disabled and re.search(rf"\b{name}\b", text)
        ]
        return " ".join(sentence for sentence in disabled if sentence not in text)

    def names_another(self, text: str, called: str) -> bool:
        """Return whether a text names a tool other than the called one."""
        return any(name != called and re.search(rf"\b{name}\b", text) for name in self._names)

    def _disabled_sentence(self, name: str, host: str) -> str:
        return f"{name} is disabled by the operator ({self._disabled[name, host]})."


@cache
def _parameters(run: Callable[..., object]) -> Parameters:
    """Return the parameters of a tool, which all servers of a process share: their schema takes 2 ms."""
    return Parameters(run, skip=1)


def _meta(spec: ToolSpec) -> dict[str, Any] | None:
    """Return the hints of Anthropic's clients, which defer the tools of MCP servers and search among them."""
    meta: dict[str, Any] = {"anthropic/searchHint": spec.search_hint} if spec.search_hint else {}
    if spec.always_load:
        meta["anthropic/alwaysLoad"] = True
    if spec.page:
        # Some clients read only the flat key, which the extension has deprecated.
        meta |= {"ui": {"resourceUri": spec.page}, "ui/resourceUri": spec.page}
    return meta or None


def _annotations(spec: ToolSpec) -> ToolAnnotations:
    """Return MCP's hints: all four, since their defaults are pessimistic."""
    return ToolAnnotations(
        title=spec.title,
        read_only_hint=spec.read_only,
        destructive_hint=spec.destructive,
        idempotent_hint=spec.idempotent,
        open_world_hint=spec.open_world,
    )
