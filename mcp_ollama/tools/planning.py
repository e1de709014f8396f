"""Know before doing: what a pull would fetch, and which models have an update."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from mcp_ollama.models import pull_plan, updates
from mcp_ollama.models.allow_list import parse_allowed_name
from mcp_ollama.models.app import App
from mcp_ollama.models.hosts import HostAnswers, ask_each_about
from mcp_ollama.models.pull_plan import PullPlan
from mcp_ollama.models.updates import MAX_ROWS, UpdateList
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.tools.arguments import ContextLength
from mcp_ollama.tools.spec import Call, ToolSpec


async def plan_pull(
    call: Call,
    model: Annotated[str, Field(description="Model, as for pull_model.")],
    context_length: ContextLength = None,
) -> PullPlan:
    """Compute what pull_model would download, whether it fits on the disk and in memory, and with what context.

    Use it before large downloads.
    """
    app = call.app
    name = parse_allowed_name(app.settings, model, insecure=False)
    return await pull_plan.plan_pull(app, name, context_length)


async def check_updates(
    call: Call,
    models: Annotated[
        list[str] | None, Field(max_length=MAX_ROWS, description="Only these models; default: all.")
    ] = None,
) -> UpdateList:
    """Check which installed models have an update in the registry, and its size, without downloading.

    pull_model updates one.
    """
    return await updates.check_updates(call.app, [ModelName.for_pull(model) for model in models or ()])


async def check_updates_of_all(
    calls: Mapping[str, Call], models: Sequence[str] | None = None
) -> HostAnswers[UpdateList]:
    """Check every host; a model that is asked about need not be on each."""
    apps = {host: call.app for host, call in calls.items()}
    names = [ModelName.for_pull(model) for model in models or ()]

    async def check(app: App, own: list[ModelName]) -> UpdateList:
        return UpdateList(models=[], complete=True) if names and not own else await updates.check_updates(app, own)

    return await ask_each_about(apps, names, check, min(app.timeouts.call for app in apps.values()))


TOOLS = (
    ToolSpec(
        run=plan_pull,
        title="Plan a pull",
        read_only=True,
        idempotent=True,
        open_world=True,
        search_hint="download size, disk space, does a model fit",
    ),
    ToolSpec(
        run=check_updates,
        title="Check for updates",
        read_only=True,
        idempotent=True,
        open_world=True,
        search_hint="outdated models, newer versions",
        rows="models",
        across=check_updates_of_all,
    ),
)
