"""The transfers of this process together with those that other processes and earlier ones have written down."""

import logging
from datetime import UTC, datetime

import anyio

from mcp_ollama.models.allow_list import parse_allowed_name
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.formatting import join_limited
from mcp_ollama.models.job import Transfer, TransferList
from mcp_ollama.models.lookup import listed_name
from mcp_ollama.models.pages import fit_rows
from mcp_ollama.models.persistence.journal import Entry, Journal
from mcp_ollama.models.transfer_state import Kind, cancel_call
from mcp_ollama.models.transfers import Transfers
from mcp_ollama.ollama.addresses import server_key
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.settings import OllamaSettings

logger = logging.getLogger(__name__)


async def list_transfers(transfers: Transfers) -> TransferList:
    """Return the transfers of one server that fit into an answer, and how many are left out.

    Those of this process come first, then those of other processes and the interrupted ones.

    Args:
        transfers: The transfers of this process.
    """
    entries = await _entries(transfers)
    rows = [*transfers.snapshots(), *map(_transfer, entries)]
    shown = fit_rows(rows)
    left = len(rows) - len(shown)
    return TransferList(transfers=shown, next_step=f"{left} more are left out here." if left else None)


async def cancel_transfer(transfers: Transfers, kind: Kind, name: ModelName | None, *, seconds: float) -> Transfer:
    """Cancel a transfer of this process, or forget an interrupted one.

    Args:
        transfers: The transfers of this process.
        kind: The direction.
        name: The model; None takes the only transfer in progress, and the only interrupted one when none is.
        seconds: Longest wait for the end.

    Raises:
        RefusedError: There is none, or it belongs to another process, or the model has to be named.
    """
    name = name or transfers.only_open(kind)
    if name is None:
        return await _forget(transfers.journal, await _find_only(transfers, kind))
    job = transfers.find(kind, name)
    if job and not job.finished.is_set():
        job.cancel()
        with anyio.move_on_after(seconds):
            await job.finished.wait()
        return transfers.snapshot(job)
    if entry := await _find_entry(transfers, kind, name):
        return await _forget(transfers.journal, entry)
    if job:
        return transfers.snapshot(job)
    raise _nothing(transfers, kind, name)


async def find_transfers_elsewhere(transfers: Transfers) -> dict[str, Kind]:
    """Find the transfers of other processes of the user.

    Args:
        transfers: The transfers of this process, whose server counts.

    Returns:
        The direction, by the key of the model's name.
    """
    return {_key(entry): entry.kind for entry in await _entries(transfers) if entry.owner}


async def find_unfinished_pull(transfers: Transfers, name: ModelName) -> Transfer | None:
    """Find the pull of a model that runs or waits, here or in another process, or ended before the model was complete.

    Args:
        transfers: The transfers of this process.
        name: The model.
    """
    job = transfers.find("pull", name)
    if job and not job.finished.is_set():
        return job.snapshot()
    if entry := await _find_entry(transfers, "pull", name):
        return _transfer(entry)
    return job.snapshot() if job and job.state != "done" else None


async def explain_missing(transfers: Transfers, error: ModelNotFoundError) -> ModelNotFoundError:
    """Return the error for a model that is not there with what its pull has to do with it, where one is unfinished.

    Args:
        transfers: The transfers of this process.
        error: The error that says so.
    """
    name = listed_name(error.model)
    pull = await find_unfinished_pull(transfers, name) if name else None
    if pull is None or pull.state in ("failed", "cancelled", "cancelling"):
        return error
    if pull.state == "interrupted":
        how, next_step = "Its pull was interrupted.", "Call pull_model with the same model to resume it."
    else:
        how, next_step = "It is being pulled.", "Call pull_model with the same model to wait for it."
    return ModelNotFoundError(f"{error.problem} {how}", next_step, model=error.model)


async def ensure_idle(transfers: Transfers, *names: ModelName) -> None:
    """Refuse to delete or overwrite models that this process, or another one of the user, has in transfer.

    They would come back, or vanish during an upload.

    Args:
        transfers: The transfers of this process.
        names: The models.

    Raises:
        RefusedError: One of them is being pulled or pushed.
    """
    elsewhere = await find_transfers_elsewhere(transfers)
    for name in names:
        # After the journal was read: what follows a return must come before a pull of this process can start.
        if kind := transfers.open_kind(name):
            raise RefusedError(f"{name} is being {kind}ed.", f"Call {cancel_call(kind)} first, or let it end.")
        if kind := elsewhere.get(name.key):
            raise RefusedError(
                f"{name} is being {kind}ed by another process of this user.",
                "Cancel that in the client that started it, or let it end.",
            )


