"""Downloads and uploads: start, wait for, list and cancel them."""

from typing import Annotated, get_args

import anyio.lowlevel
from pydantic import BaseModel, Field

from mcp_ollama.models.app import App, Call, FailedError, RefusedError, app_of
from mcp_ollama.models.job import Job, Kind, Transfer
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.settings import REGISTRIES
from mcp_ollama.tools.spec import ToolSpec

Model = Annotated[str, Field(description="Model to pull, such as llama3.2:3b or hf.co/user/repo:Q4_K_M.")]
OwnModel = Annotated[str, Field(description="Installed model, named for where it goes, such as yourname/llama3.2:3b.")]
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
    waiting. Only cancel_pull stops it. It replaces a variant that was made here under the same name.
    """
    app = app_of(call)
    job = app.transfers.start("pull", allowed(app, model, insecure=insecure), insecure=insecure)
    return await _follow(call, app, job, wait_seconds)


async def push_model(
    call: Call,
    model: OwnModel,
    wait_seconds: WaitSeconds = None,
    insecure: Insecure = False,  # noqa: FBT002
) -> Transfer:
    """Upload an installed model to the registry in its name, or keep waiting for an upload under way.

    Others may then be able to download it: ask the user first. The upload goes on when this call ends; call again
    with the same model to keep waiting. Only cancel_pull with kind push stops it. To give a model the name of your
    account, copy it first.
    """
    app = app_of(call)
    name = allowed(app, model, insecure=insecure)
    job = app.transfers.current("push", name)
    if job is None:
        installed, _ = await app.catalog.find(name.short)
        job = app.transfers.start("push", name, insecure=insecure, total_bytes=installed.size)
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
    app = app_of(call)
    name = ModelName.for_pull(model)
    job = app.transfers.find(kind, name)
    if job is None:
        other: Kind = "push" if kind == "pull" else "pull"
        found = app.transfers.is_under_way(other, name)
        next_step = f"There is a {other}: call again with kind {other}." if found else "list_pulls shows what is."
        raise RefusedError(f"No {kind} of {name} is under way.", next_step)
    if not job.over.is_set():
        job.cancel()
        with anyio.move_on_after(app.timeouts.cancel):
            await job.over.wait()
    return app.transfers.snapshot(job)


async def _follow(call: Call, app: App, job: Job, wait_seconds: float | None) -> Transfer:
    """Report on a job until it ends or the time is over, whichever comes first."""
    # So that one that need not wait for others has begun.
    await anyio.lowlevel.checkpoint()
    reporter = _Reporter(call, app)
    with anyio.move_on_after(app.settings.pull_wait if wait_seconds is None else wait_seconds):
        while not job.over.is_set():
            await reporter.report(job)
            with anyio.move_on_after(app.timeouts.progress_interval):
                await job.over.wait()
        await reporter.report(job)
    transfer = app.transfers.snapshot(job)
    if job.error:
        raise FailedError(f"The {job.kind} of {job.name} failed: {job.error.problem}", job.error.next_step, transfer)
    if not job.over.is_set():
        how = "cancel_pull" if job.kind == "pull" else f"cancel_pull with kind {job.kind}"
        transfer.next_step = (
            f"The {job.kind} goes on by itself. Call {job.kind}_model with the same model again to keep waiting; "
            f"{how} stops it."
        )
    return transfer


class _Reporter:
    """Sends MCP progress that strictly rises, though Ollama's numbers may fall."""

    def __init__(self, call: Call, app: App) -> None:
        self._call = call
        self._app = app
        self._last = -1.0
        self._last_at = 0.0

    async def report(self, job: Job) -> None:
        """Send how a job stands, if there is something new to say."""
        meter = job.meter
        progress, total = float(meter.completed_bytes), meter.total_bytes
        if total and job.state != "done":
            # The last byte is told with the end, so that what comes before it can still rise.
            progress = min(progress, total - 1.0)
        now = anyio.current_time()
        if progress <= self._last:
            if now - self._last_at < self._app.timeouts.progress_keepalive or job.over.is_set():
                return
            progress = self._last + 0.001
        self._last, self._last_at = progress, now
        line = job.line(self._app.transfers.place(job))
        await self._call.report_progress(progress, None if meter.percent is None else total, line)


def allowed(app: App, model: str, *, insecure: bool) -> ModelName:
    """Refuse what an agent may have been talked into: a foreign registry, or plain http to a known one."""
    name = ModelName.for_pull(model)
    if not app.settings.allows_registry(name.host):
        allowed = ", ".join((*REGISTRIES, *app.settings.registries))
        raise RefusedError(
            f"{name} belongs to the registry {name.host}, which is not among the allowed ones ({allowed}).",
            "If the user trusts that host, they can add it to MCP_OLLAMA_REGISTRIES and restart this server.",
        )
    if insecure and name.host.lower() not in app.settings.registries:
        raise RefusedError(
            f"Plain http to {name.host} is not allowed.",
            "Call again without insecure; only hosts named in MCP_OLLAMA_REGISTRIES may be reached so.",
        )
    return name


def ensure_no_active_transfer(app: App, model: str) -> None:
    """Refuse to delete or overwrite a model that is on its way: it would come again, or vanish under an upload."""
    for kind in get_args(Kind):
        if app.transfers.is_under_way(kind, ModelName.for_pull(model)):
            which = "" if kind == "pull" else f" (kind {kind})"
            raise RefusedError(
                f"{model} is being {kind}ed.", f"Stop that with cancel_pull{which} first, or let it end."
            )


TOOLS = (
    ToolSpec(run=pull_model, title="Pull a model", idempotent=True, open_world=True, waits=True),
    ToolSpec(run=push_model, title="Push a model", idempotent=True, open_world=True, waits=True, uploads=True),
    ToolSpec(run=list_pulls, title="List pulls", read_only=True, idempotent=True),
    ToolSpec(run=cancel_pull, title="Cancel a pull", idempotent=True),
)
