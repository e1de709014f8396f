"""Models in memory: list, load and unload them."""

from contextlib import suppress
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, BeforeValidator, Field

from mcp_ollama.models.app import App
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.keep_alive import parse_keep_alive
from mcp_ollama.models.loading import Load, check_loaded
from mcp_ollama.models.lookup import identity
from mcp_ollama.models.progress_reports import wait_for_load
from mcp_ollama.models.running import RunningList, RunningRow, find_runners, running_list, running_row
from mcp_ollama.models.spilling import advise_on_spill
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel
from mcp_ollama.tools.spec import Call, ToolSpec

_STILL_LOADED = (
    "A request may be using it: call again when that has ended. A model that was replaced while loaded stays until its "
    "keep_alive ends, or until Ollama is restarted."
)


class LoadResult(BaseModel):
    """How a load stands; `running` is the model in memory, perhaps under another name with the same weights."""

    model: str
    state: Literal["loaded", "loading"]
    running: RunningRow | None = None
    load_seconds: float | None = None
    next_step: str | None = None


class UnloadResult(BaseModel):
    """The models that left memory, and those still in it."""

    unloaded: list[str]
    still_loaded: list[str]
    next_step: str | None = None


async def list_running_models(call: Call) -> RunningList:
    """List the models in memory: size, share on the GPU, context length, when each is unloaded.

    A model that is still loading is left out.
    """
    return running_list(await call.app.catalog.running_now())


async def load_model(
    call: Call,
    model: Annotated[str, Field(description="Installed model.")],
    keep_alive: Annotated[
        str,
        # Models send bare numbers, too.
        BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value),
        Field(description="Time in memory after the last use: 5m, seconds, or -1 for forever. Default: the server's."),
    ] = "",
    wait_seconds: Annotated[float, Field(ge=0, le=3600, description="Longest wait.")] = 40,
) -> LoadResult:
    """Load a model into memory, so that its first answer comes at once; says how much of it is on the GPU.

    A load continues when this call ends: call again to keep waiting, unload_model to stop it. For
    another context length: create_model with num_ctx.
    """
    app = call.app
    keep = parse_keep_alive(keep_alive)
    found = await app.catalog.find_usable(model, await app.ollama.list_models())
    if found.remote_host:
        raise RefusedError(f"{found.name} runs on {found.remote_host}, not in this server's memory.", "Just use it.")
    load = app.loads.start(ModelName.for_pull(found.name), keep)
    async with call.waiting():
        await wait_for_load(load, call.report_progress, seconds=wait_seconds, keepalive=app.timeouts.progress_keepalive)
    outcome = LoadResult(model=found.name, state="loading")
    check_loaded(load, found, outcome, app.ollama.balancer_sign)
    return await _loaded(app, found, load) if load.finished.is_set() else _loading(found, load)


async def unload_model(
    call: Call,
    model: Annotated[str, Field(description="Model to unload.")] = "",
    all: Annotated[bool, Field(description="Unload every model instead.")] = False,  # noqa: FBT002
) -> UnloadResult:
    """Drop a model, or all, from memory; it stays on disk. Give exactly one of model and all.

    Also stops a load in progress. To free disk space: delete_model.
    """
    app = call.app
    if bool(model) == all:
        raise RefusedError("unload_model takes either model or all=true.", "Give exactly one of them.")
    stopped: list[str]
    if all:
        stopped, targets = await app.loads.stop(), await app.catalog.running_now()
    else:
        name = ModelName.for_pull(model)
        stopped = await app.loads.stop([name.key])
        targets = await find_runners(app.catalog, name)
        if not targets and not stopped:
            await app.catalog.find(name)
    left = await app.loads.unload(targets, app.timeouts.unload)
    stay = {identity(one) for one in left}
    gone = [one.name for one in targets if identity(one) not in stay]
    return UnloadResult(
        unloaded=list(dict.fromkeys([*stopped, *gone])),
        still_loaded=list(dict.fromkeys(one.name for one in left)),
        next_step=_STILL_LOADED if left else None,
    )


def _loading(model: InstalledModel, load: Load) -> LoadResult:
    next_step = "It continues by itself: call load_model again to keep waiting, unload_model to stop it."
    return LoadResult(model=model.name, state="loading", load_seconds=load.seconds, next_step=next_step)


async def _loaded(app: App, model: InstalledModel, load: Load) -> LoadResult:
    outcome = LoadResult(model=model.name, state="loaded", load_seconds=load.seconds)
    runners: list[RunningModel] | None = None
    with anyio.move_on_after(app.timeouts.health_extra):
        with suppress(OllamaError):
            runners = await find_runners(app.catalog, load.name)
    if runners:
        outcome.running = running_row(runners[0])
        outcome.next_step = await advise_on_spill(app, model, runners[0])
    elif runners is None:
        outcome.next_step = "Where it runs could not be read: see list_running_models."
    else:
        outcome.next_step = "It has left memory already: another model may have needed the space."
    return outcome


TOOLS = (
    ToolSpec(
        run=list_running_models,
        title="List running models",
        read_only=True,
        idempotent=True,
        search_hint="loaded models, GPU memory, VRAM in use",
        rows="models",
    ),
    ToolSpec(
        run=load_model,
        title="Load a model",
        idempotent=True,
        search_hint="warm up, preload into GPU memory",
    ),
    ToolSpec(
        run=unload_model,
        title="Unload models",
        idempotent=True,
        search_hint="free GPU memory, stop a model",
    ),
)
