"""Faults on demand, as data: which, at which point, how often."""

import threading
from dataclasses import dataclass
from typing import Literal

from mcp_ollama.ollama.names import ModelName

Operation = Literal["pull", "push", "load", "show", "create", "copy", "delete"]
Point = float | Literal["manifest", "size", "verifying", "writing"]
"""A fraction of the bytes, or the line after which it happens; `size` is when a blob's size is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Failure at a point of an operation."""

    at: Point = "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Fault):
    """Error: a line in a stream that has begun, else a status.

    In its text `{digest}` and `{file}` name the current blob, of which only a fraction is kept.
    """

    text: str
    status: int = 500
    keep: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Fault):
    """Connection closed in the middle of the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Fault):
    """Unchanged lines until released, or for a number of ticks."""

    ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """No lines until released, or for a number of ticks."""

    ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWindow(Silence):
    """First pull that waits for a blob's size until released; a second pull gets lines without `total`.

    A second pull that disconnects meanwhile crashes the server (ollama/ollama#17370).
    """

    at: Point = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Fault):
    """Raw bytes, such as invalid JSON, invalid UTF-8 or a line of 20 MB."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewind(Fault):
    """`completed` that falls to a fraction of the current blob's bytes."""

    keep: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSuccess(Fault):
    """`success` without an installed model; with `empty`, a model of size 0."""

    empty: bool = False


def registry_error(status: int, body: str = "denied") -> Fail:
    """Build a refusal of the manifest by the registry: 401, 403, 412, 429 or 500."""
    return Fail(text=f"pull model manifest: {status}: {body}")


def digest_mismatch() -> Fail:
    """Build a digest mismatch: the downloaded blob is discarded."""
    text = f"digest mismatch, file must be downloaded again: want {{digest}}, got sha256:{'0' * 64}"
    return Fail(at="verifying", text=text, keep=0.0)


def no_space(at: float = 0.5) -> Fail:
    """Build a full disk; the partial file stays."""
    return Fail(at=at, text="write /models/blobs/{file}-partial: no space left on device")


class Armed:
    """Fault that is set for a model; `struck` counts its occurrences."""

    def __init__(self, fault: Fault, times: int | None) -> None:
        self.fault = fault
        self.times = times
        self.struck = 0
        self._released = threading.Event()
        self._happened = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether occurrences are left."""
        return self.times is None or self.struck < self.times

    @property
    def is_released(self) -> bool:
        """Whether a stall or silence was released."""
        return self._released.is_set()

    def release(self) -> None:
        """End a stall or silence, now and in the future."""
        self._released.set()

    def happen(self) -> None:
        """Count an occurrence and wake the waiters."""
        self.struck += 1
        self._happened.set()

    def wait(self, timeout: float = 5.0) -> None:
        """Wait in a thread until the fault has occurred.

        Raises:
            TimeoutError: It did not occur in time.
        """
        if not self._happened.wait(timeout):
            raise TimeoutError(f"{self.fault} did not happen")


class Faults:
    """All faults that are set."""

    def __init__(self) -> None:
        self._armed: list[tuple[str, Operation, Armed]] = []

    def add(self, model: str, fault: Fault, *, operation: Operation = "pull", times: int | None = None) -> Armed:
        """Set a fault for all (or the next `times`) operations on a model; `*` is any model."""
        armed = Armed(fault, times)
        self._armed.append((model if model == "*" else ModelName.parse(model).key, operation, armed))
        return armed

    def clear(self) -> None:
        """Remove and release all faults."""
        for _, _, armed in self._armed:
            armed.release()
        self._armed.clear()

    def ahead(self, name: ModelName, operation: Operation) -> list[Armed]:
        """Return the faults that an operation on a model meets."""
        wanted = (name.key, operation), ("*", operation)
        return [armed for model, what, armed in self._armed if (model, what) in wanted and armed.is_ready]
