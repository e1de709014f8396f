"""Make models out of installed ones: copies under another name, and variants with other parameters or texts."""

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field

from mcp_ollama.models.app import App
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.formatting import format_bytes, format_digest
from mcp_ollama.models.lookup import find_model, key_of
from mcp_ollama.models.parameters import check_parameters
from mcp_ollama.models.views import ModelRow, model_row
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName, split_source
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.arguments import Confirm
from mcp_ollama.tools.spec import Call, DestructiveAction, Reason, ToolSpec

Overwrite = Annotated[bool, Field(description="Replace an existing model of that name: ask the user first.")]


class CreateResult(BaseModel):
    """What became of it: the new model, or what is needed first."""

    model: str
    created: bool
    details: ModelRow | None = None
    reason: Reason | None = None
    confirmation: str | None = None
    next_step: str | None = None


async def copy_model(
    call: Call,
    source: Annotated[str, Field(description="Installed model.")],
    destination: Annotated[str, Field(description="The new name.")],
    overwrite: Overwrite = False,  # noqa: FBT002
    confirm: Confirm = "",
) -> CreateResult:
    """Give an installed model a second name, at once and without using disk space.

    To change its parameters or texts: create_model.
    """
    app = call.app
    name = _new_name(destination)
    found, others = await app.catalog.find(source)
    if key_of(found.name) == name.key:
        raise RefusedError(f"{found.name} has that name already.", "Give another destination.")

    async def copy() -> None:
        await app.ollama.copy_model(found.name, name)

    existing = find_model(name, others)
    app.transfers.ensure_idle(name)
    if existing is None or existing.digest == found.digest:
        await copy()
        return await _created(app, name)
    _check_overwriting(app, existing, overwrite=overwrite)
    action = _overwriting("copy_model", name, existing, found.digest)
    return await _overwrite(call, existing, action, copy, confirm) or await _created(app, name)


async def create_model(
    call: Call,
    model: Annotated[str, Field(description="Name of the new model.")],
    from_model: Annotated[str, Field(description="Installed model that it is made from.")],
    # Plain str, since the SDK would read a text for `str | None` as JSON, which a prompt may well be.
    system: Annotated[str, Field(description="Its system prompt; left out, that of from_model.")] = "",
    template: Annotated[str, Field(description="Its prompt template, in Go's syntax; left out, as from_model.")] = "",
    parameters: Annotated[
        dict[str, Any] | None, Field(description='Such as {"num_ctx": 16384, "temperature": 0.2, "stop": ["END"]}.')
    ] = None,
    overwrite: Overwrite = False,  # noqa: FBT002
    confirm: Confirm = "",
) -> CreateResult:
    """Make a variant of an installed model: another context length, other parameters, system prompt or template.

    The weights are shared, so it takes no disk space. Not for downloads: pull_model.
    """
    app = call.app
    name = _new_name(model)
    try:
        checked = check_parameters(parameters or {})
    except ValueError as error:
        raise RefusedError(str(error), "Nothing was made.") from error
    found, others = await app.catalog.find(from_model)

    async def create() -> None:
        lines = app.ollama.create_model(
            name, found.name, system=system or None, template=template or None, parameters=checked or None
        )
        async with aclosing(lines):
            async for line in lines:
                if line.status.startswith("pulling"):
                    raise RefusedError(f"{found.name} was deleted meanwhile.", "Pull it first, then call again.")

    app.transfers.ensure_idle(name)
    existing = find_model(name, [found, *others])
    if existing is None:
        await create()
        return await _created(app, name)
    _check_overwriting(app, existing, overwrite=overwrite)
    replacement = (found.digest, system, template, json.dumps(checked, sort_keys=True))
    action = _overwriting("create_model", name, existing, *replacement)
    return await _overwrite(call, existing, action, create, confirm) or await _created(app, name)


def _new_name(text: str) -> ModelName:
    """Read the name of what is made; Ollama would take some that it could then not find again."""
    base, source = split_source(text)
    if source:
        raise RefusedError(
            f"A model on this server cannot be called :{source}.", f"Give a name such as {base[:60]}:mine."
        )
    return ModelName.parse(base)


async def _overwrite(
    call: Call,
    loses: InstalledModel,
    action: DestructiveAction,
    make: Callable[[], Awaitable[None]],
    confirm: str,
) -> CreateResult | None:
    """Make a model in place of another, with the user's consent; returns what kept it from being made."""
    app = call.app
    async with call.consent(action, confirm) as consent:
        if consent.reason:
            return CreateResult(model=loses.name, created=False, **asdict(consent))
        await app.loads.unload_before_change(loses, app.timeouts.unload, before="overwritten")
        if not await app.catalog.is_still(loses):
            next_step = f"{loses.name} was changed by someone else meanwhile: look at list_models."
            return CreateResult(model=loses.name, created=False, reason="changed", next_step=next_step)
        app.transfers.ensure_idle(ModelName.for_pull(loses.name))
        await make()
    return None


async def _created(app: App, name: ModelName) -> CreateResult:
    """Return the model that was made. An error or a timeout here would make the caller create it again."""
    made = None
    with suppress(OllamaError), anyio.move_on_after(app.timeouts.health_extra):
        made, _ = await app.catalog.find(name)
    await app.changes.model_changed(ModelName.parse(made.name) if made else name)
    if not made:
        return CreateResult(model=name.short, created=True)
    facts = await app.catalog.facts([made])
    return CreateResult(model=made.name, created=True, details=model_row(made, facts[made.digest], ()))


def _check_overwriting(app: App, existing: InstalledModel, *, overwrite: bool) -> None:
    access = app.settings.access
    if access != "full":
        raise RefusedError(
            f"{existing.name} exists, and the operator allows no overwriting (MCP_OLLAMA_ACCESS={access}).",
            "Give another name.",
        )
    if not overwrite:
        raise RefusedError(
            f"{existing.name} exists already ({format_digest(existing.digest)}).",
            "Give another name, or ask the user and call again with overwrite=true.",
        )


def _overwriting(tool: str, name: ModelName, loses: InstalledModel, *replacement: str) -> DestructiveAction:
    return DestructiveAction(
        tool=tool,
        description=f"overwrite {loses.name} ({format_digest(loses.digest)}, {format_bytes(loses.size)})",
        past="overwritten",
        target=(name.key, loses.digest),
        replacement=replacement,
    )


TOOLS = (
    ToolSpec(
        run=copy_model,
        title="Copy a model",
        destructive=True,
        overwrites=True,
        search_hint="rename, alias, duplicate a model",
        arguments_of=(("confirm", "confirm_delete"),),
    ),
    ToolSpec(
        run=create_model,
        title="Create a model",
        destructive=True,
        overwrites=True,
        search_hint="Modelfile, custom system prompt, num_ctx, variant",
        arguments_of=(("confirm", "confirm_delete"),),
    ),
)
