"""Which models to delete for disk space: the order, the reasons, and the exact bytes of all together.

Ollama keeps no time of last use; what counts instead is whether a newer version is installed, and the age.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from mcp_ollama.models.all_transfers import find_transfers_elsewhere
from mcp_ollama.models.app import App
from mcp_ollama.models.catalog import find_installed
from mcp_ollama.models.concurrency import side_by_side
from mcp_ollama.models.disk import FreedSpace, freed_space, kind_of, weights_key
from mcp_ollama.models.facts import Facts
from mcp_ollama.models.formatting import format_bytes, join_limited
from mcp_ollama.models.lookup import identity, listed_name
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel

MAX_MODELS = 20
"""Of one plan and one deletion: a person has to read all their names before agreeing."""

OLD = timedelta(days=90)

_UNKNOWN = datetime.max.replace(tzinfo=UTC)
"""In place of a date that the server does not report: such a model is not taken for old, and comes last."""
_NO_LAST_USE = "Ollama keeps no last use, so the order follows modified_at: ask which of them are still in use."
_NONE_CAN_GO = "No model can go: each is loaded, to be kept, in transfer, or shares its weights with one that is."
_NONE_ON_DISK = "No model is on the disk of the Ollama server: free space there in another way."

CleanupReason = Literal["outdated_copy", "never_loaded_here", "old", "large"]


class CleanupRow(BaseModel):
    """A model to delete; `frees_bytes` counts once those before it are deleted, absent when it is unknown."""

    name: str
    frees_bytes: int | None = None
    reason: CleanupReason


class CleanupPlan(BaseModel):
    """Models in the order in which to delete them; `frees_bytes` of all together, absent when it is unknown."""

    models: list[CleanupRow]
    frees_bytes: int | None = None
    enough: bool | None = None
    next_step: str


@dataclass(frozen=True, slots=True)
class _Group:
    """Models with the same weights, which become free only when all of them are deleted; the oldest first."""

    models: tuple[InstalledModel, ...]
    is_outdated: bool

    @property
    def frees_bytes(self) -> int:
        return max(model.size for model in self.models)

    @property
    def order(self) -> tuple[bool, datetime]:
        # The newest of them counts: until then somebody wanted the weights.
        return not self.is_outdated, _modified(self.models[-1])


async def plan_cleanup(app: App, free_at_least: int | None = None, keep: Iterable[ModelName] = ()) -> CleanupPlan:
    """Plan which models to delete; deletes nothing.

    Loaded models, those in transfer, cloud models, and those that share weights with one of them or with one to keep
    are left out.

    Args:
        app: The application.
        free_at_least: Bytes of disk that are needed; None plans for `MAX_MODELS` models.
        keep: Installed models to keep.

    Raises:
        ModelNotFoundError: A model to keep is not installed: the plan might delete the one that was meant.
        OllamaError: It is unknown what is installed or loaded.
    """
    installed, running = await side_by_side(app.ollama.list_models, app.catalog.running_now)
    kept = {find_installed(name, installed).name for name in keep}
    loaded = {identity(one) for one in running}
    facts = await app.catalog.facts(installed)
    elsewhere = await find_transfers_elsewhere(app.transfers)

    def may_go(model: InstalledModel) -> bool:
        name = listed_name(model.name)
        is_used = model.name in kept or identity(model) in loaded
        return not (name is None or is_used or name.key in elsewhere or app.transfers.open_kind(name))

    on_disk = _grouped(installed, facts)
    groups = [group for group in on_disk if all(map(may_go, group.models))]
    chosen = _chosen(sorted(groups, key=lambda group: group.order), free_at_least)
    models = {model.name: model for group in chosen for model in group.models}
    held = [model for group in on_disk if group not in groups for model in group.models]
    ways = {
        "unload_model": any(identity(model) in loaded for model in held),
        "keep less": any(model.name in kept for model in held),
        "plan again after deleting": len(chosen) < len(groups),
    }
    freed = freed_space(list(models.values()), [one for one in installed if one.name not in models], facts)
    rows = [row for group in chosen for row in _rows(group, app.catalog.was_loaded, is_exact=not freed.unread)]
    return CleanupPlan(
        models=rows,
        frees_bytes=freed.frees_bytes,
        enough=None if free_at_least is None or freed.frees_bytes is None else freed.frees_bytes >= free_at_least,
        next_step=_next_step(freed, free_at_least, ways) if rows else _NONE_CAN_GO if on_disk else _NONE_ON_DISK,
    )


def _grouped(installed: Sequence[InstalledModel], facts: Mapping[str, Facts | None]) -> list[_Group]:
    """Group the models on this server's disk by their weights."""
    local = sorted((model for model in installed if not model.remote_host), key=_modified)
    newest = {(kind_of(model), _versions(model, facts)[0]): model for model in local if model.modified_at}

    def is_outdated(model: InstalledModel) -> bool:
        found = (newest.get((kind_of(model), version)) for version in _versions(model, facts))
        return any(
            other and _modified(other) > _modified(model) and weights_key(other, facts) != weights_key(model, facts)
            for other in found
        )

    groups: dict[str, list[InstalledModel]] = {}
    for model in local:
        groups.setdefault(weights_key(model, facts), []).append(model)
    return [_Group(tuple(models), all(map(is_outdated, models))) for models in groups.values()]


