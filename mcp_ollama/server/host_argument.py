"""The argument `host` of the tools and prompts: there only where the operator names several Ollama hosts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.types import PromptArgument

from mcp_ollama.models.hosts import ALL_HOSTS, NamedHosts
from mcp_ollama.server.arguments import InvalidArgumentsError
from mcp_ollama.tools.spec import ToolSpec

HOST = "host"
MAX_NAMES_TEXT = 60
"""Characters of names in the description of one tool; `tools/list` repeats them for each."""
MAX_LIST_TEXT = 600
"""The same for `list_models`, which clients read first."""
MAX_INSTRUCTIONS_TEXT = 2_000
LISTING_TOOL = "list_models"


@dataclass(frozen=True, slots=True)
class HostArgument:
    """Adds `host` to schemas, and reads it from arguments.

    Args:
        named: The hosts.
    """

    named: NamedHosts

    def extend_input(self, spec: ToolSpec, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a tool's arguments with `host`, which is required where the tool changes something."""
        if not self.named.are_several:
            return schema
        described = {HOST: {"type": "string", "description": self._description(spec)}}
        extended = {**schema, "properties": schema["properties"] | described}
        if not spec.read_only:
            extended["required"] = [*schema.get("required", ()), HOST]
        return extended

    def extend_output(self, spec: ToolSpec, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a tool's answer without the fields that an answer for all hosts has once per host."""
        if not self.named.are_several or spec.rows is None:
            return schema
        return {**schema, "required": [spec.rows] if spec.rows else []}

    def requested(self, arguments: Mapping[str, Any]) -> str:
        """Return the host that a call names, the default one where it names none that exists."""
        host = arguments.get(HOST)
        return host if isinstance(host, str) and host in self.named.hosts else self.named.default

    def split(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the host that a call names, or `ALL_HOSTS`, and the other arguments.

        Raises:
            InvalidArgumentsError: The host is unknown, or missing where the tool changes something.
        """
        others = dict(arguments)
        host = others.pop(HOST, None) if self.named.are_several else self.named.default
        if host in (None, "") and spec.read_only:
            return self.named.default, others
        if isinstance(host, str) and (host in self.named.hosts or (host == ALL_HOSTS and spec.rows is not None)):
            return host, others
        raise InvalidArgumentsError(f"{spec.name} was not called: {self._problem(host)} {self._names(600)}.")

    def prompt_arguments(self) -> list[PromptArgument]:
        """Return the argument of prompts that names a host; none with one host."""
        if not self.named.are_several:
            return []
        description = f"Ollama host: {self._names(MAX_LIST_TEXT)}. Left out: the one that the conversation is about."
        return [PromptArgument(name=HOST, description=description, required=False)]

    def split_prompt(self, prompt: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a sentence about hosts for the text of a prompt, and the other arguments.

        Raises:
            InvalidArgumentsError: The host is unknown.
        """
        others = dict(arguments)
        if not self.named.are_several:
            return "", others
        host = others.pop(HOST, None)
        if not host:
            return f"\n\nThere are several Ollama hosts: {self._names(MAX_LIST_TEXT)}. Name one in each call.", others
        if host not in self.named.hosts:
            raise InvalidArgumentsError(
                f"{prompt}: there is no host {str(host)[:40]!r}, only {self._names(MAX_LIST_TEXT)}."
            )
        return f'\n\nThis is about the Ollama host {host}: pass host="{host}" in each call.', others

    def sentence(self) -> str:
        """Return the hosts as a sentence for the server's instructions; empty with one host."""
        if not self.named.are_several:
            return ""
        whole = ", ".join(map(self._described, self.named.hosts))
        shown = whole if len(whole) <= MAX_INSTRUCTIONS_TEXT else self._names(MAX_INSTRUCTIONS_TEXT)
        return (
            f" It manages several Ollama hosts: {shown}. A tool without `host` reads {self.named.default}; "
            "one that changes something needs `host`."
        )

    def _problem(self, host: object) -> str:
        if not host:
            return "it changes something, so `host` must name one of the Ollama hosts:"
        if host == ALL_HOSTS:
            return "`host` must name one host, not all:"
        return f"there is no host {str(host)[:40]!r}, only"

    def _description(self, spec: ToolSpec) -> str:
        names = self._names(MAX_LIST_TEXT if spec.name == LISTING_TOOL else MAX_NAMES_TEXT)
        default = f" (default {self.named.default})" if spec.read_only else ""
        return f"Ollama host: {names}{default}{', or all' if spec.rows is not None else ''}."

    def _names(self, limit: int) -> str:
        """Return the names, or a reference to where they are when they are longer than that."""
        return self.named.names if len(self.named.names) <= limit else f"a name that {LISTING_TOOL} lists"

    def _described(self, name: str) -> str:
        text = self.named.descriptions.get(name)
        return f"{name} ({text[:80]})" if text else name
