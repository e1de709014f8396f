"""MCP progress of a transfer or a load that a call waits for."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from mcp_ollama.models.formatting import format_duration
from mcp_ollama.models.job import Job
from mcp_ollama.models.loading import Load
from mcp_ollama.models.transfers import Transfers

Report = Callable[[float, float | None, str], Awaitable[None]]
"""Sends progress to the client: how much, of how much, and a line for a person."""


async def wait_for_transfer(
    transfers: Transfers, job: Job, report: Report, *, seconds: float, interval: float, keepalive: float
) -> None:
    """Report on a transfer until it ends or the time is over, whichever comes first.

    Args:
        transfers: Where it stands in the queue.
        job: The transfer.
        report: Sends progress to the client.
        seconds: Longest wait.
        interval: Seconds between two reports while bytes move.
        keepalive: Seconds between two reports while none move.
    """
    # A job that need not wait for others starts now.
    await anyio.lowlevel.checkpoint()
    reporter = _TransferReporter(transfers, report, keepalive)
    with anyio.move_on_after(seconds):
        while not job.finished.is_set():
            await reporter.report(job)
            with anyio.move_on_after(interval):
                await job.finished.wait()
        await reporter.report(job)


async def wait_for_load(load: Load, report: Report, *, seconds: float, keepalive: float) -> None:
    """Report on a load until it ends or the time is over; Ollama does not say how far it is, so the time rises."""
    with anyio.move_on_after(seconds):
        while not load.finished.is_set():
            await report(load.seconds, None, f"{load.name.short} loading, {format_duration(load.seconds)}")
            with anyio.move_on_after(keepalive):
                await load.finished.wait()
    load.report_end()


class _TransferReporter:
    """Sends MCP progress that strictly rises, though Ollama's numbers may fall."""

    def __init__(self, transfers: Transfers, report: Report, keepalive: float) -> None:
        self._transfers = transfers
        self._report = report
        self._keepalive = keepalive
        self._last = -1.0
        self._last_at = 0.0

    async def report(self, job: Job) -> None:
        """Send the state of a job, if it is new or the last notification was long ago."""
        meter = job.meter
        progress, total = float(meter.completed_bytes), meter.total_bytes
        if total and job.state != "done":
            # The last byte is reported with the end, so that every report before it can still rise.
            progress = min(progress, total - 1.0)
        now = anyio.current_time()
        if progress <= self._last:
            if now - self._last_at < self._keepalive or job.finished.is_set():
                return
            progress = self._last + 0.001
        self._last, self._last_at = progress, now
        await self._report(progress, None if meter.percent is None else total, job.line(self._transfers.place(job)))
