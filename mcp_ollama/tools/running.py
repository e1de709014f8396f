"""What is in memory: list, load and unload models."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, BeforeValidator, Field

from mcp_ollama.models.app import App, Call, FailedError, RefusedError, app_of
from mcp_ollama.models.catalog import damaged
from mcp_ollama.models.loading import Load
from mcp_ollama.models.lookup import find_model, find_running, identity, key_of
from mcp_ollama.models.progress import format_duration
from mcp_ollama.ollama.errors import ModelNotFoundError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel
from mcp_ollama.tools.installed import format_timestamp
from mcp_ollama.tools.spec import ToolSpec

YEAR_SECONDS = 365 * 86_400
FOREVER = timedelta(days=20 * 365)
"""Ollama writes "for ever" as a time some centuries away."""

FORMER_SECONDS = 1.0
"""Enough for a server to drop a model that nobody uses."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"({_PART.pattern})+")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


_STILL_LOADED = (
    "A request may be using it: call again when that has ended. What was updated or made anew while it was loaded "
    "stays until its time is over, or until Ollama is restarted."
)


class RunningRow(BaseModel):
    """A model in memory; no `expires_at` means that it stays for ever."""

    name: str
    size_bytes: int
    size_vram_bytes: int
    processor: Literal["gpu", "cpu", "mixed", "unknown"]
    context_length: int | None = None
    expires_at: str | None = None


class RunningList(BaseModel):
    """The models in memory."""

    models: list[RunningRow]


class LoadResult(BaseModel):
    """How a load stands; `running` is the model in memory, perhaps under another name with the same weights."""

    model: str
    state: Literal["loaded", "loading"]
    running: RunningRow | None = None
    load_seconds: float | None = None
    next_step: str | None = None


class UnloadResult(BaseModel):
    """What has left memory, and what is still in it."""

    unloaded: list[str]
    still_loaded: list[str]
    next_step: str | None = None


async def list_running_models(call: Call) -> RunningList:
    """List the models in memory: size, share on the GPU, context length, when each leaves.

    A model that is still being loaded is not among them.
    """
    return await running_rows(app_of(call))


async def load_model(
    call: Call,
    model: Annotated[str, Field(description="Installed model.")],
    keep_alive: Annotated[
        str,
        # Models send bare numbers, too.
        BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value),
        Field(description="Stay after last use: 5m, seconds, or -1 for ever. Left out: the operator's."),
    ] = "",
    wait_seconds: Annotated[float, Field(ge=0, le=3600, description="Longest wait for the end.")] = 40,
) -> LoadResult:
    """Load a model into memory, so that its first answer comes at once; says how much of it is on the GPU.

    A load goes on when this call ends: call again to keep waiting, unload_model to stop it.
    """
    app = app_of(call)
    keep = parse_keep_alive(keep_alive)
    found, _ = await app.catalog.find(model)
    if found.remote_host:
        raise RefusedError(f"{found.name} runs on {found.remote_host}, not in this server's memory.", "Just use it.")
    load = app.loads.start(ModelName.for_pull(found.name), keep)
    await _follow(call, app, load, wait_seconds)
    if error := load.error:
        error = damaged(found) if isinstance(error, ModelNotFoundError) else error
        problem = f"{found.name} could not be loaded. {error.problem}"
        raise FailedError(problem, error.next_step, LoadResult(model=found.name, state="loading"))
    return await _loaded(app, found, load) if load.over.is_set() else _loading(found, load)


async def unload_model(
    call: Call,
    model: Annotated[str, Field(description="Model to unload.")] = "",
    all: Annotated[bool, Field(description="Unload every model instead.")] = False,  # noqa: FBT002
) -> UnloadResult:
    """Drop a model, or all, from memory; it stays on disk. Give exactly one of model and all.

    Also stops a load_model under way. To free disk space: delete_model.
    """
    app = app_of(call)
    if bool(model) == all:
        raise RefusedError("unload_model takes either model or all=true.", "Give exactly one of them.")
    stopped: list[str]
    if all:
        stopped, targets = await app.loads.stop(), await app.ollama.list_running_models()
    else:
        name = ModelName.for_pull(model)
        stopped = await app.loads.stop([name.key])
        targets = await runners_of(app, name)
        if not targets and not stopped:
            await app.catalog.find(model)
    left = await app.loads.unload(targets, app.timeouts.unload)
    stay = {identity(one) for one in left}
    gone = [one.name for one in targets if identity(one) not in stay]
    return UnloadResult(
        unloaded=list(dict.fromkeys([*stopped, *gone])),
        still_loaded=list(dict.fromkeys(one.name for one in left)),
        next_step=_STILL_LOADED if left else None,
    )


async def running_rows(app: App) -> RunningList:
    """Ask what is in memory."""
    return RunningList(models=[row_of(model) for model in await app.ollama.list_running_models()])


