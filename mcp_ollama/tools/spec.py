"""A tool as data: the function, and what hosts are told about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import cleandoc

from mcp.types import ToolAnnotations
from pydantic import BaseModel

from mcp_ollama.settings import OllamaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool: its name is the function's, its description the docstring.

    Args:
        run: What it does.
        title: What a person sees.
        read_only: It changes nothing.
        destructive: It can delete or overwrite.
        idempotent: Calling it again with the same arguments changes nothing more.
        open_world: It reaches beyond the Ollama server.
        waits: It waits as long as its `wait_seconds` say; all others are bounded by the server.
        overwrites: It is destructive only when it overwrites, which it refuses itself where nothing may be deleted.
        uploads: It hands a model to others; there only when the operator allows pushes.
        unasked: What a model is told of it where the operator has switched the asking off; else the docstring.
    """

    run: Callable[..., Awaitable[BaseModel]]
    title: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    waits: bool = False
    overwrites: bool = False
    uploads: bool = False
    unasked: str | None = None

    @property
    def name(self) -> str:
        """The name that a model calls it by."""
        return self.run.__name__

    def description(self, settings: OllamaSettings) -> str:
        """Give what a model is told of it."""
        text = self.run.__doc__ if settings.confirm_delete or self.unasked is None else self.unasked
        return cleandoc(text or "")

    def disabled_by(self, settings: OllamaSettings) -> str:
        """Give the variable and its value that leave the tool out; empty when it is there."""
        deletes = self.destructive and not self.overwrites
        if (settings.access == "read-only" and not self.read_only) or (settings.access != "full" and deletes):
            return f"MCP_OLLAMA_ACCESS={settings.access}"
        return "MCP_OLLAMA_ALLOW_PUSH=false" if self.uploads and not settings.allow_push else ""

    @property
    def annotations(self) -> ToolAnnotations:
        """MCP's hints: all four, since their defaults are pessimistic."""
        return ToolAnnotations(
            title=self.title,
            read_only_hint=self.read_only,
            destructive_hint=self.destructive,
            idempotent_hint=self.idempotent,
            open_world_hint=self.open_world,
        )
