"""Disk space that deleting models frees; without I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcp_ollama.models.facts import Facts
from mcp_ollama.ollama.schemas import InstalledModel


@dataclass(frozen=True, slots=True)
class FreedSpace:
    """Bytes that deleting models frees.

    Args:
        frees_bytes: Bytes of disk; None when it is unknown whether another model shares them.
        shared_with: Names that keep the same weights on disk.
        unread: Names whose weights could not be read, when that leaves `frees_bytes` unknown.
    """

    frees_bytes: int | None
    shared_with: tuple[str, ...]
    unread: tuple[str, ...] = ()


def freed_space(
    models: Sequence[InstalledModel], others: Sequence[InstalledModel], facts: Mapping[str, Facts | None]
) -> FreedSpace:
    """Compute what deleting `models` together frees; weights that several of them share count once.

    The digest of the weights decides, since a variant may state another family, size or quantization than its base.

    Args:
        models: The models to delete.
        others: All other installed models.
        facts: By digest, what `/api/show` said of them; None where it could not be read.
    """
    groups: dict[str, list[InstalledModel]] = {}
    for model in models:
        groups.setdefault(weights_key(model, facts), []).append(model)
    sharing = {weights_key(other, facts): other for other in others}
    shared = sorted(other.name for other in others if weights_key(other, facts) in groups)
    freed = [group for weights, group in groups.items() if weights not in sharing]
    if not freed:
        return FreedSpace(0, tuple(shared))
    unread = _unread([model for group in freed for model in group], others, facts)
    frees_bytes = None if unread else sum(max(model.size for model in group) for group in freed)
    return FreedSpace(frees_bytes, tuple(shared), unread)


def weights_key(model: InstalledModel, facts: Mapping[str, Facts | None]) -> str:
    """Return what identifies the weights: their digest, else the model's, else its name."""
    known = facts.get(model.digest)
    return (known.weights if known else None) or model.digest or model.name


def _unread(
    models: Sequence[InstalledModel], others: Iterable[InstalledModel], facts: Mapping[str, Facts | None]
) -> tuple[str, ...]:
    """Return the names of models whose weights are unknown and may be those of the other side."""
    local = [other for other in others if not other.remote_host]
    kinds = {kind_of(model) for model in models}

    def is_unread(model: InstalledModel, *, alike: bool) -> bool:
        known = facts.get(model.digest)
        # A model in another format than GGUF names no weights: then only one of the same kind may share them.
        return known is None or (known.weights is None and alike)

    unread = [other.name for other in local if is_unread(other, alike=kind_of(other) in kinds)]
    other_kinds = {kind_of(other) for other in local}
    unread += [
        model.name
        for model in models
        if local and not model.remote_host and is_unread(model, alike=kind_of(model) in other_kinds)
    ]
    return tuple(sorted(unread))


def kind_of(model: InstalledModel) -> tuple[str, str, str]:
    """Return family, parameter size and quantization, as `/api/tags` states them."""
    return model.details.family, model.details.parameter_size, model.details.quantization_level