async def runners_of(app: App, name: ModelName) -> list[RunningModel]:
    """Find what runs a model: itself, then others with the same weights, then what had its name before it."""
    running = await app.ollama.list_running_models()
    models = await app.ollama.list_models() if running else []
    found = find_model(name, models)
    if found is None:
        return [one for one in running if key_of(one.name) == name.key]
    digests = {found.digest, *(one.digest for one in running)}
    facts = await app.catalog.facts(one for one in models if one.digest in digests)
    weights = {digest: known.weights for digest, known in facts.items() if known and known.weights}
    own = weights.get(found.digest, found.digest)

    def nearness(one: RunningModel) -> int:
        return 2 * (one.digest == found.digest) + (weights.get(one.digest, one.digest) == own != "")

    found_running = [one for one in running if key_of(one.name) == name.key or nearness(one)]
    return sorted(found_running, key=nearness, reverse=True)


async def unload_before_change(app: App, model: InstalledModel, *, before: str = "deleted") -> None:
    """Get a model out of memory before it is deleted or overwritten: afterwards it has no name to unload it by.

    What was loaded under its name before it was updated has none already, and is no reason to keep the model.

    Raises:
        RefusedError: It is in use.
    """
    key = key_of(model.name)
    await app.loads.stop([key])
    running = await app.ollama.list_running_models()
    if await app.loads.unload(find_running(model, running), app.timeouts.unload):
        raise RefusedError(
            f"{model.name} is in use and could not be unloaded within {app.timeouts.unload:g} s, "
            f"so it was not {before}.",
            "Let the request that uses it end, then call again.",
        )
    former = [one for one in running if key_of(one.name) == key and one.digest != model.digest]
    # One with the same weights still goes by this name.
    await app.loads.unload(former, min(app.timeouts.unload, FORMER_SECONDS))


async def _follow(call: Call, app: App, load: Load, wait_seconds: float) -> None:
    with load.awaited(), anyio.move_on_after(wait_seconds):
        while not load.over.is_set():
            # Nobody can tell how far a load is; what rises is the time.
            line = f"{load.name.short} loading, {format_duration(load.seconds)}"
            await call.report_progress(load.seconds, None, line)
            with anyio.move_on_after(app.timeouts.progress_keepalive):
                await load.over.wait()


def _loading(model: InstalledModel, load: Load) -> LoadResult:
    next_step = "It goes on by itself: call load_model again to keep waiting, unload_model to stop it."
    return LoadResult(model=model.name, state="loading", load_seconds=load.seconds, next_step=next_step)


async def _loaded(app: App, model: InstalledModel, load: Load) -> LoadResult:
    outcome = LoadResult(model=model.name, state="loaded", load_seconds=load.seconds)
    runners: list[RunningModel] | None = None
    with anyio.move_on_after(app.timeouts.health_extra):
        runners = await runners_of(app, load.name)
    if runners:
        outcome.running = row_of(runners[0])
    elif runners is None:
        outcome.next_step = "Where it runs could not be asked in time: see list_running_models."
    else:
        outcome.next_step = "It has left memory again already: another model may have needed the room."
    return outcome


def row_of(model: RunningModel) -> RunningRow:
    """Say of a running model where it runs, and until when."""
    return RunningRow(
        name=model.name,
        size_bytes=model.size,
        size_vram_bytes=model.size_vram,
        processor=processor_of(model),
        context_length=model.context_length or None,
        expires_at=_expiry(model.expires_at),
    )


def processor_of(model: RunningModel) -> Literal["gpu", "cpu", "mixed", "unknown"]:
    """Tell where a model runs, as `ollama ps` does."""
    if model.size <= 0 or not 0 <= model.size_vram <= model.size:
        return "unknown"
    if model.size_vram == model.size:
        return "gpu"
    return "mixed" if model.size_vram else "cpu"


def _expiry(moment: datetime | None) -> str | None:
    if moment is None or moment - datetime.now(UTC) > FOREVER:
        return None
    return format_timestamp(moment)


def parse_keep_alive(text: str) -> float | None:
    """Read how long a model shall stay: seconds, -1 for ever, None for the operator's own setting.

    Raises:
        RefusedError: It is none of these, or not between a second and a year. Ollama drops the model at once
            for huge numbers, and refuses `"5"`.
    """
    text = text.strip()
    if not text:
        return None
    if text.startswith("-") and _seconds(text[1:]) is not None:
        return -1
    seconds = _seconds(text)
    if seconds is None or not 1 <= seconds <= YEAR_SECONDS:
        raise RefusedError(
            f"keep_alive cannot be {text[:40]!r}.",
            "It may be 5m, 1h30m, a number of seconds from 1 to a year, or -1 for ever; unload_model drops a model.",
        )
    return math.floor(seconds) if seconds == math.floor(seconds) else seconds


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if len(text) > 40 or not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


TOOLS = (
    ToolSpec(run=list_running_models, title="List running models", read_only=True, idempotent=True),
    ToolSpec(run=load_model, title="Load a model", idempotent=True, waits=True),
    ToolSpec(run=unload_model, title="Unload models", idempotent=True),
)
