"""Downloads and uploads: start, wait for, list and cancel them."""

from typing import Annotated

from pydantic import Field

from mcp_ollama.models.all_transfers import cancel_transfer, list_transfers
from mcp_ollama.models.allow_list import parse_allowed_name
from mcp_ollama.models.app import App
from mcp_ollama.models.errors import FailedError
from mcp_ollama.models.job import Job, Transfer, TransferList
from mcp_ollama.models.progress_reports import wait_for_transfer
from mcp_ollama.models.transfer_state import Kind, cancel_call
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.tools.spec import Call, ToolSpec

Model = Annotated[str, Field(description="Model to pull, such as llama3.2:3b or hf.co/user/repo:Q4_K_M.")]
OwnModel = Annotated[str, Field(description="Installed model, such as yourname/llama3.2:3b.")]
WaitSeconds = Annotated[
    float | None,
    Field(ge=0, le=3600, description="Longest wait; 0 returns at once. Default: {pull_wait}."),
]
Insecure = Annotated[bool, Field(description="Plain http; only for MCP_OLLAMA_REGISTRIES.")]


async def pull_model(
    call: Call,
    model: Model,
    wait_seconds: WaitSeconds = None,
    insecure: Insecure = False,  # noqa: FBT002
) -> Transfer:
    """Download or update a model, or keep waiting for a download in progress.

    The download continues when this call ends, times out or is cancelled, and resumes by itself after a failure. While
    the returned state is not done, call again with the same model to keep waiting. Only cancel_pull stops it. It
    replaces a local variant of the same name. One download runs at a time: to let another go first, cancel_pull this
    one and pull it again.
    """
    app = call.app
    name = parse_allowed_name(app.settings, model, insecure=insecure)
    job = await app.transfers.start("pull", name, insecure=insecure or app.settings.uses_plain_http(name.host))
    return await _follow(call, app, job, wait_seconds)


async def push_model(
    call: Call,
    model: OwnModel,
    wait_seconds: WaitSeconds = None,
    insecure: Insecure = False,  # noqa: FBT002
) -> Transfer:
    """Upload an installed model to the registry in its name, or keep waiting for an upload in progress.

    Others may then download it: ask the user first. The upload continues when this call ends: call again to keep
    waiting. Only cancel_pull with kind push stops it. To name a model for your account, copy it first.
    """
    app = call.app
    name = parse_allowed_name(app.settings, model, insecure=insecure)
    job = app.transfers.current("push", name)
    if job is None:
        installed, _ = await app.catalog.find(name)
        insecure = insecure or app.settings.uses_plain_http(name.host)
        job = await app.transfers.start("push", name, insecure=insecure, total_bytes=installed.size)
    return await _follow(call, app, job, wait_seconds)


async def list_pulls(call: Call) -> TransferList:
    """List downloads and uploads: running, waiting, ended within the hour, interrupted, or of another process."""
    return await list_transfers(call.app.transfers)


async def cancel_pull(
    call: Call,
    model: Annotated[str | None, Field(description="Needed only when several run or wait.")] = None,
    kind: Annotated[Kind, Field(description="What to stop.")] = "pull",
) -> Transfer:
    """Stop a download (or an upload), or forget an interrupted one; pulling again resumes from the data kept."""
    app = call.app
    name = None if model is None else ModelName.for_pull(model)
    return await cancel_transfer(app.transfers, kind, name, seconds=app.timeouts.cancel)


async def _follow(call: Call, app: App, job: Job, wait_seconds: float | None) -> Transfer:
    async with call.waiting():
        await wait_for_transfer(
            app.transfers,
            job,
            call.report_progress,
            seconds=app.settings.pull_wait if wait_seconds is None else wait_seconds,
            interval=app.timeouts.progress_interval,
            keepalive=app.timeouts.progress_keepalive,
        )
    transfer = app.transfers.snapshot(job)
    if job.error:
        raise FailedError(f"The {job.kind} of {job.name} failed: {job.error.problem}", job.error.next_step, transfer)
    if not job.finished.is_set():
        transfer.next_step = (
            f"The {job.kind} continues by itself. Call {job.kind}_model with the same model again to keep waiting; "
            f"{cancel_call(job.kind)} stops it."
        )
    return transfer


TOOLS = (
    ToolSpec(
        run=pull_model,
        title="Pull a model",
        idempotent=True,
        open_world=True,
        search_hint="download, install or update a model from Ollama or Hugging Face",
        always_load=True,
    ),
    ToolSpec(
        run=push_model,
        title="Push a model",
        idempotent=True,
        open_world=True,
        uploads=True,
        search_hint="upload, publish a model",
    ),
    ToolSpec(
        run=list_pulls,
        title="List pulls",
        read_only=True,
        idempotent=True,
        search_hint="download progress, queue, failed downloads",
        rows="transfers",
    ),
    ToolSpec(
        run=cancel_pull,
        title="Cancel a pull",
        idempotent=True,
        search_hint="stop a download",
        arguments_of=(("kind", "allow_push"),),
    ),
)
