"""A small memory of answers, each for a limited time."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class ExpiringCache(Generic[KeyT, ValueT]):
    """The newest values, by key.

    Args:
        seconds: Lifetime of a value.
        size: Number of values; the oldest goes first.
        clock: Monotonic time in seconds.
    """

    def __init__(self, seconds: float, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._values: dict[KeyT, tuple[float, ValueT]] = {}

    def get(self, key: KeyT) -> ValueT | None:
        """Return the value of a key, None when there is none or it has expired."""
        stored_at, value = self._values.get(key, (None, None))
        return value if stored_at is not None and self._clock() - stored_at < self._seconds else None

    def put(self, key: KeyT, value: ValueT) -> None:
        """Store a value."""
        self._values.pop(key, None)
        while len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = self._clock(), value
