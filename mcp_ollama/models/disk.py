"""What deleting models frees on the disk; without I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcp_ollama.models.facts import Facts
from mcp_ollama.ollama.schemas import InstalledModel


@dataclass(frozen=True, slots=True)
class FreedSpace:
    """What deleting a model frees.

    Args:
        frees_bytes: Bytes of disk; None when it is unknown whether another model shares them.
        shared_with: Names that keep the same weights on disk.
        unread: Names whose weights could not be read, when that leaves `frees_bytes` unknown.
    """

    frees_bytes: int | None
    shared_with: tuple[str, ...]
    unread: tuple[str, ...] = ()


def sharing_candidates(model: InstalledModel, others: Iterable[InstalledModel]) -> list[InstalledModel]:
    """List the other models that may have the same weights: same digest, or same family, size, quantization.

    A cloud model has no weights to share.
    """

    def kind(one: InstalledModel) -> tuple[str, str, str]:
        return one.details.family, one.details.parameter_size, one.details.quantization_level

    def has_weights_alike(other: InstalledModel) -> bool:
        return not model.remote_host and not other.remote_host and kind(other) == kind(model)

    return [other for other in others if _same_digest(other, model) or has_weights_alike(other)]


def freed_space(
    model: InstalledModel, others: Sequence[InstalledModel], facts: Mapping[str, Facts | None]
) -> FreedSpace:
    """Compute what deleting `model` frees.

    Args:
        model: The model to delete.
        others: The result of `sharing_candidates`.
        facts: By digest, what `/api/show` said of it and of the others; None where it could not be read.
    """

    def weights_of(one: InstalledModel) -> str | None:
        known = facts.get(one.digest)
        return known.weights if known else None

    own = weights_of(model)
    shared = [other.name for other in others if _same_digest(other, model) or (own and weights_of(other) == own)]
    if shared:
        return FreedSpace(0, tuple(sorted(shared)))
    unread = [one.name for one in (model, *others) if others and not weights_of(one)]
    return FreedSpace(None if unread else model.size, (), tuple(sorted(unread)))


def _same_digest(one: InstalledModel, other: InstalledModel) -> bool:
    return one.digest == other.digest != ""
