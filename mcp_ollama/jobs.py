"""One pull or push: how it stands, when its stream has stalled, and how it is closed."""

import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Literal

import anyio
from pydantic import BaseModel

from mcp_ollama.ollama.errors import OllamaError, OllamaTimeoutError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Progress
from mcp_ollama.progress import Meter, describe, phase_of

logger = logging.getLogger(__name__)

Kind = Literal["pull", "push"]
State = Literal[
    "queued",
    "manifest",
    "downloading",
    "uploading",
    "verifying",
    "writing",
    "retrying",
    "cancelling",
    "done",
    "failed",
    "cancelled",
]


class Transfer(BaseModel):
    """How a pull or push stands."""

    kind: Kind
    model: str
    state: State
    status: str
    completed_bytes: int
    total_bytes: int | None = None
    percent: float | None = None
    bytes_per_second: int | None = None
    eta_seconds: float | None = None
    elapsed_seconds: float
    attempts: int
    queue_position: int | None = None
    error: str | None = None
    next_step: str | None = None


class Job:
    """One pull or push, from the queue to its end."""

    def __init__(self, kind: Kind, name: ModelName, *, insecure: bool, stall_seconds: float) -> None:
        self.kind: Kind = kind
        self.name = name
        self.insecure = insecure
        self.meter = Meter()
        self.state: State = "queued"
        self.status = "waiting for another transfer to end"
        self.attempts = 0
        self.error: OllamaError | None = None
        self.over = anyio.Event()
        self.cancelling = anyio.Event()
        self.patience = stall_seconds / 2
        self.best_bytes = 0
        self._stall_seconds = stall_seconds
        self._began = time.monotonic()
        self._ended_at: float | None = None
        self._deadline = math.inf
        self._stream = anyio.CancelScope()
        self._decided = anyio.Event()
        self._decided.set()

    @property
    def key(self) -> tuple[Kind, str]:
        """What two jobs for the same thing have in common."""
        return self.kind, self.name.key

    @property
    def line(self) -> str:
        """How it stands, in one line for a person."""
        return describe(self.name.short, self.state, self.meter)

    def snapshot(self, queue_position: int | None = None) -> Transfer:
        """How it stands, as data."""
        meter, moving = self.meter, self.state in ("downloading", "uploading")
        return Transfer(
            kind=self.kind,
            model=self.name.short,
            state=self.state,
            status=self.status,
            completed_bytes=meter.completed_bytes,
            total_bytes=meter.total_bytes,
            percent=meter.percent,
            bytes_per_second=meter.bytes_per_second if moving else None,
            eta_seconds=meter.eta_seconds if moving else None,
            elapsed_seconds=round((self._ended_at or time.monotonic()) - self._began, 1),
            attempts=self.attempts,
            queue_position=queue_position,
            error=self.error.problem if self.error else None,
            next_step=self.error.next_step if self.error else None,
        )

    def ended_before(self, moment: float) -> bool:
        """Tell whether it ended before a moment of the monotonic clock."""
        return self._ended_at is not None and self._ended_at < moment

    def finish(self, state: State, status: str, error: OllamaError | None = None) -> None:
        """End it, once and for all."""
        self.state, self.status, self.error = state, status, error
        self._ended_at = time.monotonic()
        self.over.set()

    def cancel(self) -> None:
        """Ask it to end; one that waits in line ends at once."""
        self.cancelling.set()
        if self.state == "queued":
            self.finish("cancelled", "cancelled before it began")
        elif not self.over.is_set():
            self.state = "cancelling"

    async def attempt(self, lines: AsyncGenerator[Progress]) -> None:
        """Read one stream to its `success`.

        Raises:
            OllamaError: It did not get there.
        """
        self.attempts += 1
        self._touch("manifest", "connecting")
        try:
            with anyio.CancelScope() as self._stream:
                async with aclosing(lines):
                    async for progress in lines:
                        self._note(progress)
                return
        finally:
            self._deadline = math.inf
            self._decided.set()
        raise OllamaTimeoutError(
            f"No new bytes of {self.name.short} came for {self._stall_seconds:g} s.",
            "Check the internet access of the machine that Ollama runs on, then call again:"
            " it goes on where it stopped.",
        )

    async def watch(self, is_alive: Callable[[], Awaitable[bool]]) -> None:
        """Close the stream when somebody cancels, or when it stalls; ends with the job."""
        while not self.over.is_set():
            with anyio.move_on_after(min(max(self._deadline - time.monotonic(), 0), self._stall_seconds / 4)):
                await self.cancelling.wait()
            if self.cancelling.is_set():
                await self._close_stream()
                await self.over.wait()
            elif time.monotonic() >= self._deadline:
                # Hashing many gigabytes says nothing for minutes: only a dead server is a stall then.
                if self.state == "verifying" and await is_alive():
                    self._deadline = time.monotonic() + self._stall_seconds
                else:
                    await self._close_stream()

    async def pause(self, seconds: float, error: OllamaError) -> None:
        """Wait before the next attempt, saying why; a cancel ends the wait."""
        if not self.cancelling.is_set():
            self.state, self.status = "retrying", error.problem
        with anyio.move_on_after(seconds):
            await self.cancelling.wait()

    async def _close_stream(self) -> None:
        # A line with a digest but no total means that Ollama still asks for the blob's size on behalf of
        # another client of the same blob. Leaving now would crash the whole server (ollama#17370).
        stream, self._deadline = self._stream, math.inf
        with anyio.move_on_after(self.patience):
            await self._decided.wait()
        if not self._decided.is_set():
            logger.warning("Closing the %s of %s before Ollama knew the size of its layer.", self.kind, self.name)
        stream.cancel()

    def _note(self, progress: Progress) -> None:
        phase = phase_of(progress)
        if not progress.digest or progress.total:
            self._decided.set()
        elif self._decided.is_set():
            self._decided = anyio.Event()
        before = self.meter.completed_bytes
        self.meter.note(progress, time.monotonic())
        moved = self.meter.completed_bytes > before
        self.best_bytes = max(self.best_bytes, self.meter.completed_bytes)
        states: dict[str, State] = {"manifest": "manifest", "verifying": "verifying", "writing": "writing"}
        state = states.get(phase, "downloading" if self.kind == "pull" else "uploading")
        if moved or state != self.state or phase != "layer":
            self._touch(state, progress.status)

    def _touch(self, state: State, status: str) -> None:
        self._deadline = time.monotonic() + self._stall_seconds
        self.status = status
        if not self.cancelling.is_set():
            self.state = state