def _versions(model: InstalledModel, facts: Mapping[str, Facts | None]) -> list[str]:
    """Return what models have in common that are versions of one model, its own first.

    It is the title that converters write into the weights. Without it only the name is left: `qwen3-backup` and
    `old-qwen3` may be copies of an earlier `qwen3`.
    """
    known = facts.get(model.digest)
    if known and known.title:
        return [known.title]
    name = listed_name(model.name)
    words = (name.model if name else model.name).lower().split("-")
    spans = [(start, end) for start in range(len(words)) for end in range(len(words), start, -1)]
    return ["-".join(words[start:end]) for start, end in spans]


def _chosen(groups: Iterable[_Group], free_at_least: int | None) -> list[_Group]:
    """Choose the first groups that free enough; a group that makes too many models for one deletion is left out."""
    chosen: list[_Group] = []
    count, frees = 0, 0
    for group in groups:
        if free_at_least is not None and frees >= free_at_least:
            break
        if count + len(group.models) <= MAX_MODELS:
            chosen.append(group)
            count += len(group.models)
            frees += group.frees_bytes
    return chosen


def _rows(group: _Group, was_loaded: Callable[[InstalledModel], bool], *, is_exact: bool) -> Iterable[CleanupRow]:
    """Build the rows of a group; the last one frees the weights."""
    for model in group.models:
        frees = group.frees_bytes if model is group.models[-1] else 0
        reason = "outdated_copy" if group.is_outdated else _reason(model, was_loaded=was_loaded(model))
        yield CleanupRow(name=model.name, frees_bytes=frees if is_exact else None, reason=reason)


def _reason(model: InstalledModel, *, was_loaded: bool) -> CleanupReason:
    if datetime.now(UTC) - _modified(model) > OLD:
        return "old"
    return "large" if was_loaded else "never_loaded_here"


def _next_step(freed: FreedSpace, free_at_least: int | None, ways: Mapping[str, bool]) -> str:
    """Build the next step; `ways` to free still more are those that are true."""
    steps = ["Ask the user, then call delete_model with these names as models.", _NO_LAST_USE]
    if freed.frees_bytes is None:
        steps.insert(0, f"How much becomes free is unknown, since {join_limited(freed.unread)} could not be read.")
    elif free_at_least and freed.frees_bytes < free_at_least:
        missing = format_bytes(free_at_least - freed.frees_bytes)
        helpful = ", or ".join(way for way, helps in ways.items() if helps)
        steps.insert(0, f"{missing} are missing: {helpful or 'free space there in another way, too'}.")
    return " ".join(steps)


def _modified(model: InstalledModel) -> datetime:
    return model.modified_at or _UNKNOWN
