"""Resources under `ollama://`: the same data as the tools, for clients that attach resources to a conversation."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, unquote

import anyio
from mcp import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    Completion,
    Resource,
    ResourceTemplate,
    ResourceTemplateReference,
    TextResourceContents,
)

from mcp_ollama.agents.spec import configuration, to_text
from mcp_ollama.models.all_transfers import list_transfers
from mcp_ollama.models.app import App
from mcp_ollama.models.events import Change
from mcp_ollama.models.hosts import Hosts, NamedHosts
from mcp_ollama.models.lookup import listed_name
from mcp_ollama.models.running import running_list
from mcp_ollama.models.views import model_card, select_models, show_model
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.server.dashboard import dashboard_contents, dashboard_resource
from mcp_ollama.server.results import protocol_errors, to_compact_json
from mcp_ollama.tools.dashboard import DASHBOARD_URI

MODELS, RUNNING, PULLS = "ollama://models", "ollama://running", "ollama://pulls"
AGENT = "ollama://config/pydantic-ai"
MAX_URI_LENGTH = 550
"""253 characters of registry host (DNS), 80 for each other part of a model's name, and the prefix."""

SCHEME, HOSTS = "ollama://", "ollama://hosts"
JSON = "application/json"
MAX_MODELS = 200
MAX_COMPLETIONS = 100
"""MCP's own limit."""


