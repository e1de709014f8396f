"""Make models out of installed ones: copies under another name, and variants with other parameters or texts."""

import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field

from mcp_ollama.models.all_transfers import ensure_idle
from mcp_ollama.models.app import App
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.facts import configured_context, effective_context, facts_of, parse_parameters
from mcp_ollama.models.formatting import format_bytes, format_digest
from mcp_ollama.models.lookup import find_model, identity, key_of
from mcp_ollama.models.parameters import check_parameters
from mcp_ollama.models.rows import ModelRow, model_row
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName, split_source
from mcp_ollama.ollama.pasted_names import unwrap
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.arguments import Confirm
from mcp_ollama.tools.spec import Call, DestructiveAction, Reason, ToolSpec

Overwrite = Annotated[bool, Field(description="Replace an existing model of that name: ask the user first.")]


class CreateResult(BaseModel):
    """The new model, or what is needed first."""

    model: str
    created: bool
    details: ModelRow | None = None
    configured_context_length: int | None = None
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
    """Copy an installed model to a second name; it is instant and takes no disk space.

    To change its parameters or texts: create_model.
    """
    app = call.app
    name = _new_name(destination)
    found, others = await app.catalog.find(source)
    if key_of(found.name) == name.key:
        raise RefusedError(f"{found.name} has that name already.", "Choose another destination.")

    async def copy() -> None:
        await app.ollama.copy_model(found.name, name)

    existing = find_model(name, others)
    await ensure_idle(app.transfers, name)
    if existing is None or existing.digest == found.digest:
        await _make_new(app, name, found, copy, existing)
        return await _created(call, name)
    _check_overwriting(app, existing, overwrite=overwrite)
    action = _overwriting("copy_model", name, existing, found.digest)
    return await _overwrite(call, found, existing, action, copy, confirm) or await _created(call, name)


async def create_model(
    call: Call,
    model: Annotated[str, Field(description="Name of the new model.")],
    from_model: Annotated[str, Field(description="Installed base model.")],
    # Plain str, since the SDK would read a text for `str | None` as JSON, which a prompt may well be.
    system: Annotated[str, Field(description="System prompt. Default: that of from_model.")] = "",
    template: Annotated[str, Field(description="Prompt template in Go's syntax. Default: that of from_model.")] = "",
    parameters: Annotated[
        dict[str, Any] | None, Field(description='Such as {"num_ctx": 16384, "temperature": 0.2, "stop": ["END"]}.')
    ] = None,
    overwrite: Overwrite = False,  # noqa: FBT002
    confirm: Confirm = "",
) -> CreateResult:
    """Create a variant of an installed model: another context length, other parameters, system prompt or template.

    The weights are shared, so it takes no disk space.
    """
    app = call.app
    name = _new_name(model)
    try:
        checked = check_parameters(parameters or {})
    except ValueError as error:
        raise RefusedError(str(error), "Nothing was created.") from error
    found, others = await app.catalog.find(from_model)

    async def create() -> None:
        lines = app.ollama.create_model(
            name, found.name, system=system or None, template=template or None, parameters=checked or None
        )
        async with aclosing(lines):
            async for line in lines:
                if line.status.startswith("pulling"):
                    raise RefusedError(f"{found.name} was deleted meanwhile.", "Pull it first, then call again.")

    await ensure_idle(app.transfers, name)
    existing = find_model(name, [found, *others])
    if existing is None:
        await _make_new(app, name, found, create)
        return await _created(call, name)
    _check_overwriting(app, existing, overwrite=overwrite)
    replacement = (found.digest, system, template, json.dumps(checked, sort_keys=True))
    action = _overwriting("create_model", name, existing, *replacement)
    return await _overwrite(call, found, existing, action, create, confirm) or await _created(call, name)


