"""The attempts of one transfer: one after another until it is done, has failed or is cancelled.

An attempt follows after a stall, a lost connection or a restart of Ollama. While nothing answers at all, the server
is asked every 2 s, and the next attempt follows its answer at once.
"""

import logging
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio

from mcp_ollama.models.blobs import present_blobs
from mcp_ollama.models.job import Job
from mcp_ollama.models.lookup import find_case_variant, find_model
from mcp_ollama.models.outage import POLL_SECONDS, is_answering, wait_for_server
from mcp_ollama.models.persistence.journal import Journal, Record, Snapshot
from mcp_ollama.models.transfer_times import TransferTimes
from mcp_ollama.ollama.balancer import MISSING_PULL, NAME_EACH
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.error_messages import unreachable
from mcp_ollama.ollama.errors import (
    NotInRegistryError,
    OllamaConnectionError,
    OllamaError,
    OllamaStreamError,
    RegistryAccessError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Progress
from mcp_ollama.sources.registry import Registry

logger = logging.getLogger(__name__)

MAX_WITHOUT_PROGRESS = 5
"""Attempts without a single new byte, after which a job gives up."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Performs transfers of one Ollama server.

    Args:
        ollama: The server.
        registry: Where the size of a model is asked.
        journal: Where the state of a transfer is written down.
        times: Limits of time.
    """

    ollama: OllamaClient
    registry: Registry
    journal: Journal = field(default_factory=lambda: Journal(None))
    times: TransferTimes = field(default_factory=TransferTimes)

    async def perform(self, job: Job, record: Record) -> None:
        """Transfer a model, and end its job.

        Args:
            job: The transfer.
            record: Its record in the journal.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self.journal.follow, record, lambda: snapshot_of(job))
            if job.kind == "pull" and not job.name.is_cloud:
                group.start_soon(self._fetch_expected_size, job)
            await self._attempt_until_end(job)
            group.cancel_scope.cancel()

    async def _attempt_until_end(self, job: Job) -> None:
        without_progress = 0
        while not job.cancelling.is_set():
            before = job.max_completed_bytes
            try:
                await job.attempt(self._open(job), self._is_answering)
                await self._verify(job)
                return job.finish("done", "success")
            except OllamaError as error:
                without_progress = 1 if job.max_completed_bytes > before else without_progress + 1
                if job.cancelling.is_set():
                    break
                is_last = not error.retryable or without_progress >= MAX_WITHOUT_PROGRESS
                if end := error if is_last else await self._wait(job, without_progress, error):
                    return job.finish("failed", "failed", await self._with_diagnosis(job, end))
        return job.finish("cancelled", "cancelled; what was transferred is kept")

    async def _is_answering(self) -> bool:
        return await is_answering(self.ollama, self.times.quiet)

    async def _wait(self, job: Job, without_progress: int, error: OllamaError) -> OllamaError | None:
        """Wait before the next attempt; return the error that ends the job when the server stays away for too long."""
        if isinstance(error, OllamaConnectionError) and not await is_answering(self.ollama, POLL_SECONDS):
            return await self._outlast(job, error)
        logger.info("The %s of %s is attempted again: %s", job.kind, job.name, error.problem)
        # Jitter, so that two clients do not come back at the same moment each time.
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret depends on it
        await job.pause(self.pause_before(job, without_progress) * jitter, error)
        return None

    async def _outlast(self, job: Job, error: OllamaError) -> OllamaError | None:
        """Wait until the server answers again or the job is cancelled; return an error after the limit of an outage.

        That of the connection is the more exact one, unless the server has worked before.

        The next attempt follows at once, and counts as any other: a pull that crashes Ollama each time has to end.
        """
        since = datetime.now(UTC)
        logger.warning("The %s of %s waits: %s does not answer.", job.kind, job.name, self.ollama.base_url)
        job.retry(f"no answer since {since:%H:%M:%S} UTC")
        limit = self.times.outage if job.has_bytes else self.times.untouched_outage
        is_back = True
        async with anyio.create_task_group() as group:

            async def leave_on_cancel() -> None:
                await job.cancelling.wait()
                group.cancel_scope.cancel()

            group.start_soon(leave_on_cancel)
            is_back = await wait_for_server(
                lambda: is_answering(self.ollama, POLL_SECONDS), limit, poll_seconds=self.times.outage_poll
            )
            group.cancel_scope.cancel()
        job.expect_loss()
        if is_back:
            return None
        return unreachable(self.ollama.base_url, since=since) if job.has_bytes else error

    def pause_before(self, job: Job, without_progress: int) -> float:
        """Return the seconds before the next attempt, after a number of attempts without new bytes.

        An attempt without any byte is soon an error of the address; one that had bytes waits longer.
        """
        return self.times.retry * (5 if job.has_bytes else 2) ** (without_progress - 1)

    def _open(self, job: Job) -> AsyncGenerator[Progress]:
        start = self.ollama.pull_model if job.kind == "pull" else self.ollama.push_model
        return start(job.name, insecure=job.insecure)

    async def _with_diagnosis(self, job: Job, error: OllamaError) -> OllamaError:
        """Return an error with what the server cannot know: the name for a push, or a spelling that blocks a pull."""
        if job.kind == "push" and isinstance(error, RegistryAccessError):
            return RegistryAccessError(
                f"The registry does not let this server put {job.name} there.",
                "A model goes under an account of your own: copy_model to youraccount/name, then push that. The key of "
                "the server must belong to the account: run `ollama signin` on it.",
            )
        if not isinstance(error, NotInRegistryError):
            return error
        if job.name.is_cloud:
            return await self._with_cloud_diagnosis(job, error)
        try:
            await self.registry.get_manifest(job.name, insecure=job.insecure)
            other = find_case_variant(job.name, await self.ollama.list_models())
        except OllamaError:
            return error
        if other is None:
            return error
        return NotInRegistryError(
            f"Ollama did not find {job.name}, since it asks for it in the case of {other.name}, which is installed.",
            "Give that one another name (copy_model, then delete_model), and call again.",
        )

    async def _with_cloud_diagnosis(self, job: Job, error: OllamaError) -> OllamaError:
        # Newer cloud models have no manifest: `/api/show` and chats know them by name.
        try:
            await self.ollama.get_model_info(job.name)
        except OllamaError:
            return error
        return NotInRegistryError(f"{job.name} runs in the cloud and needs no pull.", "Use it under this name.")

    async def _verify(self, job: Job) -> None:
        """Check that a pulled model is installed: a captive portal can fake a manifest."""
        if job.kind == "push":
            return
        found = find_model(job.name, await self.ollama.list_models())
        if found is None:
            self.ollama.note_balancer(MISSING_PULL)
        if found is None or not found.size:
            raise OllamaStreamError(
                f"Ollama says that it pulled {job.name}, but the model is {'empty' if found else 'not there'}.",
                "Something between the server and the registry gives false answers (a log-in page, a proxy):"
                " check the server's internet access, delete the empty model and call again."
                if found
                else "Something between the server and the registry gives false answers (a log-in page, a proxy), or"
                f" several servers answer at this address. {NAME_EACH}",
            )
        # As the server spells it from now on.
        job.name = ModelName.parse(found.name)
        job.meter.finalize(found.size)

    async def _fetch_expected_size(self, job: Job) -> None:
        """Set the size of the download, if the registry answers in time; nothing waits for it."""
        try:
            manifest = await self.registry.get_manifest(job.name, insecure=job.insecure)
            present = await present_blobs(self.ollama, manifest) or ()
            # The answer may come together with the cancellation; a job that has ended stays as it is.
            if not job.finished.is_set():
                job.meter.set_manifest(manifest, present)
        except OllamaError as error:
            logger.info("The size of %s is unknown: %s", job.name, error.problem)
        except Exception:
            # A bug here must not end the transfer.
            logger.exception("Asking for the size of %s ended in a bug", job.name)


def snapshot_of(job: Job) -> Snapshot:
    """Return how a job stands, for the journal."""
    meter = job.meter
    error = job.status if job.state == "retrying" else None
    return Snapshot(job.state, meter.completed_bytes, meter.total_bytes, error)