@dataclass(frozen=True, slots=True)
class _Document:
    """A resource with a fixed URI; the docstring of `read` is its description."""

    uri: str
    name: str
    title: str
    read: Callable[[App], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class _ModelDocument:
    """A resource for each model, under `prefix/model`; the docstring of `read` is its description."""

    prefix: str
    name: str
    title: str
    read: Callable[[App, str], Awaitable[str]]

    def reader(self, model: str) -> Callable[[App], Awaitable[str]]:
        """Return what reads the resource of one model.

        Raises:
            InvalidModelName: Ollama would refuse the name.
        """
        # Checked here as well, since a subscription reads nothing.
        ModelName.for_pull(model)
        return lambda app: self.read(app, model)


def model_uri(name: str) -> str:
    """Return the URI of a model's resource."""
    return f"{MODELS}/{name}"


def changed_uris(change: Change) -> list[str]:
    """Return the URIs of the resources that a change affects, in each spelling that clients subscribe to."""
    if change.kind == "transfers":
        return [PULLS]
    spelled = [spelling for name in change.names for spelling in _spellings(name)]
    return [MODELS, RUNNING, AGENT, *(f"{one.prefix}/{name}" for name in spelled for one in _MODEL_DOCUMENTS)]


def _spellings(name: str) -> Iterable[str]:
    """Return the forms of a listed name in URIs: as it is, percent-encoded, without the tag `latest`."""
    forms = (name, name.removesuffix(":latest"))
    return dict.fromkeys(spelled for one in forms for spelled in (one, quote(one), quote(one, safe="")))


async def list_resources(hosts: Hosts) -> list[Resource]:
    """Return the fixed resources of all hosts, and one for each model of the default host while that answers."""
    app = await hosts.app()
    fixed = [_resource(one) for one in _DOCUMENTS]
    fixed += [_resource(one, host) for host in _other_names(hosts.named) for one in _DOCUMENTS]
    return [*fixed, dashboard_resource()] + [
        Resource(uri=model_uri(one.name), name=one.name, mime_type=JSON, description="An installed model.")
        for one in (await _installed(app))[:MAX_MODELS]
    ]


def list_templates(named: NamedHosts) -> list[ResourceTemplate]:
    """Return the templates; RFC 6570's `{+model}` keeps the slashes of a model's name."""
    templates = [_template(one.prefix, one.name, one.title, one) for one in _MODEL_DOCUMENTS]
    if not named.are_several:
        return templates
    return templates + [
        _template(in_host(one.prefix, "{host}"), f"{one.name}_on_host", f"{one.title} on a host", one)
        for one in _MODEL_DOCUMENTS
    ]


def in_host(uri: str, host: str) -> str:
    """Return the URI of a resource of a named host."""
    return f"{HOSTS}/{host}/{uri.removeprefix(SCHEME)}"


def uris_of_host(named: NamedHosts, host: str, uri: str) -> list[str]:
    """Return all URIs under which clients read a resource of a host: the default one has two where there are several.

    Args:
        named: The hosts.
        host: The host of the resource.
        uri: The URI that it has as a resource of the default host.
    """
    own = [in_host(uri, host)] if named.are_several else []
    return [uri, *own] if host == named.default else own


async def read_resource(hosts: Hosts, uri: str) -> TextResourceContents:
    """Return the content of a resource.

    Raises:
        MCPError: The URI is unknown, its model is not installed, or Ollama does not answer.
    """
    if uri == DASHBOARD_URI:
        return dashboard_contents()
    # A resource that only this server's own state makes up cannot fail; the others are Ollama's.
    limit, adapt = hosts.timeouts.call, hosts.named.adapt_advice
    with protocol_errors(f"reading resource {uri}", uri, seconds=limit, adapt=adapt):
        host, read = _find(hosts.named, uri)
        return TextResourceContents(uri=uri, text=await read(await hosts.app(host)), mime_type=JSON)


def check_uri(named: NamedHosts, uri: str) -> None:
    """Check that a resource has this URI; whether its model is installed may change.

    Raises:
        MCPError: The URI is unknown, or Ollama would refuse the model's name.
    """
    with protocol_errors(f"subscribing to resource {uri}", uri):
        if uri != DASHBOARD_URI:
            _find(named, uri)


async def complete(hosts: Hosts, params: CompleteRequestParams) -> Completion:
    """Complete the name of a model or host in a URI; there is nothing to complete elsewhere."""
    if not isinstance(params.ref, ResourceTemplateReference):
        return Completion(values=[])
    typed = params.argument.value
    if params.argument.name == "host":
        return Completion(
            values=[name for name in _other_names(hosts.named) if name.startswith(typed)][:MAX_COMPLETIONS]
        )
    if params.argument.name != "model":
        return Completion(values=[])
    chosen = ((params.context and params.context.arguments) or {}).get("host", hosts.named.default)
    if chosen not in hosts.named.hosts:
        return Completion(values=[])
    with protocol_errors(f"completing argument {params.argument.name}"):
        return await _installed_names(await hosts.app(chosen), typed)


def _resource(one: _Document, host: str = "") -> Resource:
    """Return the entry of a fixed resource, of the default host or a named one."""
    return Resource(
        uri=in_host(one.uri, host) if host else one.uri,
        name=f"{one.name}_on_{host}" if host else one.name,
        title=f"{one.title} on {host}" if host else one.title,
        description=one.read.__doc__,
        mime_type=JSON,
    )


def _template(prefix: str, name: str, title: str, one: _ModelDocument) -> ResourceTemplate:
    return ResourceTemplate(
        uri_template=f"{prefix}/{{+model}}", name=name, title=title, description=one.read.__doc__, mime_type=JSON
    )


def _other_names(named: NamedHosts) -> list[str]:
    """Return the names of the hosts that have resources of their own."""
    return list(named.hosts) if named.are_several else []


def _split_host(named: NamedHosts, uri: str) -> tuple[str, str]:
    """Return the host of a URI, and the URI without it.

    Raises:
        MCPError: There is no such host.
    """
    host, _, rest = uri.removeprefix(f"{HOSTS}/").partition("/")
    if not uri.startswith(f"{HOSTS}/"):
        return named.default, uri
    if host not in _other_names(named):
        raise _unknown(uri)
    return host, f"{SCHEME}{rest}"


def _find(named: NamedHosts, uri: str) -> tuple[str, Callable[[App], Awaitable[str]]]:
    """Return the host of a resource, and what reads it.

    Raises:
        MCPError: The URI is unknown.
        InvalidModelName: Ollama would refuse the name of its model.
    """
    if len(uri) > MAX_URI_LENGTH:
        raise _unknown(f"{uri[:100]}…")
    host, inner = _split_host(named, uri)
    for document in _DOCUMENTS:
        if inner == document.uri:
            return host, document.read
    for document in _MODEL_DOCUMENTS:
        if inner.startswith(f"{document.prefix}/"):
            return host, document.reader(unquote(inner.removeprefix(f"{document.prefix}/")))
    raise _unknown(uri)


def _unknown(uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, f"Unknown resource: {uri}", {"uri": uri})


async def _models(app: App) -> str:
    """The installed models, newest first: size, capabilities, context length, whether loaded; 200 at most."""
    return to_compact_json(await (await select_models(app.catalog)).page(MAX_MODELS))


async def _model(app: App, model: str) -> str:
    """One installed model: capabilities, context lengths, parameters, licence name."""
    return to_compact_json(model_card(await show_model(app.catalog, model)))


async def _running(app: App) -> str:
    """The models in memory: size, share on the GPU, context length, when each is unloaded."""
    return to_compact_json(running_list(await app.catalog.running_now()))


async def _pulls(app: App) -> str:
    """Downloads and uploads: running, waiting, ended within the last hour, interrupted, and of other processes."""
    return to_compact_json(await list_transfers(app.transfers))


async def _best_agent(app: App) -> str:
    """A Pydantic AI AgentSpec for the best installed chat model; `metadata.ollama` says why, and what to mind."""
    return to_text(await configuration(app.catalog, app.settings))


async def _agent(app: App, model: str) -> str:
    """A Pydantic AI AgentSpec for an installed chat model; `metadata.ollama` says what to mind."""
    return to_text(await configuration(app.catalog, app.settings, model))


async def _installed(app: App) -> list[InstalledModel]:
    """Return the installed models, or none where Ollama does not answer soon: reading a resource reports why."""
    with anyio.move_on_after(app.timeouts.health_extra), suppress(OllamaError):
        return [one for one in await app.ollama.list_models() if listed_name(one.name)]
    return []


async def _installed_names(app: App, typed: str) -> Completion:
    """Return the names that contain a text, those that begin with it first."""
    names = [model.name for model in await _installed(app) if typed.lower() in model.name.lower()]
    names.sort(key=lambda name: not name.lower().startswith(typed.lower()))
    return Completion(values=names[:MAX_COMPLETIONS], total=len(names), has_more=len(names) > MAX_COMPLETIONS)


_DOCUMENTS = (
    _Document(MODELS, "models", "Installed models", _models),
    _Document(RUNNING, "running", "Running models", _running),
    _Document(PULLS, "pulls", "Pulls and pushes", _pulls),
    _Document(AGENT, "pydantic_ai_agent", "Pydantic AI agent", _best_agent),
)
_MODEL_DOCUMENTS = (
    _ModelDocument(MODELS, "model", "Installed model", _model),
    _ModelDocument(AGENT, "pydantic_ai_agent_for_model", "Pydantic AI agent on a model", _agent),
)
