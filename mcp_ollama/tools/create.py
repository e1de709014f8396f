"""Make models out of installed ones: copies under another name, and variants with other parameters or texts."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from mcp_ollama.models.app import App, Call, RefusedError, app_of
from mcp_ollama.models.lookup import find_model, key_of
from mcp_ollama.models.parameters import check_parameters
from mcp_ollama.models.progress import format_bytes
from mcp_ollama.ollama.error_messages import sanitize
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName, split_source
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.server.consent import Deed, Reason, consent
from mcp_ollama.tools.delete import Confirm
from mcp_ollama.tools.installed import ModelRow, model_row
from mcp_ollama.tools.running import unload_before_change
from mcp_ollama.tools.spec import ToolSpec
from mcp_ollama.tools.transfers import ensure_no_active_transfer

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
    app = app_of(call)
    name = _new_name(destination)
    found, others = await app.catalog.find(source)
    if key_of(found.name) == name.key:
        raise RefusedError(f"{found.name} has that name already.", "Give another destination.")

    async def copy() -> None:
        await app.ollama.copy_model(found.name, name.short)

    existing = find_model(name, others)
    loses = existing if existing and existing.digest != found.digest else None
    return await _make(call, "copy_model", name, copy, loses=loses, overwrite=overwrite, confirm=confirm)


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
    app = app_of(call)
    name = _new_name(model)
    try:
        checked = check_parameters(parameters or {})
    except ValueError as error:
        raise RefusedError(str(error), "Nothing was made.") from error
    found, others = await app.catalog.find(from_model)

    async def create() -> None:
        lines = app.ollama.create_model(
            name.short, found.name, system=system or None, template=template or None, parameters=checked or None
        )
        async with aclosing(lines):
            async for line in lines:
                if line.status.startswith("pulling"):
                    raise RefusedError(f"{found.name} was deleted meanwhile.", "Pull it first, then call again.")

    loses = find_model(name, [found, *others])
    return await _make(call, "create_model", name, create, loses=loses, overwrite=overwrite, confirm=confirm)


def _new_name(text: str) -> ModelName:
    """Read the name of what is made; Ollama would take some that it could then not find again."""
    base, source = split_source(text)
    if source:
        raise RefusedError(
            f"A model on this server cannot be called :{source}.", f"Give a name such as {base[:60]}:mine."
        )
    return ModelName.parse(base)


async def _make(
    call: Call,
    tool: str,
    name: ModelName,
    make: Callable[[], Awaitable[None]],
    *,
    loses: InstalledModel | None,
    overwrite: bool,
    confirm: str,
) -> CreateResult:
    app = app_of(call)
    ensure_no_active_transfer(app, name.short)
    if loses:
        _check_overwriting(app, loses, overwrite=overwrite)
        verdict = await consent(call, _deed(tool, name, loses), confirm)
        if verdict.reason:
            return CreateResult(model=loses.name, created=False, **asdict(verdict))
        await unload_before_change(app, loses, before="overwritten")
        if not await app.catalog.is_still(loses):
            next_step = f"{loses.name} was changed by someone else meanwhile: look at list_models."
            return CreateResult(model=loses.name, created=False, reason="changed", next_step=next_step)
        ensure_no_active_transfer(app, name.short)
    await make()
    app.confirmations.spend(confirm)
    try:
        made, _ = await app.catalog.find(name.short)
    except OllamaError:
        # It is made all the same, and who hears of an error would make it again.
        await app.changes.model_changed(name)
        return CreateResult(model=name.short, created=True)
    await app.changes.model_changed(ModelName.parse(made.name))
    facts = await app.catalog.facts([made])
    row = model_row(made, facts[made.digest], ())
    return CreateResult(model=made.name, created=True, details=row)


def _check_overwriting(app: App, existing: InstalledModel, *, overwrite: bool) -> None:
    access = app.settings.access
    if access != "full":
        raise RefusedError(
            f"{existing.name} exists, and the operator allows no overwriting (MCP_OLLAMA_ACCESS={access}).",
            "Give another name.",
        )
    if not overwrite:
        raise RefusedError(
            f"{existing.name} exists already ({sanitize(existing.digest[:12])}).",
            "Give another name, or ask the user and call again with overwrite=true.",
        )


def _deed(tool: str, name: ModelName, loses: InstalledModel) -> Deed:
    return Deed(
        tool=tool,
        what=f"overwrite {loses.name} ({sanitize(loses.digest[:12])}, {format_bytes(loses.size)})",
        done="overwritten",
        key=("overwrite", name.key, loses.digest),
    )


TOOLS = (
    ToolSpec(run=copy_model, title="Copy a model", destructive=True, overwrites=True),
    ToolSpec(run=create_model, title="Create a model", destructive=True, overwrites=True),
)
