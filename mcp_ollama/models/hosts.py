"""The applications of all Ollama hosts; each opens when a call first names its host."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from mcp_ollama.models.app import App, Timeouts, build_registry, open_app
from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.events import Publish
from mcp_ollama.models.lookup import find_model
from mcp_ollama.models.persistence.shared_state import SharedState, open_shared_state
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")

ALL_HOSTS = "all"
"""Every host; no host may have this name."""

_ADVICE = {
    "MCP_OLLAMA_BASE_URL": "its url where the hosts are named",
    "MCP_OLLAMA_API_KEY": "its token_env",
    "MCP_OLLAMA_HEADERS": "its headers_env",
    "MCP_OLLAMA_MEMORY": "`memory` of the host in MCP_OLLAMA_HOSTS_FILE",
}
"""The settings of a single server that sentences advise to set, and what they are for a named host."""


@dataclass(frozen=True, slots=True)
class NamedHosts:
    """The hosts in the order of the settings.

    Args:
        hosts: Settings by name; a server without named hosts is one with the name "".
        default: The host that a call without `host` reads.
        descriptions: A few words of the operator, by host.
    """

    hosts: Mapping[str, OllamaSettings]
    default: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def are_several(self) -> bool:
        """Whether calls may name a host."""
        return len(self.hosts) > 1

    def adapt_advice(self, sentence: str) -> str:
        """Return a sentence with the keys of a named host instead of the settings of a single server."""
        if self.default:
            for variable, key in _ADVICE.items():
                sentence = sentence.replace(variable, key)
        return sentence

    @property
    def names(self) -> str:
        """The names as a text, for sentences."""
        return ", ".join(self.hosts)


def load_hosts(settings: OllamaSettings) -> NamedHosts:
    """Return the hosts that the settings name, else the one server of the settings.

    Raises:
        ValueError: Something about the hosts is invalid; see `parse_hosts`.
    """
    if settings.hosts is None and settings.hosts_file is None:
        return NamedHosts({"": settings})
    from mcp_ollama.models.host_settings import parse_hosts  # noqa: PLC0415 - most servers have one host

    return parse_hosts(settings)


Publisher = Callable[[str], Publish]
"""Returns what publishes the changes of one host, given its name."""


@asynccontextmanager
async def open_hosts(
    named: NamedHosts,
    registry: Registry | None = None,
    timeouts: Timeouts | None = None,
    publisher: Publisher | None = None,
) -> AsyncGenerator["Hosts"]:
    """Open the hosts; no connection is opened before the first call, and all are closed at the end.

    Args:
        named: The hosts and their settings.
        registry: The client of model registries that all hosts share.
        timeouts: Limits of time.
        publisher: Where the changes of a host go.
    """
    settings = named.hosts[named.default]
    async with open_shared_state(settings.state_dir) as shared, anyio.create_task_group() as tasks:
        hosts = Hosts(named, registry or build_registry(settings), timeouts or Timeouts(), publisher, shared, tasks)
        if settings.resume or not named.are_several:
            for name in named.hosts:
                await hosts.app(name)
        yield hosts
        hosts.closing.set()


@dataclass(slots=True)
class Hosts:
    """The applications by host.

    Args:
        named: The hosts and their settings.
        registry: The client of model registries.
        timeouts: Limits of time.
        publisher: Where the changes of a host go.
        shared: The journal and the turns of all hosts.
        tasks: Runs each application in a task of its own, since it may open in a call and outlives that.
    """

    named: NamedHosts
    registry: Registry
    timeouts: Timeouts
    publisher: Publisher | None
    shared: SharedState
    tasks: TaskGroup
    closing: anyio.Event = field(default_factory=anyio.Event)
    _apps: dict[str, App] = field(default_factory=dict[str, App])
    _locks: defaultdict[str, anyio.Lock] = field(default_factory=lambda: defaultdict(anyio.Lock))

    async def app(self, name: str | None = None) -> App:
        """Return the application of a host, the default one without a name; the first call opens it.

        Raises:
            KeyError: There is no such host.
        """
        name = self.named.default if name is None else name
        settings = self.named.hosts[name]
        async with self._locks[name]:
            app = self._apps.get(name) or await self.tasks.start(self._run, name, settings)
            self._apps[name] = app
            return app

    async def _run(self, name: str, settings: OllamaSettings, *, task_status: TaskStatus[App]) -> None:
        publish = self.publisher(name) if self.publisher else None
        opened = open_app(settings, self.registry, self.timeouts, publish, shared=self.shared, host=name or None)
        async with opened as app:
            task_status.started(app)
            await self.closing.wait()


@dataclass(frozen=True, slots=True)
class HostAnswers(Generic[AnswerT]):
    """Answers of several hosts, in the order of the hosts.

    Args:
        answers: By host.
        errors: Why a host has no answer, as a sentence.
        next_offset: Where the next page over all hosts begins.
    """

    answers: dict[str, AnswerT]
    errors: dict[str, str]
    next_offset: int | None = None


async def ask_each(
    items: Mapping[str, ItemT], ask: Callable[[ItemT], Awaitable[AnswerT]], seconds: float
) -> HostAnswers[AnswerT]:
    """Ask all hosts side by side; one that fails or is slow has an error and holds up no other.

    Args:
        items: What to ask, by host.
        ask: Asks one host.
        seconds: Limit of each host.
    """
    answers: dict[str, AnswerT] = {}
    errors: dict[str, str] = {}

    async def ask_one(host: str) -> None:
        errors[host] = f"There was no answer within {seconds:g} s."
        with anyio.move_on_after(seconds):
            try:
                answers[host] = await ask(items[host])
            except (OllamaError, InvalidModelName) as error:
                errors[host] = str(error)

    await for_each(items, ask_one, at_once=len(items))
    return HostAnswers(
        {host: answers[host] for host in items if host in answers},
        {host: errors[host] for host in items if host not in answers},
    )


async def ask_each_about(
    apps: Mapping[str, App],
    models: Collection[ModelName],
    ask: Callable[[App, list[ModelName]], Awaitable[AnswerT]],
    seconds: float,
) -> HostAnswers[AnswerT]:
    """Ask all hosts as `ask_each` does, each about those of some models that are installed there.

    Raises:
        ModelNotFoundError: One of them is on none of the hosts that answer.
    """
    missing = set(models)

    async def ask_about_own(app: App) -> AnswerT:
        installed = await app.ollama.list_models() if models else []
        own = [model for model in models if find_model(model, installed)]
        missing.difference_update(own)
        return await ask(app, own)

    answers = await ask_each(apps, ask_about_own, seconds)
    if missing and answers.answers:
        name = min(model.short for model in missing)
        where = ", ".join(answers.answers)
        raise ModelNotFoundError(f"The model {name} is not on {where}.", "See list_models.", model=name)
    return answers
