"""Which models to delete when the disk is full."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from mcp_ollama.models import cleanup
from mcp_ollama.models.cleanup import CleanupPlan
from mcp_ollama.models.hosts import HostAnswers, ask_each_about
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.tools.arguments import DiskSize
from mcp_ollama.tools.spec import Call, ToolSpec


async def plan_cleanup(
    call: Call,
    free_at_least: Annotated[DiskSize, Field(description='Disk space that is needed, such as "20 GB".')] = None,
    keep: Annotated[list[str] | None, Field(max_length=200, description="Exact names of models to keep.")] = None,
) -> CleanupPlan:
    """Plan which models to delete for disk space, in order, and the bytes that they free; deletes nothing.

    Outdated copies first, then the oldest; loaded ones are left out. Ollama keeps no last use: ask the user first.
    """
    return await cleanup.plan_cleanup(call.app, free_at_least, [ModelName.for_pull(name) for name in keep or ()])


async def plan_cleanup_of_all(
    calls: Mapping[str, Call], free_at_least: int | None = None, keep: Sequence[str] | None = None
) -> HostAnswers[CleanupPlan]:
    """Plan for every host; a model to keep need not be on each."""
    apps = {host: call.app for host, call in calls.items()}
    names = [ModelName.for_pull(name) for name in keep or ()]
    seconds = min(app.timeouts.call for app in apps.values())
    return await ask_each_about(apps, names, lambda app, own: cleanup.plan_cleanup(app, free_at_least, own), seconds)


TOOLS = (
    ToolSpec(
        run=plan_cleanup,
        title="Plan a cleanup",
        read_only=True,
        idempotent=True,
        search_hint="free disk space, which models to remove, unused models",
        rows="models",
        across=plan_cleanup_of_all,
    ),
)
