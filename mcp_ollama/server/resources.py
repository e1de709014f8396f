"""Resources under `ollama://`: the same data as the tools, for clients that attach resources to a conversation."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

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
from mcp_ollama.models import views
from mcp_ollama.models.all_transfers import list_transfers
from mcp_ollama.models.app import App
from mcp_ollama.models.events import Change
from mcp_ollama.models.lookup import listed_name
from mcp_ollama.models.running import running_list
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.server.dashboard import dashboard_contents, dashboard_resource
from mcp_ollama.server.results import protocol_errors, to_compact_json
from mcp_ollama.tools.dashboard import DASHBOARD_URI

MODELS, RUNNING, PULLS = "ollama://models", "ollama://running", "ollama://pulls"
AGENT = "ollama://config/pydantic-ai"
MAX_URI_LENGTH = 550
"""253 characters of registry host (DNS), 80 for each other part of a model's name, and the prefix."""

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


def model_uri(name: str) -> str:
    """Return the URI of a model's resource."""
    return f"{MODELS}/{name}"


def changed_uris(change: Change) -> list[str]:
    """Return the URIs of the resources that a change affects."""
    if change.kind == "transfers":
        return [PULLS]
    return [MODELS, RUNNING, AGENT, *(uri for name in change.names for uri in (model_uri(name), f"{AGENT}/{name}"))]


async def list_resources(app: App) -> list[Resource]:
    """Return the fixed resources, and one for each installed model while Ollama answers."""
    fixed = [
        Resource(uri=one.uri, name=one.name, title=one.title, description=one.read.__doc__, mime_type=JSON)
        for one in _DOCUMENTS
    ]
    return [*fixed, dashboard_resource()] + [
        Resource(uri=model_uri(one.name), name=one.name, mime_type=JSON, description="An installed model.")
        for one in (await _installed(app))[:MAX_MODELS]
    ]


def list_templates() -> list[ResourceTemplate]:
    """Return the templates; RFC 6570's `{+model}` keeps the slashes of a model's name."""
    return [
        ResourceTemplate(
            uri_template=f"{one.prefix}/{{+model}}",
            name=one.name,
            title=one.title,
            description=one.read.__doc__,
            mime_type=JSON,
        )
        for one in _MODEL_DOCUMENTS
    ]


async def read_resource(app: App, uri: str) -> TextResourceContents:
    """Return the content of a resource.

    Raises:
        MCPError: The URI is unknown, its model is not installed, or Ollama does not answer.
    """
    if len(uri) > MAX_URI_LENGTH:
        raise _unknown(f"{uri[:100]}…")
    if uri == DASHBOARD_URI:
        return dashboard_contents()
    # A resource that only this server's own state makes up cannot fail; the others are Ollama's.
    with protocol_errors(f"reading resource {uri}", uri, seconds=app.timeouts.call):
        return TextResourceContents(uri=uri, text=await _read(app, uri), mime_type=JSON)


async def complete(app: App, params: CompleteRequestParams) -> Completion:
    """Complete the name of a model in a URI; there is nothing to complete elsewhere."""
    if not isinstance(params.ref, ResourceTemplateReference) or params.argument.name != "model":
        return Completion(values=[])
    with protocol_errors(f"completing argument {params.argument.name}"):
        return await _installed_names(app, params.argument.value)


async def _read(app: App, uri: str) -> str:
    for document in _DOCUMENTS:
        if uri == document.uri:
            return await document.read(app)
    for document in _MODEL_DOCUMENTS:
        if uri.startswith(f"{document.prefix}/"):
            return await document.read(app, unquote(uri[len(document.prefix) + 1 :]))
    raise _unknown(uri)


def _unknown(uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, f"Unknown resource: {uri}", {"uri": uri})


async def _models(app: App) -> str:
    """The installed models, newest first: size, capabilities, context length, whether loaded; 200 at most."""
    return to_compact_json(await views.list_models(app.catalog, limit=MAX_MODELS))


async def _model(app: App, model: str) -> str:
    """One installed model: capabilities, context lengths, parameters, licence name."""
    return to_compact_json(views.model_card(await views.show_model(app.catalog, model)))


async def _running(app: App) -> str:
    """The models in memory: size, share on the GPU, context length, when each leaves."""
    return to_compact_json(running_list(await app.ollama.list_running_models()))


async def _pulls(app: App) -> str:
    """Downloads and uploads: running, waiting, ended within the last hour, interrupted, and of other processes."""
    return to_compact_json(await list_transfers(app.transfers, app.shared.journal))


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
