"""Delete models, with the user's consent and the bytes that really become free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import anyio
from pydantic import BaseModel, Field, Strict

from mcp_ollama.models.all_transfers import ensure_idle
from mcp_ollama.models.app import App
from mcp_ollama.models.catalog import find_installed
from mcp_ollama.models.cleanup import MAX_MODELS
from mcp_ollama.models.disk import FreedSpace, freed_space
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.facts import Facts
from mcp_ollama.models.formatting import format_bytes, format_digest, join_limited
from mcp_ollama.models.lookup import identity, listed_name
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.arguments import Confirm
from mcp_ollama.tools.spec import Call, DestructiveAction, Reason, ToolSpec

MAX_SHARED = 20
"""Names in `shared_with` of one model of several; that of all together has the others."""


class Deletion(BaseModel):
    """The result for one model of several."""

    model: str
    deleted: bool
    reason: Reason | None = None
    frees_bytes: int | None = None
    shared_with: list[str]
    was_loaded: bool
    next_step: str | None = None


class DeleteResult(BaseModel):
    """The result of a deletion, or what it needs first.

    Of several models, `frees_bytes` and `shared_with` are of all together; once they are deleted, of those that were.
    """

    model: str | None = None
    models: list[Deletion] | None = None
    deleted: bool
    reason: Reason | None = None
    frees_bytes: int | None = None
    shared_with: list[str]
    was_loaded: bool
    confirmation: str | None = None
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """A model to delete, as it was when the user was asked."""

    name: ModelName
    model: InstalledModel
    result: Deletion


@dataclass(frozen=True, slots=True)
class _Disk:
    """The installed models, with what is known of them by digest."""

    installed: Sequence[InstalledModel]
    facts: Mapping[str, Facts | None]

    def freed_by(self, models: Sequence[InstalledModel]) -> FreedSpace:
        """Compute what deleting models together frees."""
        return freed_space(models, [one for one in self.installed if one not in models], self.facts)


async def delete_model(
    call: Call,
    model: Annotated[
        str | None, Field(description="Model name, such as llama3.2:3b; without a tag it means latest.")
    ] = None,
    models: Annotated[
        list[str] | None, Strict(), Field(max_length=MAX_MODELS, description="Several models, instead of model.")
    ] = None,
    confirm: Confirm = "",
) -> DeleteResult:
    """Delete installed models from the server's disk. It cannot be undone, only pulled again.

    The user is asked first. Where the client cannot ask, the first call deletes nothing: it returns the bytes that
    would be freed and a confirmation. Ask the user, then call again with it. Exact names only; model or models.
    To free memory instead of disk: unload_model.
    """
    app = call.app
    if (model is None) == (not models):
        raise RefusedError("delete_model takes either model or models.", "Give exactly one of them.")
    targets, disk = await _find(app, [ModelName.for_pull(name) for name in models or [model or ""]])
    freed = disk.freed_by([target.model for target in targets])
    async with call.consent(_action(targets, freed), confirm) as consent:
        if consent.reason:
            result = _result(targets, freed, several=bool(models))
            result.reason, result.confirmation = consent.reason, consent.confirmation
            result.next_step = consent.next_step
            return result
        if models:
            await _delete_each(call, targets)
            freed = disk.freed_by([target.model for target in targets if target.result.deleted])
        else:
            await _delete(app, targets[0])
    return _result(targets, freed, several=bool(models))


async def _find(app: App, names: Sequence[ModelName]) -> tuple[list[_Target], _Disk]:
    installed = await app.ollama.list_models()
    found = {(one := find_installed(name, installed)).name: (name, one) for name in names}
    running = {identity(one) for one in await app.catalog.running_now()}
    await ensure_idle(app.transfers, *(ModelName.for_pull(one.name) for _, one in found.values()))
    disk = _Disk(installed, await app.catalog.facts(installed) if len(installed) > 1 else {})
    targets: list[_Target] = []
    for name, one in found.values():
        space = disk.freed_by([one])
        row = Deletion(
            model=one.name,
            deleted=False,
            frees_bytes=space.frees_bytes,
            shared_with=list(space.shared_with),
            was_loaded=identity(one) in running,
        )
        targets.append(_Target(name, one, row))
    return targets, disk


async def _delete_each(call: Call, targets: Sequence[_Target]) -> None:
    """Delete several models; an error of one is reported in its row, since others may be deleted already."""
    # Outside the timeout of the call, which would end it without a word on those that are deleted.
    async with call.waiting():
        with anyio.move_on_after(call.app.timeouts.call) as limit:
            for target in targets:
                try:
                    await _delete(call.app, target)
                except OllamaError as error:
                    target.result.next_step = str(error)
    if limit.cancelled_caught:
        for row in (target.result for target in targets):
            if not (row.deleted or row.reason or row.next_step):
                row.next_step = "There was no time left for it. See list_models, then call again."


async def _delete(app: App, target: _Target) -> None:
    """Delete the very model that the user agreed to, not one that took its name meanwhile."""
    model, result = target.model, target.result
    name = ModelName.for_pull(model.name)
    with app.holds.change(name, "deleted"):
        await app.loads.unload_before_change(model, app.timeouts.unload)
        still = await app.catalog.is_still(model)
        await ensure_idle(app.transfers, name)
        if not still or not await app.ollama.delete_model(name):
            result.reason = "changed"
            result.next_step = f"{model.name} was changed or deleted by another client meanwhile. See list_models."
            return
    result.deleted = True
    await app.changes.model_changed(name)


def _result(targets: Sequence[_Target], freed: FreedSpace, *, several: bool) -> DeleteResult:
    rows = [target.result for target in targets]
    if not several:
        return DeleteResult(**rows[0].model_dump())
    for row in rows:
        del row.shared_with[MAX_SHARED:]
    return DeleteResult(
        models=rows,
        deleted=all(row.deleted for row in rows),
        frees_bytes=freed.frees_bytes,
        shared_with=list(freed.shared_with),
        was_loaded=any(row.was_loaded for row in rows),
    )


def _action(targets: Sequence[_Target], freed: FreedSpace) -> DestructiveAction:
    models = [target.model for target in targets]
    named = ", ".join(f"{one.name} ({format_digest(one.digest)})" for one in models)
    size = format_bytes(sum(one.size for one in models))
    if freed.frees_bytes is None:
        frees = f"up to {size} (unknown, since {_named(freed.unread)} could not be read)"
    elif freed.frees_bytes:
        frees = format_bytes(freed.frees_bytes)
    else:
        keep = "keeps" if len(freed.shared_with) == 1 else "keep"
        frees = f"nothing, since {_named(freed.shared_with)} {keep} the same weights"
    return DestructiveAction(
        tool="delete_model",
        description=f"delete {named}, which frees {frees}{' in all' if len(models) > 1 else ''}",
        past="deleted",
        # Sorted, since a client may repeat the names in another order.
        target=tuple(part for key in sorted((one.name.key, one.model.digest) for one in targets) for part in key),
    )


def _named(names: Sequence[str]) -> str:
    """Join names for the question to the user; an invalid one may be a text of its own."""
    return join_limited([name if listed_name(name) else "a model with an invalid name" for name in names])


_UNASKED = (
    "Delete installed models from the server's disk at once, without asking the user. It cannot be undone, only pulled "
    "again. Exact names only; model or models. To free memory instead of disk: unload_model."
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
