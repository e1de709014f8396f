"""A tool as data: the function, and what hosts are told about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mcp.types import ToolAnnotations
from pydantic import BaseModel


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
    """

    run: Callable[..., Awaitable[BaseModel]]
    title: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False

    @property
    def name(self) -> str:
        """The name that a model calls it by."""
        return self.run.__name__

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
