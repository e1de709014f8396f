"""Pulls and pushes as jobs of the server: they outlive the call that started them.

One job runs at a time, since Ollama can be crashed by a second pull of the same blob that is cut off
early (ollama#17370); the others wait in line. A job reconnects after a stall, a lost connection or a
restart of Ollama, which goes on at the byte where it stopped.
"""

import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import get_args

import anyio
from anyio.abc import TaskGroup

from mcp_ollama.models.background import error_of
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.formatting import join_limited
from mcp_ollama.models.job import Job, Kind, Transfer, TransferList
from mcp_ollama.models.lookup import find_case_variant, find_model
from mcp_ollama.models.pages import fit_rows
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import NotInRegistryError, OllamaError, OllamaStreamError, RegistryAccessError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Progress
from mcp_ollama.sources.registry import Registry, present_blobs

logger = logging.getLogger(__name__)

MAX_FRUITLESS = 5
"""Attempts without a single new byte, after which a job gives up."""
MAX_OPEN = 100
KEPT = 50
KEPT_SECONDS = 3600
SHUTDOWN_SECONDS = 1.0


async def _nobody(_: Job) -> None:
    """Tell nobody."""


class Transfers:
    """All transfers of this process to and from one Ollama server.

    Args:
        ollama: The server.
        registry: Where the size of a model is asked.
        stall_seconds: No new bytes for so long is a stall.
        retry_seconds: The pause before the second attempt, from which the further ones grow.
        kept_seconds: How long an ended transfer stays listed.
        changed: Is told of each transfer that begins or ends.
    """

    def __init__(
        self,
        ollama: OllamaClient,
        registry: Registry,
        *,
        stall_seconds: float = 60,
        retry_seconds: float = 1,
        kept_seconds: float = KEPT_SECONDS,
        changed: Callable[[Job], Awaitable[None]] | None = None,
    ) -> None:
        self._ollama = ollama
        self._registry = registry
        self._stall_seconds = stall_seconds
        self._retry_seconds = retry_seconds
        self._kept_seconds = kept_seconds
        self._changed = changed or _nobody
        self._jobs: list[Job] = []
        self._new: list[Job] = []
        self._added = anyio.Event()
        self._came = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Work on the jobs until the end of the block; then close what still runs, which Ollama keeps."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._work)
            group.start_soon(self._notify_loop, group)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut_down()
                group.cancel_scope.cancel()

    def start(self, kind: Kind, name: ModelName, *, insecure: bool = False, total_bytes: int | None = None) -> Job:
        """Start a transfer, or find the current one of that model.

        Args:
            kind: Its direction.
            name: The model.
            insecure: Speak plain http to the registry.
            total_bytes: What there is to do, where the caller knows it.

        Raises:
            OllamaError: Too many are waiting already.
        """
        if job := self.current(kind, name):
            return job
        if sum(not other.finished.is_set() for other in self._jobs) >= MAX_OPEN:
            raise OllamaError(
                f"{MAX_OPEN} transfers are waiting already.", "Wait for some to end, or stop some with cancel_pull."
            )
        # The new one tells how the model stands now.
        self._jobs = [other for other in self._jobs if not (other.finished.is_set() and other.is_for(kind, name))]
        job = Job(kind, name, insecure=insecure, stall_seconds=self._stall_seconds)
        if total_bytes is not None:
            job.meter.set_total(total_bytes)
        self._jobs.append(job)
        self._new.append(job)
        self._added.set()
        self._came.set()
        return job

    def find(self, kind: Kind, name: ModelName) -> Job | None:
        """Find the newest transfer of a model."""
        return next((job for job in reversed(self._jobs) if job.is_for(kind, name)), None)

    def current(self, kind: Kind, name: ModelName) -> Job | None:
        """Find the transfer of a model that a call can wait for; one that failed untold is given until it is told."""
        self._forget()
        job = self.find(kind, name)
        return job if job and job.is_current else None

    def is_under_way(self, kind: Kind, name: ModelName) -> bool:
        """Return whether a transfer of a model has not ended: a cancelled one may take 30 s, with a new one queued."""
        return any(job.is_for(kind, name) and not job.finished.is_set() for job in self._jobs)

    def is_busy(self, name: ModelName) -> bool:
        """Return whether any transfer of a model has not ended."""
        return any(self.is_under_way(kind, name) for kind in get_args(Kind))

    def only_open(self, kind: Kind) -> ModelName:
        """Return the model of the only open transfer of a kind.

        Raises:
            RefusedError: There is none, or more than one.
        """
        names = [job.name for job in self._jobs if job.kind == kind and not job.finished.is_set()]
        if len(names) == 1:
            return names[0]
        if not names:
            raise RefusedError(f"No {kind} is in progress.", "See list_pulls.")
        raise RefusedError(
            f"{len(names)} {kind}s are in progress.", f"Name one: {join_limited(list(map(str, names)))}."
        )

    def ensure_idle(self, name: ModelName) -> None:
        """Refuse to delete or overwrite a model in transfer: it would come back, or vanish during an upload.

        Raises:
            RefusedError: It is being pulled or pushed.
        """
        for kind in get_args(Kind):
            if self.is_under_way(kind, name):
                which = "" if kind == "pull" else f" (kind {kind})"
                raise RefusedError(
                    f"{name} is being {kind}ed.", f"Stop that with cancel_pull{which} first, or let it end."
                )

    def place(self, job: Job) -> int | None:
        """Give a job's place in the line: 1 is the next; None when it does not wait."""
        line = [other for other in self._jobs if other.state == "queued"]
        return line.index(job) + 1 if job in line else None

    def snapshot(self, job: Job) -> Transfer:
        """Tell how a job stands; of one that has ended, that has been told then."""
        job.report_end()
        return job.snapshot(self.place(job))

    def snapshots(self) -> list[Transfer]:
        """Tell how all stand: first those that run or wait, in their order; then the ended ones, newest first."""
        self._forget()
        open_jobs = [job for job in self._jobs if not job.finished.is_set()]
        return [self.snapshot(job) for job in (*open_jobs, *self._ended())]

    def listed(self) -> TransferList:
        """Return the transfers that fit into an answer, and how many are left out."""
        rows = self.snapshots()
        shown = fit_rows(rows)
        left = len(rows) - len(shown)
        return TransferList(transfers=shown, next_step=f"{left} more are left out here." if left else None)

    def _ended(self) -> list[Job]:
        return sorted((job for job in self._jobs if job.finished.is_set()), key=lambda job: -job.ended_at)

    def _forget(self) -> None:
        horizon = time.monotonic() - self._kept_seconds
        kept = [job for job in self._ended()[:KEPT] if job.ended_at >= horizon]
        self._jobs = [job for job in self._jobs if not job.finished.is_set() or job in kept]

    async def _work(self) -> None:
        while True:
            self._added = anyio.Event()
            job = next((job for job in self._jobs if job.state == "queued"), None)
            if job is None:
                await self._added.wait()
            else:
                await self._perform(job)
                self._forget()

    async def _perform(self, job: Job) -> None:
        if bug := await error_of(self._transfer(job), f"the {job.kind} of {job.name}"):
            job.finish("failed", "internal error", bug)

    async def _transfer(self, job: Job) -> None:
        async with anyio.create_task_group() as group:
            if job.kind == "pull" and not job.name.is_cloud:
                group.start_soon(self._fetch_expected_size, job)
            await self._try_until_it_ends(job)
            group.cancel_scope.cancel()

    async def _try_until_it_ends(self, job: Job) -> None:
        attempts_without_progress = 0
        while not job.cancelling.is_set():
            before = job.max_completed_bytes
            try:
                await job.attempt(self._open(job), self._ollama.is_running)
                await self._verify(job)
                return job.finish("done", "success")
            except OllamaError as error:
                attempts_without_progress = 1 if job.max_completed_bytes > before else attempts_without_progress + 1
                if job.cancelling.is_set():
                    break
                if not error.retryable or attempts_without_progress >= MAX_FRUITLESS:
                    return job.finish("failed", "failed", await self._with_diagnosis(job, error))
                await self._pause(job, attempts_without_progress, error)
        return job.finish("cancelled", "cancelled; what was transferred is kept")

    async def _with_diagnosis(self, job: Job, error: OllamaError) -> OllamaError:
        """Say what the server cannot know: how a push should be named, or whose spelling is in the way of a pull."""
        if job.kind == "push" and isinstance(error, RegistryAccessError):
            return RegistryAccessError(
                f"The registry does not let this server put {job.name} there.",
                "A model goes under an account of your own: copy_model to youraccount/name, then push that. The key of "
                "the server must belong to the account: run `ollama signin` on it.",
            )
        if not isinstance(error, NotInRegistryError):
            return error
        try:
            await self._registry.get_manifest(job.name, insecure=job.insecure)
            other = find_case_variant(job.name, await self._ollama.list_models())
        except OllamaError:
            return error
        if other is None:
            return error
        return NotInRegistryError(
            f"Ollama did not find {job.name}, since it asks for it in the letter case of {other.name}, "
            "which is installed.",
            "Give that one another name (copy_model, then delete_model), and call again.",
        )

    async def _pause(self, job: Job, attempts_without_progress: int, error: OllamaError) -> None:
        logger.info("The %s of %s is tried again: %s", job.kind, job.name, error.problem)
        # Jitter, so that two clients do not come back at the same moment for ever.
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - nothing is kept secret with it
        await job.pause(self.pause_before(job, attempts_without_progress) * jitter, error)

    def pause_before(self, job: Job, attempts_without_progress: int) -> float:
        """Give the seconds before the next attempt, after so many that brought nothing.

        A wrong address is told soon; what was under way waits while Ollama is updated or its machine restarts.
        """
        return self._retry_seconds * (5 if job.max_completed_bytes else 2) ** (attempts_without_progress - 1)

    def _open(self, job: Job) -> AsyncGenerator[Progress]:
        start = self._ollama.pull_model if job.kind == "pull" else self._ollama.push_model
        return start(job.name, insecure=job.insecure)

    async def _notify_loop(self, group: TaskGroup) -> None:
        """Have it told of each transfer that begins or ends."""
        while True:
            while self._new:
                group.start_soon(self._tell, self._new.pop(0))
            self._came = anyio.Event()
            await self._came.wait()

    async def _tell(self, job: Job) -> None:
        await self._changed(job)
        await job.finished.wait()
        await self._changed(job)

    async def _verify(self, job: Job) -> None:
        """Believe in a pull only when the model is there: a captive portal can fake a manifest."""
        if job.kind == "push":
            return
        found = find_model(job.name, await self._ollama.list_models())
        if found is None or not found.size:
            raise OllamaStreamError(
                f"Ollama says that it pulled {job.name}, but the model is {'empty' if found else 'not there'}.",
                "Something between the server and the registry gives false answers (a log-in page, a proxy):"
                " check the server's internet access, delete the empty model and call again.",
            )
        # As the server spells it from now on.
        job.name = ModelName.parse(found.name)
        job.meter.finalize(found.size)

    async def _fetch_expected_size(self, job: Job) -> None:
        """Learn how much there is to download, if the registry says so in time; nothing waits for it."""
        try:
            manifest = await self._registry.get_manifest(job.name, insecure=job.insecure)
            present = await present_blobs(self._ollama, manifest) or ()
            # An answer that comes with the cancellation is heard all the same, and what has ended stays as it is.
            if not job.finished.is_set():
                job.meter.set_manifest(manifest, present)
        except OllamaError as error:
            logger.info("The size of %s is not known beforehand: %s", job.name, error.problem)
        except Exception:
            # A bug here is no reason to give up the transfer itself.
            logger.exception("Asking for the size of %s ended in a bug", job.name)

    async def _shut_down(self) -> None:
        open_jobs = [job for job in self._jobs if not job.finished.is_set()]
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
