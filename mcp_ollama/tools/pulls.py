"""Downloads: start, wait for, list and cancel pulls."""

from typing import Annotated

import anyio
from pydantic import BaseModel, Field

from mcp_ollama.context import App, Call, FailedError, RefusedError, app_of
from mcp_ollama.jobs import Job, Kind, Transfer
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.settings import REGISTRIES
from mcp_ollama.tools.spec import ToolSpec

REPORT_SECONDS = 0.25
"""Hosts get at most four progress notifications a second …"""
HEARTBEAT_SECONDS = 5.0
"""… and one now and then while no bytes move, since some give up on a call that reports nothing."""
CANCEL_SECONDS = 35.0

Model = Annotated[str, Field(description="Model to pull, such as llama3.2:3b or hf.co/user/repo:Q4_K_M.")]
WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0, le=3600, description="Longest wait for the end; 0 returns at once. Left out: the operator's, mostly 45."
    ),
]
Insecure = Annotated[
    bool, Field(description="Plain http to the registry; only for hosts that the operator has named for it.")
]


class TransferList(BaseModel):
    """Transfers: those that run or wait, in order, and those that ended within an hour."""

    transfers: list[Transfer]


async def pull_model(
    call: Call,
    model: Model,
    wait_seconds: WaitSeconds = None,
    insecure: Insecure = False,  # noqa: FBT002
) -> Transfer:
    """Download a model, or update it, or keep waiting for a download under way.

    The download belongs to the server: it goes on when this call ends, is cut off or cancelled, and resumes by
    itself after a failure. When the answer's state is not yet done, call again with the same model to keep
    waiting. Only cancel_pull stops it.
    """
    app = app_of(call)
    job = app.transfers.start("pull", _allowed(app, model, insecure=insecure), insecure=insecure)
    return await _follow(call, app, job, wait_seconds)


async def list_pulls(call: Call) -> TransferList:
    """List downloads and uploads: running, waiting, and ended within the last hour, with progress and errors."""
    return TransferList(transfers=app_of(call).transfers.snapshots())


async def cancel_pull(
    call: Call,
    model: Annotated[str, Field(description="Model whose transfer to stop, named as when it was started.")],
    kind: Annotated[Kind, Field(description="What to stop.")] = "pull",
) -> Transfer:
    """Stop a download (or an upload). What was transferred is kept: pulling again goes on from there."""
    transfers = app_of(call).transfers
    name = ModelName.for_pull(model)
    job = transfers.find(kind, name)
    if job is None:
        raise RefusedError(f"No {kind} of {name} is under way.", "list_pulls shows what is.")
    if not job.over.is_set():
        job.cancel()
        with anyio.move_on_after(CANCEL_SECONDS):
            await job.over.wait()
    return transfers.snapshot(job)


async def _follow(call: Call, app: App, job: Job, wait_seconds: float | None) -> Transfer:
    """Report on a job until it ends or the time is over, whichever comes first."""
    reporter = _Reporter(call)
    with anyio.move_on_after(app.settings.pull_wait if wait_seconds is None else wait_seconds):
        while not job.over.is_set():
            await reporter.report(job)
            with anyio.move_on_after(REPORT_SECONDS):
                await job.over.wait()
        await reporter.report(job)
    transfer = app.transfers.snapshot(job)
    if transfer.state == "failed":
        error = job.error or OllamaError("It failed.")
        raise FailedError(f"The {job.kind} of {job.name} failed: {error.problem}", error.next_step, transfer)
    if not job.over.is_set():
        transfer.next_step = (
            f"The {job.kind} goes on by itself. Call {job.kind}_model with the same model again to keep waiting; "
            "cancel_pull stops it."
        )
    return transfer


class _Reporter:
    """Sends MCP progress that strictly rises, though Ollama's numbers may fall."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._last = -1.0
        self._last_at = 0.0

    async def report(self, job: Job) -> None:
        """Send how a job stands, if there is something new to say."""
        total = job.meter.total_bytes if job.meter.percent is not None else None
        progress = float(job.meter.completed_bytes)
        if total and job.state != "done":
            # The last byte is told with the end, so that what comes before it can still rise.
            progress = min(progress, total - 1.0)
        now = anyio.current_time()
        if progress <= self._last:
            if now - self._last_at < HEARTBEAT_SECONDS or job.over.is_set():
                return
            progress = self._last + 0.001
        self._last, self._last_at = progress, now
        await self._call.report_progress(progress, total, job.line)


def _allowed(app: App, model: str, *, insecure: bool) -> ModelName:
    """Refuse what an agent may have been talked into: a foreign registry, or plain http to a known one."""
    name = ModelName.for_pull(model)
    if not app.settings.allows_registry(name.host):
        raise RefusedError(
            f"{name} would come from {name.host}, which is not among the allowed registries ({', '.join(REGISTRIES)}).",
            "If the user trusts that host, they can add it to MCP_OLLAMA_REGISTRIES and restart this server.",
        )
    if insecure and name.host.lower() not in app.settings.registries:
        raise RefusedError(
            f"Plain http to {name.host} is not allowed.",
            "Call again without insecure; only hosts named in MCP_OLLAMA_REGISTRIES may be reached so.",
        )
    return name


TOOLS = (
    ToolSpec(run=pull_model, title="Pull a model", idempotent=True, open_world=True),
    ToolSpec(run=list_pulls, title="List pulls", read_only=True, idempotent=True),
    ToolSpec(run=cancel_pull, title="Cancel a pull", idempotent=True),
)
