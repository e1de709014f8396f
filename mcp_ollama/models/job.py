"""One pull or push: how it stands, when its stream has stalled, and how it is closed."""

import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Literal

import anyio
from pydantic import BaseModel

from mcp_ollama.models.background import BackgroundTask
from mcp_ollama.models.persistence.journal import Record
from mcp_ollama.models.progress import Meter, describe
from mcp_ollama.models.transfer_state import Kind, State
from mcp_ollama.models.transfer_times import TransferTimes
from mcp_ollama.ollama.errors import OllamaConnectionError, OllamaError, OllamaTimeoutError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize, truncate
from mcp_ollama.ollama.schemas import Progress

logger = logging.getLogger(__name__)

MAX_LINE = 119
MAX_STATUS = 200

_STATES: dict[str, State] = {
    "manifest": "manifest",
    "verifying": "verifying",
    "writing": "writing",
    "done": "writing",
}
"""By the phase that a line is about; a layer's bytes go up or down."""


class Transfer(BaseModel):
    """How a pull or push stands; of another process or an ended one, as last written down, with 0 `attempts`."""

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
    owner: Literal["another process"] | None = None
    error: str | None = None
    next_step: str | None = None


class TransferList(BaseModel):
    """Transfers: those that run or wait, in order, those that ended within an hour, and those of other processes."""

    transfers: list[Transfer]
    next_step: str | None = None