async def resume_transfers(transfers: Transfers, settings: OllamaSettings) -> None:
    """Start the interrupted transfers of a server again, as far as the settings allow them today.

    Args:
        transfers: The transfers of this process.
        settings: Access, registries and pushes of today.
    """
    for entry in await _entries(transfers):
        try:
            name = _check_resumable(entry, settings)
            if name and await transfers.journal.claim(entry):
                await transfers.start(
                    entry.kind, name, insecure=entry.insecure, total_bytes=entry.total_bytes, has_bytes=True
                )
        except (OllamaError, InvalidModelName) as error:
            logger.warning("The interrupted %s of %s is not resumed: %s", entry.kind, entry.model, error)


def _check_resumable(entry: Entry, settings: OllamaSettings) -> ModelName | None:
    """Return the model of an entry that may be resumed; None for one of another process, or disabled by a setting.

    Raises:
        InvalidModelName: The file holds a name that Ollama would refuse.
        RefusedError: The registry, or plain http to it, is not allowed.
    """
    if entry.owner or settings.access == "read-only" or (entry.kind == "push" and not settings.allow_push):
        return None
    return parse_allowed_name(settings, entry.model, insecure=entry.insecure)


async def _find_only(transfers: Transfers, kind: Kind) -> Entry:
    """Find the only interrupted transfer of a kind; where there is none, one of another process.

    Raises:
        RefusedError: There is none, or more than one.
    """
    entries = [one for one in await _entries(transfers) if one.kind == kind]
    if not entries:
        raise RefusedError(f"No {kind} is in progress.", "See list_pulls.")
    interrupted = sorted(one.model for one in entries if not one.owner)
    if len(interrupted) > 1:
        raise RefusedError(f"{len(interrupted)} {kind}s are interrupted.", f"Name one: {join_limited(interrupted)}.")
    return min(entries, key=lambda one: one.owner is not None)


async def _entries(transfers: Transfers) -> list[Entry]:
    """Return the entries of the server of these transfers, without interrupted ones that this process has again."""
    server = server_key(transfers.base_url)
    entries = [one for one in await transfers.journal.entries() if server_key(one.server) == server]
    own = {(job.kind, job.name.key) for job in transfers.open_jobs()}
    return [one for one in entries if one.owner or (one.kind, _key(one)) not in own]


async def _find_entry(transfers: Transfers, kind: Kind, name: ModelName) -> Entry | None:
    entries = await _entries(transfers)
    return next((one for one in entries if one.kind == kind and _key(one) == name.key), None)


def _key(entry: Entry) -> str:
    try:
        return ModelName.for_pull(entry.model).key
    except InvalidModelName:
        return entry.model


def _transfer(entry: Entry) -> Transfer:
    """Return an entry as a row beside those of this process."""
    end = datetime.now(UTC) if entry.owner else entry.updated_at
    total, done = entry.total_bytes, entry.completed_bytes
    return Transfer(
        kind=entry.kind,
        model=entry.model,
        state=entry.state,
        status=f"as its process wrote it down at {entry.updated_at:%H:%M:%S} UTC"
        if entry.owner
        else f"interrupted at {entry.updated_at:%Y-%m-%d %H:%M} UTC, when its process ended",
        completed_bytes=done,
        total_bytes=total,
        percent=min(100.0, 1000 * done // total / 10) if total else None,
        elapsed_seconds=max(0.0, round((end - entry.started_at).total_seconds(), 1)),
        attempts=0,
        owner=entry.owner,
        error=entry.error,
        next_step=None if entry.owner else _resume_sentence(entry),
    )


def _resume_sentence(entry: Entry) -> str:
    return f"Call {entry.kind}_model with the same model to resume it; {cancel_call(entry.kind)} forgets it."


async def _forget(journal: Journal, entry: Entry) -> Transfer:
    if entry.owner:
        raise RefusedError(
            f"The {entry.kind} of {entry.model} belongs to another process of this user.",
            "Cancel it in the client that started it.",
        )
    if not await journal.forget(entry):
        raise RefusedError(
            f"The interrupted {entry.kind} of {entry.model} cannot be forgotten.",
            journal.problem or "Another process has resumed it: see list_pulls.",
        )
    status = "forgotten; Ollama keeps what it had saved"
    return _transfer(entry).model_copy(update={"state": "cancelled", "status": status, "next_step": None})


def _nothing(transfers: Transfers, kind: Kind, name: ModelName) -> RefusedError:
    other = transfers.open_kind(name)
    next_step = f"There is a {other}: call again with kind {other}." if other else "list_pulls shows what is."
    return RefusedError(f"No {kind} of {name} is in progress.", next_step)