def _new_name(text: str) -> ModelName:
    """Read the name of what is made; Ollama would take some that it could then not find again."""
    base, source = split_source(unwrap(text))
    if source:
        raise RefusedError(
            f"A model on this server cannot be named :{source}.", f"Choose a name such as {base[:60]}:mine."
        )
    return ModelName.parse(base)


async def _make_new(
    app: App,
    name: ModelName,
    source: InstalledModel,
    make: Callable[[], Awaitable[None]],
    existing: InstalledModel | None = None,
) -> None:
    """Make a model under a name that is free, or that holds the same model already.

    Raises:
        RefusedError: Something took the name meanwhile, so that this would overwrite it without consent.
    """
    with _holding(app, name, source, "created"):
        installed = await app.ollama.list_models()
        now = find_model(name, installed)
        if (now and now.digest) != (existing and existing.digest):
            raise RefusedError(f"{name} was created by another client meanwhile.", "See list_models.")
        _check_source(source, installed)
        await ensure_idle(app.transfers, name)
        await make()


@contextmanager
def _holding(app: App, name: ModelName, source: InstalledModel, how: str) -> Generator[None]:
    """Hold the new name, and its source unless it is the same."""
    source_name = ModelName.for_pull(source.name)
    with app.holds.change(name, how), nullcontext() if source_name.key == name.key else app.holds.read(source_name):
        yield


def _check_source(source: InstalledModel, installed: list[InstalledModel]) -> None:
    # Ollama would pull a source that is not installed, from whatever registry its name says.
    if not any(identity(one) == identity(source) for one in installed):
        raise RefusedError(f"{source.name} was deleted or changed meanwhile.", "See list_models, then call again.")


async def _overwrite(
    call: Call,
    source: InstalledModel,
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
        name = ModelName.for_pull(loses.name)
        with _holding(app, name, source, "overwritten"):
            await app.loads.unload_before_change(loses, app.timeouts.unload, before="overwritten")
            installed = await app.ollama.list_models()
            _check_source(source, installed)
            if not any(identity(one) == identity(loses) for one in installed):
                next_step = f"{loses.name} was changed by another client meanwhile. See list_models."
                return CreateResult(model=loses.name, created=False, reason="changed", next_step=next_step)
            await ensure_idle(app.transfers, name)
            await make()
    return None


async def _created(call: Call, name: ModelName) -> CreateResult:
    """Return the model that was made. An error or a timeout here would make the caller create it again."""
    app, made, info = call.app, None, None
    async with call.waiting():
        with suppress(OllamaError), anyio.move_on_after(app.timeouts.health_extra):
            made, _ = await app.catalog.find(name)
            info = await app.catalog.remembered_info(made)
    await app.changes.model_changed(ModelName.parse(made.name) if made else name)
    if not made:
        return CreateResult(model=name.short, created=True)
    row = model_row(made, facts_of(info) if info else None, ())
    result = CreateResult(model=made.name, created=True, details=row)
    if info and (configured := configured_context(parse_parameters(info.parameters))):
        _note_context(result, configured, row)
    return result


def _note_context(result: CreateResult, configured: int, row: ModelRow) -> None:
    """Write into a result the context length that Ollama will use; `num_ctx` may be the base model's."""
    trained = row.context_length
    result.configured_context_length = effective_context(configured, trained, row.capabilities)
    if trained and configured > trained:
        result.next_step = (
            f"num_ctx {configured} is above the {trained} tokens that the model was trained for: "
            f"Ollama loads it with {trained}."
        )


def _check_overwriting(app: App, existing: InstalledModel, *, overwrite: bool) -> None:
    if app.settings.access != "full":
        raise RefusedError(
            f"{existing.name} exists, and the operator allows no overwriting ({app.settings.access_setting()}).",
            "Choose another name.",
        )
    if not overwrite:
        raise RefusedError(
            f"{existing.name} exists already ({format_digest(existing.digest)}).",
            "Choose another name, or ask the user and call again with overwrite=true.",
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