class Job(BackgroundTask):
    """One pull or push, from the queue to its end.

    Args:
        kind: Its direction.
        name: The model.
        insecure: Whether the registry is spoken to in plain http.
        times: Limits of time.
    """

    def __init__(
        self, kind: Kind, name: ModelName, *, insecure: bool = False, times: TransferTimes | None = None
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.name = name
        self.insecure = insecure
        self.meter = Meter()
        self.state: State = "queued"
        self.status = "waiting for its turn"
        self.attempts = 0
        self.cancelling = anyio.Event()
        self.record: Record | None = None
        """Its record in the journal, from `written` until its end."""
        self.written = anyio.Event()
        self.max_completed_bytes = 0
        """New bytes count beyond this; after an outage it is 0, since a restart of Ollama may lose some."""
        self.has_bytes = False
        """Whether any byte has come, in this process or an earlier one."""
        self.times = times or TransferTimes()
        self._unsized_seconds = self.times.undecided
        self._last_status: str = ""
        self._deadline = self._received_at = self._asked_at = time.monotonic()
        self._loss: OllamaConnectionError | None = None
        self._size_known = _set_event()

    def is_for(self, kind: Kind, name: ModelName) -> bool:
        """Return whether the job is a transfer of this kind for this model, in any spelling."""
        return self.kind == kind and self.name.key == name.key

    def line(self, queue_position: int | None = None) -> str:
        """Return the state in one line for a person."""
        line = describe(self.name.short, self.state, self.meter)
        if queue_position is not None:
            line += f", number {queue_position} in the queue"
        elif self.state == "retrying":
            line += f": {self.status}"
        return truncate(line, MAX_LINE)

    def snapshot(self, queue_position: int | None = None) -> Transfer:
        """Return the state as data."""
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
            elapsed_seconds=round(self.elapsed_seconds, 1),
            attempts=self.attempts,
            queue_position=queue_position,
            error=self.error.problem if self.error else None,
            next_step=self.error.next_step or None if self.error else None,
        )

    @property
    def is_current(self) -> bool:
        """Whether another call can join it: it is in progress, or its failure has not been reported yet."""
        return self.has_unreported_error if self.finished.is_set() else not self.cancelling.is_set()

    def finish(self, state: State, status: str, error: OllamaError | None = None) -> None:
        """Set the final state, and wake all that wait for the end."""
        self.state, self.status = state, status
        self.end(error)

    def cancel(self, seconds: float = math.inf) -> None:
        """Request its end; a queued one ends at once.

        Args:
            seconds: Longest wait while closing its stream would crash Ollama.
        """
        self._unsized_seconds = min(self._unsized_seconds, seconds)
        self.cancelling.set()
        if self.state == "queued":
            self.finish("cancelled", "cancelled before it began")
        elif not self.finished.is_set():
            self.state, self.status = "cancelling", "waiting for Ollama to release the blob"

    async def attempt(self, lines: AsyncGenerator[Progress], is_answering: Callable[[], Awaitable[bool]]) -> None:
        """Read one stream to its `success`.

        Args:
            lines: The stream, closed at the end.
            is_answering: Asks the server whether it is still there.

        Raises:
            OllamaError: It did not get there; when it was closed because of a stall or a cancel, a timeout.
        """
        self.attempts += 1
        self._size_known, self._loss = _set_event(), None
        self._touch("manifest", "connecting")
        self._received_at = time.monotonic()
        closed = True
        problem: OllamaError | None = None
        # The watch lives as long as its stream does, so that it can never close the next one.
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope, is_answering)
            try:
                async with aclosing(lines):
                    async for progress in lines:
                        self._note(progress)
                closed = False
            except OllamaError as error:
                problem = error
            group.cancel_scope.cancel()
        if problem or closed:
            raise problem or self._loss or self._stall()

    async def pause(self, seconds: float, error: OllamaError) -> None:
        """Wait before the next attempt, with the reason as status; a cancel ends the wait."""
        self.retry(error.problem)
        with anyio.move_on_after(seconds):
            await self.cancelling.wait()

    def retry(self, status: str) -> None:
        """Set the state of a job between two attempts, unless it is being cancelled."""
        if not self.cancelling.is_set():
            self.state, self.status, self._last_status = "retrying", status, ""

    def expect_loss(self) -> None:
        """Count every byte from now on as a new one: Ollama may have lost some in a restart."""
        self.max_completed_bytes = 0

    async def _watch(self, stream: anyio.CancelScope, is_answering: Callable[[], Awaitable[bool]]) -> None:
        """Close the stream on a cancel, in a stall, or when the server has gone without closing the connection."""
        while not self._must_close():
            with anyio.move_on_after(self._next_look() - time.monotonic()):
                await self.cancelling.wait()
            if self._is_quiet() and await self._is_lost(is_answering):
                break
            # Hashing many gigabytes sends no line for minutes: only a dead server is a stall then.
            if self._must_close() and self.state == "verifying" and await is_answering():
                self._deadline = time.monotonic() + self.times.stall
            if self._must_close():
                await self._wait_for_size()
        stream.cancel()

    def _next_look(self) -> float:
        if self.state == "verifying":
            return self._deadline
        return min(self._deadline, max(self._received_at, self._asked_at) + self.times.quiet)

    def _is_quiet(self) -> bool:
        # Ollama sends a line every 60 ms, except while it waits for the registry or hashes.
        return not self._must_close() and self.state != "verifying" and time.monotonic() >= self._next_look()

    async def _is_lost(self, is_answering: Callable[[], Awaitable[bool]]) -> bool:
        received_at = self._received_at
        is_there = await is_answering()
        self._asked_at = time.monotonic()
        if is_there or self._received_at != received_at:
            return False
        self._loss = OllamaConnectionError(
            f"The server no longer answers, {self.times.quiet:g} s after the last line about {self.name}.",
            "Check that Ollama still runs there, then call again.",
        )
        return True

    def _must_close(self) -> bool:
        return self.cancelling.is_set() or time.monotonic() >= self._deadline

    async def _wait_for_size(self) -> None:
        # A line with a digest but no total means that Ollama still asks for the blob's size on behalf of
        # another client of the same blob. Leaving now would crash the whole server (ollama#17370).
        with anyio.move_on_after(self._unsized_seconds):
            await self._size_known.wait()
        if not self._size_known.is_set():
            logger.warning("Closing the %s of %s before Ollama knew the size of its layer.", self.kind, self.name)

    def _stall(self) -> OllamaTimeoutError:
        what = "No new bytes" if self.has_bytes else "Nothing"
        return OllamaTimeoutError(
            f"{what} of {self.name} came for {self.times.stall:g} s.",
            "Check the internet access of the machine of the Ollama server, then call again:"
            " what was transferred is kept.",
        )

    def _note(self, progress: Progress) -> None:
        self._received_at = time.monotonic()
        if progress.total or not progress.digest:
            self._size_known.set()
        elif self._size_known.is_set():
            self._size_known = anyio.Event()
        before = self.meter.completed_bytes
        phase = self.meter.update(progress, self._received_at)
        now = self.meter.completed_bytes
        if now > before:
            # Bytes that were there before are not progress.
            self.has_bytes = True
            self.max_completed_bytes = max(self.max_completed_bytes, now)
        state = _STATES.get(phase, "downloading" if self.kind == "pull" else "uploading")
        if self.kind == "push" and 0 < progress.total <= progress.completed:
            # The registry makes a blob of the parts, which takes it a while.
            state = "verifying"
        # In a stall the lines of a layer go on, unchanged.
        if now > before or state != self.state or phase != "layer":
            self._touch(state, progress.status)

    def _touch(self, state: State, status: str) -> None:
        self._deadline = time.monotonic() + self.times.stall
        if self.cancelling.is_set():
            return
        self.state = state
        if status != self._last_status:
            self._last_status, self.status = status, sanitize(status, MAX_STATUS)


def _set_event() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event
