"""Documents under `ollama://`: the same data as the tools, for hosts that attach documents to a conversation."""

from collections.abc import Callable
from contextlib import suppress

import anyio
from mcp.server import MCPServer
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    Resource,
    ResourceTemplateReference,
)

from mcp_ollama.agents.spec import configuration, to_text
from mcp_ollama.models.app import App, reading, written
from mcp_ollama.models.events import AGENT, MODELS, PULLS, RUNNING, model_uri
from mcp_ollama.models.lookup import listed_name
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.installed import card_of, list_of_models
from mcp_ollama.tools.running import running_rows
from mcp_ollama.tools.transfers import TransferList

JSON = "application/json"
MAX_MODELS = 200
MAX_COMPLETIONS = 100
"""MCP's own limit."""


def register(server: MCPServer[App], app: Callable[[], App]) -> None:
    """Add the resources.

    Args:
        server: Where to.
        app: What lives as long as the server does, for the request being answered.
    """

    @server.resource(MODELS, name="models", title="Installed models", mime_type=JSON)
    async def models() -> str:
        """The installed models, newest first: size, capabilities, context length, whether loaded; 200 at most."""
        with reading(app().timeouts.call):
            return written(await list_of_models(app(), limit=MAX_MODELS))

    @server.resource(f"{MODELS}/{{+model}}", name="model", title="Installed model", mime_type=JSON)
    async def model_card(model: str) -> str:
        """One installed model: capabilities, context lengths, parameters, licence name."""
        with reading(app().timeouts.call):
            return written(await card_of(app(), model))

    @server.resource(RUNNING, name="running", title="Running models", mime_type=JSON)
    async def running() -> str:
        """The models in memory: size, share on the GPU, context length, when each leaves."""
        with reading(app().timeouts.call):
            return written(await running_rows(app()))

    @server.resource(PULLS, name="pulls", title="Pulls and pushes", mime_type=JSON)
    async def pulls() -> str:
        """Downloads and uploads: running, waiting, and ended within the last hour."""
        return written(TransferList(transfers=app().transfers.snapshots()))

    @server.resource(AGENT, name="pydantic_ai_agent", title="Pydantic AI agent", mime_type=JSON)
    async def best_agent() -> str:
        """A Pydantic AI AgentSpec for the best installed chat model; `metadata.ollama` says why, and what to mind."""
        return await _agent(app())

    @server.resource(
        f"{AGENT}/{{+model}}",
        name="pydantic_ai_agent_for_model",
        title="Pydantic AI agent on a model",
        mime_type=JSON,
    )
    async def agent(model: str) -> str:
        """A Pydantic AI AgentSpec for an installed chat model; `metadata.ollama` says what to mind."""
        return await _agent(app(), model)

    @server.completion()
    async def complete(
        reference: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _: CompletionContext | None,
    ) -> Completion | None:
        asked = isinstance(reference, ResourceTemplateReference) and argument.name == "model"
        return await _installed_names(app(), argument.value) if asked else None


async def of_models(app: App) -> list[Resource]:
    """List a document for each installed model; none while the server does not answer."""
    return [
        Resource(uri=model_uri(one.name), name=one.name, mime_type=JSON, description="An installed model.")
        for one in (await _listed(app))[:MAX_MODELS]
    ]


async def _listed(app: App) -> list[InstalledModel]:
    """Ask what is installed: nothing, where that cannot be had soon. Whoever reads a document is told what is wrong."""
    with anyio.move_on_after(app.timeouts.health_extra), suppress(OllamaError):
        return [one for one in await app.ollama.list_models() if listed_name(one.name)]
    return []


async def _agent(app: App, model: str | None = None) -> str:
    with reading(app.timeouts.call):
        return to_text(await configuration(app.catalog, app.settings, model))


async def _installed_names(app: App, typed: str) -> Completion:
    """Complete a model name: those that begin so come before those that contain it."""
    names = [model.name for model in await _listed(app) if typed.lower() in model.name.lower()]
    names.sort(key=lambda name: not name.lower().startswith(typed.lower()))
    return Completion(values=names[:MAX_COMPLETIONS], total=len(names), has_more=len(names) > MAX_COMPLETIONS)
