"""Installed models compared with the registry."""

from collections.abc import Sequence
from typing import Literal

import anyio
from pydantic import BaseModel

from mcp_ollama.models.app import App
from mcp_ollama.models.blobs import bytes_of, present_blobs
from mcp_ollama.models.catalog import find_installed
from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.lookup import key_of, listed_name
from mcp_ollama.models.pages import fit_rows
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import InstalledModel

MAX_ROWS = 200


class Update(BaseModel):
    """Whether a model has an update, and how much it would fetch."""

    model: str
    state: Literal["current", "outdated", "local_only", "remote", "unknown"]
    download_bytes: int | None = None
    reason: str | None = None


class UpdateList(BaseModel):
    """Installed models against the registry; not `complete` when some could not be looked up."""

    models: list[Update]
    complete: bool
    next_step: str | None = None


async def check_updates(app: App, names: Sequence[ModelName]) -> UpdateList:
    """Compare these models with the registry, or all when there is no name.

    Raises:
        ModelNotFoundError: One of them is not installed.
    """
    installed = await app.ollama.list_models()
    chosen = [find_installed(name, installed) for name in names] or installed
    rows = {one.name: Update(model=one.name, state="unknown", reason="There was no time to ask.") for one in chosen}

    async def look(one: InstalledModel) -> None:
        rows[one.name] = await _update_of(app, one)

    with anyio.move_on_after(app.timeouts.updates):
        await for_each(chosen[:MAX_ROWS], look)
    checked = list(rows.values())[:MAX_ROWS]
    complete = len(rows) <= MAX_ROWS and all(row.state != "unknown" for row in checked)
    # Current ones come last, since they are what may be left out.
    listed = (
        checked if len(fit_rows(checked)) == len(checked) else sorted(checked, key=lambda row: row.state == "current")
    )
    shown = fit_rows(listed)
    return UpdateList(models=shown, complete=complete, next_step=_truncation_note(len(rows), len(listed) - len(shown)))


def _truncation_note(count: int, left_out: int) -> str | None:
    notes: list[str] = []
    if left_out:
        notes.append(f"{left_out} more rows are left out: ask about those models with models.")
    if count > MAX_ROWS:
        notes.append(
            f"{count - MAX_ROWS} older ones were not looked up: call again with models, from list_models with "
            f"offset={MAX_ROWS}."
        )
    return " ".join(notes) or None


async def _update_of(app: App, model: InstalledModel) -> Update:
    row = Update(model=model.name, state="unknown")
    if model.remote_host:
        row.state = "remote"
        return row
    # It may also be the file that the model's author made it from.
    parent = listed_name(model.details.parent_model)
    try:
        manifest = await app.registry.get_manifest(ModelName.for_pull(model.name))
        row.state = "current" if model.digest in manifest.digests else "outdated"
        if row.state == "outdated" and parent and parent.key == key_of(model.name):
            row.state, row.reason = "local_only", f"Made here from {parent}, whose name it took."
        elif row.state == "outdated":
            present = await present_blobs(app.ollama, manifest)
            row.download_bytes = None if present is None else manifest.total_bytes - bytes_of(manifest, present)
            # `parent_model` is set for local variants, and for models that their author derived and pushed.
            row.reason = f"It was made from {parent}: if here, a pull would replace it." if parent else None
    except ModelNotFoundError:
        row.state = "local_only"
        row.reason = f"Made here from {parent}." if parent else "The registry has no such model."
    except (OllamaError, InvalidModelName) as error:
        row.reason = sanitize(str(error), 300)
    return row
