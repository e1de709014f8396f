"""Pulls and pushes as jobs of the server: they outlive the call that started them.

One job runs at a time, since a second pull of the same blob that disconnects early can crash Ollama (ollama#17370);
the others are queued. The same holds between processes: see `persistence/turns.py`.
"""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import get_args

import anyio
from anyio.abc import TaskGroup

from mcp_ollama.models.attempts import Attempts, snapshot_of
from mcp_ollama.models.background import error_of
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.formatting import join_limited
from mcp_ollama.models.holds import Holds
from mcp_ollama.models.job import Job, Transfer
from mcp_ollama.models.persistence.journal import Snapshot
from mcp_ollama.models.persistence.turns import Turns
from mcp_ollama.models.transfer_state import Kind, cancel_call
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName

logger = logging.getLogger(__name__)

MAX_OPEN = 100
KEPT = 50
KEPT_SECONDS = 3600
SHUTDOWN_SECONDS = 1.0


async def _discard(_: Job) -> None:
    """Publish to no subscriber."""


class Transfers:
    """All transfers of this process to and from one Ollama server.

    Args:
        attempts: Performs one transfer.
        turns: Where other processes of the user are waited for.
        holds: The names that are being changed now.
        host: The name of the server in the settings, when there are several.
        kept_seconds: How long an ended transfer stays listed.
        changed: Called with each transfer that begins or ends.
    """

    def __init__(
        self,
        attempts: Attempts,
        *,
        turns: Turns | None = None,
        holds: Holds | None = None,
        host: str | None = None,
        kept_seconds: float = KEPT_SECONDS,
        changed: Callable[[Job], Awaitable[None]] | None = None,
    ) -> None:
        self._attempts = attempts
        self.journal = attempts.journal
        self._turns = turns or Turns(None)
        self._holds = holds or Holds()
        self._host = host
        self._kept_seconds = kept_seconds
        self._changed = changed or _discard
        self._jobs: list[Job] = []
        self._new: list[Job] = []
        self._interrupted: dict[Job, Snapshot] = {}
        self._recorded = anyio.Event()
        self._created = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Work on the jobs until the end of the block; then close those in progress, whose bytes Ollama keeps."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._work)
            group.start_soon(self._notify_loop, group)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut_down()
                group.cancel_scope.cancel()

    async def start(
        self,
        kind: Kind,
        name: ModelName,
        *,
        insecure: bool = False,
        total_bytes: int | None = None,
        has_bytes: bool = False,
    ) -> Job:
        """Start a transfer, or find the current one of that model; either is in the journal at the return.

        Args:
            kind: Its direction.
            name: The model.
            insecure: Speak plain http to the registry.
            total_bytes: The size of the whole, where the caller knows it.
            has_bytes: Whether an earlier process has transferred some of it.

        Raises:
            OllamaError: Too many are waiting already, or the model is being changed.
        """
        job = self.current(kind, name)
        if job is None:
            self._holds.ensure_free(name)
            job = self._add(Job(kind, name, insecure=insecure, times=self._attempts.times))
            job.has_bytes = has_bytes
            if total_bytes is not None:
                job.meter.set_total(total_bytes)
            await self._write_down(job)
        await job.written.wait()
        return job

    @property
    def base_url(self) -> str:
        """Address of the Ollama server."""
        return self._attempts.ollama.base_url

    def open_jobs(self) -> list[Job]:
        """Return the transfers that have not ended, in their order."""
        return [job for job in self._jobs if not job.finished.is_set()]

    def find(self, kind: Kind, name: ModelName) -> Job | None:
        """Find the newest transfer of a model."""
        return next((job for job in reversed(self._jobs) if job.is_for(kind, name)), None)

    def current(self, kind: Kind, name: ModelName) -> Job | None:
        """Find the transfer of a model that a call can join, which includes a failed one that was not reported yet."""
        self._forget()
        job = self.find(kind, name)
        return job if job and job.is_current else None

    def is_in_progress(self, kind: Kind, name: ModelName) -> bool:
        """Return whether a transfer of a model has not ended: a cancelled one may take 30 s, with a new one queued."""
        return any(job.is_for(kind, name) and not job.finished.is_set() for job in self._jobs)

    def is_busy(self, name: ModelName) -> bool:
        """Return whether any transfer of a model has not ended."""
        return any(self.is_in_progress(kind, name) for kind in get_args(Kind))

    def only_open(self, kind: Kind) -> ModelName | None:
        """Return the only model in transfer; None when there is none.

        Raises:
            RefusedError: There is more than one.
        """
        # By key: of a cancelled transfer that has not ended, a new one may be queued already.
        names = {job.name.key: job.name for job in self.open_jobs() if job.kind == kind}
        if len(names) > 1:
            listed = join_limited(list(map(str, names.values())))
            raise RefusedError(f"{len(names)} {kind}s are in progress.", f"Name one: {listed}.")
        return next(iter(names.values()), None)

    def ensure_idle(self, name: ModelName) -> None:
        """Refuse to delete or overwrite a model in transfer: it would come back, or vanish during an upload.

        Raises:
            RefusedError: It is being pulled or pushed.
        """
        for kind in get_args(Kind):
            if self.is_in_progress(kind, name):
                raise RefusedError(f"{name} is being {kind}ed.", f"Call {cancel_call(kind)} first, or let it end.")

    def place(self, job: Job) -> int | None:
        """Return a job's place in the queue: 1 is the next; None when it does not wait."""
        queue = [other for other in self._jobs if other.state == "queued"]
        return queue.index(job) + 1 if job in queue else None

    def snapshot(self, job: Job) -> Transfer:
        """Return how a job stands; the end of one that has ended counts as reported then."""
        job.report_end()
        return job.snapshot(self.place(job))

    def snapshots(self) -> list[Transfer]:
        """Return how all stand: first those that run or wait, in their order; then the ended ones, newest first."""
        self._forget()
        return [self.snapshot(job) for job in (*self.open_jobs(), *self._ended())]

    def _add(self, job: Job) -> Job:
        if len(self.open_jobs()) >= MAX_OPEN:
            raise OllamaError(
                f"{MAX_OPEN} transfers are waiting already.", "Wait for some to end, or stop some with cancel_pull."
            )
        # The new one takes the place of an ended one of the same model.
        self._jobs = [
            other for other in self._jobs if not (other.finished.is_set() and other.is_for(job.kind, job.name))
        ]
        self._jobs.append(job)
        self._new.append(job)
        self._created.set()
        return job

    async def _write_down(self, job: Job) -> None:
        # Shielded: other calls may wait for the record after the one that started the job was cancelled.
        with anyio.CancelScope(shield=True):
            job.record = await self.journal.begin(
                job.kind, job.name.short, server=self.base_url, host=self._host, insecure=job.insecure
            )
        job.written.set()
        self._recorded.set()

    async def _settle(self, job: Job) -> None:
        """Delete a job that has ended from the journal; of one that the end of this process interrupted, write it."""
        await job.written.wait()
        if job.record and job.state == "cancelled" and (interrupted := self._interrupted.get(job)):
            await self.journal.write(job.record, interrupted)
        elif job.record:
            record, job.record = job.record, None
            await self.journal.end(record)

    def _ended(self) -> list[Job]:
        return sorted((job for job in self._jobs if job.finished.is_set()), key=lambda job: -job.ended_at)

    def _forget(self) -> None:
        horizon = time.monotonic() - self._kept_seconds
        kept = [job for job in self._ended()[:KEPT] if job.ended_at >= horizon]
        self._jobs = [job for job in self._jobs if not job.finished.is_set() or job in kept]

    def _next(self) -> Job | None:
        return next((job for job in self._jobs if job.state == "queued" and job.record), None)

    async def _work(self) -> None:
        while True:
            self._recorded = anyio.Event()
            if self._next() is None:
                await self._recorded.wait()
            # Chosen when the turn has come: the queue may have changed in the meantime.
            async with self._turns.hold(self.base_url, self._note_turn):
                await self._perform_next()
            self._forget()

    def _note_turn(self) -> None:
        if job := self._next():
            job.status = "waiting for another process"

    async def _perform_next(self) -> None:
        if (job := self._next()) and job.record:
            bug = await error_of(self._attempts.perform(job, job.record), f"the {job.kind} of {job.name}")
            if bug:
                job.finish("failed", "internal error", bug)

    async def _notify_loop(self, group: TaskGroup) -> None:
        """Publish each transfer that begins or ends."""
        while True:
            while self._new:
                group.start_soon(self._notify, self._new.pop(0))
            self._created = anyio.Event()
            await self._created.wait()

    async def _notify(self, job: Job) -> None:
        await self._changed(job)
        await job.finished.wait()
        await self._settle(job)
        await self._changed(job)

    async def _shut_down(self) -> None:
        open_jobs = self.open_jobs()
        self._interrupted = {job: snapshot_of(job) for job in open_jobs if not job.cancelling.is_set()}
        for job in open_jobs:
            logger.warning(
                "The %s of %s stops with this server; call %s_model again to go on where it stopped.",
                *(job.kind, job.name, job.kind),
            )
            job.cancel(SHUTDOWN_SECONDS)
        # A little more, so that a job that was waited for in vain can still say so.
        with anyio.move_on_after(1.2 * SHUTDOWN_SECONDS):
            for job in open_jobs:
                await job.finished.wait()
        for job in self._ended():
            await self._settle(job)
