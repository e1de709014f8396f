"""Measurements in turn, so that a machine that slows down slows all of them."""

from collections.abc import Callable, Mapping, Sequence


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return sorted(values)[len(values) // 2]


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the middle of the ratios of neighbours, since the speed of a machine may double within minutes."""
    return median([one / other for one, other in zip(ones, others, strict=True)])


def take_turns(rounds: int, works: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure each in turn, and return what each took."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return taken
