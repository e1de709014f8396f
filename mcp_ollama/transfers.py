"""Pulls and pushes as jobs of the server: they outlive the call that started them.

One job runs at a time, since Ollama can be crashed by a second pull of the same blob that is cut off
early (ollama#17370); the others wait in line. A job reconnects after a stall, a lost connection or a
restart of Ollama, which goes on at the byte where it stopped.
"""

import logging
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from mcp_ollama.inventory import find_model
from mcp_ollama.jobs import Job, Kind, Transfer
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError, OllamaStreamError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.registry import Registry
from mcp_ollama.ollama.schemas import Progress

logger = logging.getLogger(__name__)

MAX_FRUITLESS = 5
"""Attempts without a single new byte, after which a job gives up."""
MAX_WAITING = 100
KEPT = 50
KEPT_SECONDS = 3600
SHUTDOWN_SECONDS = 1.0
_MAX_PRESENCE_CHECKS = 64


class Transfers:
    """All transfers of this process to and from one Ollama server.

    Args:
        ollama: The server.
        registry: Where the size of a model is asked.
        stall_seconds: No new bytes for so long is a stall. The pauses between attempts grow from a
            sixtieth of it.
    """

    def __init__(self, ollama: OllamaClient, registry: Registry, *, stall_seconds: float = 60) -> None:
        self._ollama = ollama
        self._registry = registry
        self._stall_seconds = stall_seconds
        self._jobs: dict[tuple[Kind, str], Job] = {}
        self._waiting = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Work on the jobs until the end of the block; then close what still runs, which Ollama keeps."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._work)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut_down()
                group.cancel_scope.cancel()

    def start(self, kind: Kind, name: ModelName, *, insecure: bool = False) -> Job:
        """Start a transfer, or find the one under way for that model.

        Raises:
            OllamaError: Too many are waiting already.
        """
        self._forget()
        job = self._jobs.get((kind, name.key))
        if job is not None and not job.over.is_set():
            return job
        if sum(not job.over.is_set() for job in self._jobs.values()) >= MAX_WAITING:
            raise OllamaError(
                f"{MAX_WAITING} transfers are waiting already.", "Wait for some to end, or stop some with cancel_pull."
            )
        self._jobs.pop((kind, name.key), None)
        job = self._jobs[kind, name.key] = Job(kind, name, insecure=insecure, stall_seconds=self._stall_seconds)
        self._waiting.set()
        return job

    def find(self, kind: Kind, name: ModelName) -> Job | None:
        """Find the running or newest ended transfer of a model."""
        return self._jobs.get((kind, name.key))

    def snapshot(self, job: Job) -> Transfer:
        """How a job stands, with its place in the line: 1 is the next."""
        line = [other for other in self._jobs.values() if other.state == "queued"]
        return job.snapshot(line.index(job) + 1 if job in line else None)

    def snapshots(self) -> list[Transfer]:
        """How all stand: those that run or wait in their order, and those that ended within an hour."""
        self._forget()
        return [self.snapshot(job) for job in self._jobs.values()]

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.over.is_set()]
        horizon = time.monotonic() - KEPT_SECONDS
        for job in [*ended[:-KEPT], *(job for job in ended[-KEPT:] if job.ended_before(horizon))]:
            del self._jobs[job.key]

    async def _work(self) -> None:
        while True:
            self._waiting = anyio.Event()
            job = next((job for job in self._jobs.values() if job.state == "queued"), None)
            if job is None:
                await self._waiting.wait()
            else:
                await self._perform(job)

    async def _perform(self, job: Job) -> None:
        job.state = "manifest"
        async with anyio.create_task_group() as group:
            group.start_soon(job.watch, self._ollama.is_running)
            group.start_soon(self._foresee, job)
            try:
                await self._try_until_it_ends(job)
            except Exception:
                logger.exception("The %s of %s ended in a bug", job.kind, job.name)
                problem = OllamaError("An internal error ended this transfer.", "The log of this server says more.")
                job.finish("failed", "internal error", problem)
            group.cancel_scope.cancel()

    async def _try_until_it_ends(self, job: Job) -> None:
        fruitless = 0
        while not job.cancelling.is_set():
            before = job.best_bytes
            try:
                await job.attempt(self._open(job))
                await self._verify(job)
                return job.finish("done", "success")
            except OllamaError as error:
                fruitless = 1 if job.best_bytes > before else fruitless + 1
                if not job.cancelling.is_set() and (not error.retryable or fruitless >= MAX_FRUITLESS):
                    return job.finish("failed", "failed", error)
                logger.info("The %s of %s is tried again: %s", job.kind, job.name, error.problem)
                # Jitter, so that two clients do not come back at the same moment for ever.
                seconds = self._stall_seconds / 60 * 2 ** (fruitless - 1) * random.uniform(0.75, 1.25)  # noqa: S311
                await job.pause(seconds, error)
        return job.finish("cancelled", "cancelled; what was transferred is kept")

    def _open(self, job: Job) -> AsyncGenerator[Progress]:
        start = self._ollama.pull_model if job.kind == "pull" else self._ollama.push_model
        return start(job.name.short, insecure=job.insecure)

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

    async def _foresee(self, job: Job) -> None:
        """Learn how much there is to do, if anybody says so in time; nothing waits for it."""
        try:
            if job.kind == "push":
                if found := find_model(job.name, await self._ollama.list_models()):
                    job.meter.expect(found.size)
                return
            if job.name.is_cloud:
                return
            manifest = await self._registry.get_manifest(job.name, insecure=job.insecure)
            present: set[str] = set()
            if len(manifest.blobs) <= _MAX_PRESENCE_CHECKS:
                present = {digest for digest in manifest.blobs if await self._ollama.has_blob(digest)}
            job.meter.plan(manifest, present)
        except OllamaError as error:
            logger.info("The size of %s is not known beforehand: %s", job.name, error.problem)

    async def _shut_down(self) -> None:
        open_jobs = [job for job in self._jobs.values() if not job.over.is_set()]
        for job in open_jobs:
            logger.warning("The %s of %s stops here; call again to go on where it stopped.", job.kind, job.name)
            job.patience = SHUTDOWN_SECONDS
            job.cancel()
        with anyio.move_on_after(SHUTDOWN_SECONDS * 1.5):
            for job in open_jobs:
                await job.over.wait()
