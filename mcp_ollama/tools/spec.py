"""A tool as data, and the request that its handler receives; free of the MCP SDK."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from inspect import cleandoc, signature
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from mcp_ollama.models.app import App
from mcp_ollama.models.hosts import HostAnswers
from mcp_ollama.settings import OllamaSettings

Reason = Literal["needs_confirmation", "declined", "cancelled", "timed_out", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DestructiveAction:
    """An action that cannot be undone, and needs the user's consent.

    Args:
        tool: Name of the tool that performs it.
        description: Such as "delete llama3.2:3b (a80c4f17acd5), which frees 2.0 GB".
        past: Its verb as a participle, such as "deleted".
        target: The identity of what is lost: names and digests.
        replacement: The identity of what takes its place; consent holds for both together.
    """

    tool: str
    description: str
    past: str
    target: tuple[str, ...]
    replacement: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The text to ask a user; the same for each round, since clients may compare it."""
        return f"{self.description[:1].upper()}{self.description[1:]}? This cannot be undone."


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentResult:
    """The outcome of asking for consent: without a `reason` the action may start.

    Args:
        reason: Why the action may not start.
        confirmation: The token with which the call may be repeated.
        next_step: A sentence for the model.
    """

    reason: Reason | None = None
    confirmation: str | None = None
    next_step: str | None = None


class ReportProgress(Protocol):
    """Sends a progress notification to the client, when it asked for them."""

    async def __call__(self, progress: float, total: float | None, message: str) -> None:
        """Send one."""


class AskConsent(Protocol):
    """Asks the user for consent to an action; the action belongs inside the context.

    The token counts as used once the context ends without an exception; after an exception it can be used again.
    """

    def __call__(self, action: DestructiveAction, token: str) -> AbstractAsyncContextManager[ConsentResult]:
        """Ask, or check the confirmation token that the call brings."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call, as a handler sees it.

    Args:
        app: The application that the call is about.
        report_progress: Sends progress to the client.
        consent: Asks the user for consent.
        waiting: Suspends the limits of the call, its timeout and its share of the server's work, for the time in
            which it only waits for a transfer or a load.
        hosts: Settings of all hosts by name, where there are several.
    """

    app: App
    report_progress: ReportProgress
    consent: AskConsent
    waiting: Callable[[], AbstractAsyncContextManager[None]]
    hosts: Mapping[str, OllamaSettings] = field(default_factory=dict[str, OllamaSettings])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool: its name is the function's, its description the docstring.

    Args:
        run: The handler: `async def name(call: Call, ...) -> Model`; its parameters become the input schema.
        title: The name that clients show to people.
        read_only: The tool changes nothing.
        destructive: The tool can delete or overwrite.
        idempotent: A second call with the same arguments changes nothing more.
        open_world: The tool reaches beyond the Ollama server.
        overwrites: The tool is destructive only when it overwrites; it refuses to where nothing may be deleted.
        uploads: The tool publishes a model; it exists only when the operator allows pushes.
        unasked: The description where the operator has disabled confirmations; default: the docstring.
        arguments_of: Arguments and the setting on which each depends, such as `("kind", "allow_push")`: clients see
            the argument only where the setting is true.
        search_hint: Words that a person would use, for clients that search among deferred tools.
        always_load: Clients that defer tools should not defer this one.
        rows: The field with the rows that an answer for all hosts joins, or "" where it lists whole answers; None: the
            tool takes one host only.
        across: Answers for all hosts: `async def name(calls, **arguments)`; default: `run` for each.
        page: URI of the page that clients with MCP Apps show for its result.
    """

    run: Callable[..., Awaitable[BaseModel]]
    title: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    overwrites: bool = False
    uploads: bool = False
    unasked: str | None = None
    arguments_of: tuple[tuple[str, str], ...] = ()
    search_hint: str = ""
    always_load: bool = False
    page: str = ""
    rows: str | None = None
    across: Callable[..., Awaitable[HostAnswers[Any]]] | None = None

    @property
    def name(self) -> str:
        """The name by which a client calls it."""
        return self.run.__name__

    @property
    def waits(self) -> bool:
        """Whether the handler waits for a transfer or a load, as long as its `wait_seconds` say."""
        return "wait_seconds" in signature(self.run).parameters

    def description(self, settings: OllamaSettings) -> str:
        """Return the description that models read."""
        text = self.run.__doc__ if settings.confirm_delete or self.unasked is None else self.unasked
        return cleandoc(text or "")

    def hidden_arguments(self, settings: OllamaSettings) -> set[str]:
        """Return the arguments that have no effect under these settings."""
        return {name for name, setting in self.arguments_of if not getattr(settings, setting)}

    def disabled_by(self, settings: OllamaSettings) -> str:
        """Return the setting that disables the tool; empty when it is enabled."""
        deletes = self.destructive and not self.overwrites
        if (settings.access == "read-only" and not self.read_only) or (settings.access != "full" and deletes):
            return settings.access_setting()
        return "MCP_OLLAMA_ALLOW_PUSH=false" if self.uploads and not settings.allow_push else ""
