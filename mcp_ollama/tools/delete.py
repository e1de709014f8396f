"""Delete models, with the user's consent and a true word on what becomes free."""

from pydantic import BaseModel

from mcp_ollama.models.app import App
from mcp_ollama.models.disk import FreedSpace, freed_space, sharing_candidates
from mcp_ollama.models.formatting import format_bytes, format_digest, join_limited
from mcp_ollama.models.lookup import find_running, listed_name
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.arguments import Confirm, Model
from mcp_ollama.tools.spec import Call, DestructiveAction, Reason, ToolSpec


class DeleteResult(BaseModel):
    """What became of a deletion, or what it needs first."""

    model: str
    deleted: bool
    reason: Reason | None = None
    frees_bytes: int | None = None
    shared_with: list[str]
    was_loaded: bool
    confirmation: str | None = None
    next_step: str | None = None


async def delete_model(
    call: Call,
    model: Model,
    confirm: Confirm = "",
) -> DeleteResult:
    """Delete an installed model from the server's disk. It cannot be undone, only pulled again.

    The user is asked first. Where the host cannot ask, the first call deletes nothing: it says what would be
    freed and gives a confirmation. Ask the user, then call again with it. Exact names only. To free memory
    instead of disk: unload_model.
    """
    app = call.app
    name = ModelName.for_pull(model)
    found, others = await app.catalog.find(name)
    app.transfers.ensure_idle(ModelName.for_pull(found.name))
    freed = await _freed(app, found, others)
    running = await app.ollama.list_running_models()
    outcome = DeleteResult(
        model=found.name,
        deleted=False,
        frees_bytes=freed.frees_bytes,
        shared_with=list(freed.shared_with),
        was_loaded=bool(find_running(found, running)),
    )
    async with call.consent(_action(name, found, freed), confirm) as consent:
        if consent.reason:
            outcome.reason, outcome.confirmation = consent.reason, consent.confirmation
            outcome.next_step = consent.next_step
            return outcome
        await app.loads.unload_before_change(found, app.timeouts.unload)
        await _delete(app, found, outcome)
    return outcome


async def _delete(app: App, model: InstalledModel, outcome: DeleteResult) -> None:
    """Delete the very model that was agreed on, not one that took its name meanwhile, or is about to."""
    still = await app.catalog.is_still(model)
    app.transfers.ensure_idle(ModelName.for_pull(model.name))
    if not still or not await app.ollama.delete_model(model.name):
        outcome.reason = "changed"
        outcome.next_step = f"{model.name} was changed or deleted by someone else meanwhile: look at list_models."
        return
    outcome.deleted = True
    await app.changes.model_changed(ModelName.for_pull(model.name))


async def _freed(app: App, model: InstalledModel, others: list[InstalledModel]) -> FreedSpace:
    alike = sharing_candidates(model, others)
    facts = await app.catalog.facts([model, *alike]) if alike else {}
    return freed_space(model, alike, facts)


def _action(name: ModelName, model: InstalledModel, freed: FreedSpace) -> DestructiveAction:
    if freed.frees_bytes is None:
        frees = f"up to {format_bytes(model.size)} (unknown, since {_named(freed.unread)} could not be read)"
    elif freed.frees_bytes:
        frees = format_bytes(freed.frees_bytes)
    else:
        keep = "keeps" if len(freed.shared_with) == 1 else "keep"
        frees = f"nothing, since {_named(freed.shared_with)} {keep} the same weights"
    return DestructiveAction(
        tool="delete_model",
        description=f"delete {model.name} ({format_digest(model.digest)}), which frees {frees}",
        past="deleted",
        target=(name.key, model.digest),
    )


def _named(names: tuple[str, ...]) -> str:
    """Join names for the question to the user; an invalid one may be a text of its own."""
    return join_limited([name if listed_name(name) else "a model with an invalid name" for name in names])


_UNASKED = (
    "Delete an installed model from the server's disk at once: nobody is asked. It cannot be undone, only pulled "
    "again. Exact names only. To free memory instead of disk: unload_model."
)

TOOLS = (
    ToolSpec(
        run=delete_model,
        title="Delete a model",
        destructive=True,
        idempotent=True,
        unasked=_UNASKED,
        search_hint="remove, uninstall a model, free disk space",
        arguments_of=(("confirm", "confirm_delete"),),
    ),
)
