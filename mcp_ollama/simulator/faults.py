"""What can go wrong on demand, as data: which fault, at which point, how often."""

import threading
from dataclasses import dataclass
from typing import Literal

from mcp_ollama.ollama.names import ModelName

Operation = Literal["pull", "push", "load", "show", "create", "copy", "delete"]
Point = float | Literal["manifest", "size", "verifying", "writing"]
"""A fraction of the bytes, or the line after which it happens; `size` is when a blob's size is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong at a point of an operation."""

    at: Point = "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Fault):
    """An error: a line in a stream that has begun, else a status.

    In its text `{digest}` and `{file}` name the current blob, of which only a fraction is kept.
    """

    text: str
    status: int = 500
    keep: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Fault):
    """The connection is cut, without an end of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Fault):
    """Lines go on unchanged until released, or for some ticks."""

    ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """Nothing comes until released, or for some ticks."""

    ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWindow(Silence):
    """The first pull waits for the size of a blob until released; a second one gets lines without `total`.

    A second one that leaves in that time kills the server, as it does the real one.
    """

    at: Point = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Fault):
    """Raw bytes are sent: a line that is no JSON, invalid UTF-8, a line of 20 MB."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewind(Fault):
    """`completed` goes back to a fraction of what the current blob had."""

    keep: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSuccess(Fault):
    """`success` comes, but nothing is installed; with `empty` a model of size 0 is."""

    empty: bool = False


def registry_error(status: int, body: str = "denied") -> Fail:
    """The registry refuses the manifest, as it does with 401, 403, 412, 429 or 500."""
    return Fail(text=f"pull model manifest: {status}: {body}")


def digest_mismatch() -> Fail:
    """What was downloaded is not what was asked for; it is thrown away."""
    text = f"digest mismatch, file must be downloaded again: want {{digest}}, got sha256:{'0' * 64}"
    return Fail(at="verifying", text=text, keep=0.0)


def no_space(at: float = 0.5) -> Fail:
    """The disk is full; the partial file stays."""
    return Fail(at=at, text="write /models/blobs/{file}-partial: no space left on device")


class Armed:
    """A fault that waits for its model; `struck` counts how often it happened."""

    def __init__(self, fault: Fault, times: int | None) -> None:
        self.fault = fault
        self.times = times
        self.struck = 0
        self._released = threading.Event()
        self._happened = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether it has not happened often enough yet."""
        return self.times is None or self.struck < self.times

    @property
    def is_released(self) -> bool:
        """Whether a stall or silence is over."""
        return self._released.is_set()

    def release(self) -> None:
        """Let a stall or silence end, for now and for good."""
        self._released.set()

    def happen(self) -> None:
        """Note that it happens now."""
        self.struck += 1
        self._happened.set()

    def wait(self, timeout: float = 5.0) -> None:
        """Wait in a thread until the fault has struck.

        Raises:
            TimeoutError: It did not.
        """
        if not self._happened.wait(timeout):
            raise TimeoutError(f"{self.fault} did not happen")


class Faults:
    """All faults that wait for their model."""

    def __init__(self) -> None:
        self._armed: list[tuple[str, Operation, Armed]] = []

    def add(self, model: str, fault: Fault, *, operation: Operation = "pull", times: int | None = None) -> Armed:
        """Let a fault happen to each (or the next `times`) operations on a model; `*` is any model."""
        armed = Armed(fault, times)
        self._armed.append((model if model == "*" else ModelName.parse(model).key, operation, armed))
        return armed

    def clear(self) -> None:
        """Forget and release all faults."""
        for _, _, armed in self._armed:
            armed.release()
        self._armed.clear()

    def ahead(self, name: ModelName, operation: Operation) -> list[Armed]:
        """The faults that an operation on a model will meet."""
        wanted = (name.key, operation), ("*", operation)
        return [armed for model, what, armed in self._armed if (model, what) in wanted and armed.is_ready]
