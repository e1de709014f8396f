"""Speed of a model, measured."""

import time
from typing import Annotated

from pydantic import BaseModel, Field

from mcp_ollama.models.loading import check_loaded
from mcp_ollama.models.measuring import Speed, check_measurable, find_loaded, measure_speed
from mcp_ollama.models.progress_reports import wait_for_load
from mcp_ollama.models.running import Processor, processor_of
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.tools.spec import Call, ToolSpec

_LOADING = "It is still loading: call measure_model again with the same arguments, unload_model to stop it."
_NO_TIME = "It is loaded, but the time was over before a result: call measure_model again, with a longer wait_seconds."
_NO_SPEED = (
    "It is loaded, but the server reported no speed, as for an empty text: call measure_model with another model."
)
_LEFT = "It left memory while it was measured: another model may have needed the memory. Call measure_model again."


class Measurement(BaseModel):
    """The speed of a model, and where it runs; without a speed, `next_step` says how to get it."""

    model: str
    load_seconds: float | None = None
    prompt_tokens_per_second: float | None = None
    tokens_per_second: float | None = None
    processor: Processor | None = None
    size_bytes: int | None = None
    size_vram_bytes: int | None = None
    context_length: int | None = None
    next_step: str | None = None


async def measure_model(
    call: Call,
    model: Annotated[str, Field(description="Installed model.")],
    context_length: Annotated[int | None, Field(ge=1, le=10_000_000, description="To load it with, in tokens.")] = None,
    wait_seconds: Annotated[float, Field(ge=0, le=3600, description="Longest wait.")] = 40,
) -> Measurement:
    """Measure how fast a model is on this server, in tokens per second; loads it first, then takes some 10 s."""
    deadline = time.monotonic() + wait_seconds
    app = call.app
    found = await app.catalog.find_usable(model, await app.ollama.list_models())
    await check_measurable(app.catalog, found)
    result = Measurement(model=found.name)
    loaded = await find_loaded(app.catalog, found, context_length)
    if loaded is None:
        result.load_seconds = await _load(call, found, context_length, wait_seconds)
        if result.load_seconds is None:
            return result.model_copy(update={"next_step": _LOADING})
        loaded = await find_loaded(app.catalog, found, None)
    speed = None
    if loaded:
        async with call.waiting():
            speed = await measure_speed(app, found, loaded, deadline - time.monotonic())
    # A longer text can move layers; the figures are those of the end.
    loaded = loaded and await find_loaded(app.catalog, found, None)
    if loaded is None:
        return result.model_copy(update={"next_step": _LEFT})
    return result.model_copy(
        update={
            "prompt_tokens_per_second": speed and speed.prompt_tokens_per_second,
            "tokens_per_second": speed and speed.tokens_per_second,
            "processor": processor_of(loaded),
            "size_bytes": loaded.size,
            "size_vram_bytes": loaded.size_vram,
            "context_length": loaded.context_length or None,
            "next_step": _next_step(speed),
        }
    )


def _next_step(speed: Speed | None) -> str | None:
    if speed is None:
        return _NO_TIME
    return None if speed.tokens_per_second else _NO_SPEED


async def _load(call: Call, model: InstalledModel, context_length: int | None, seconds: float) -> float | None:
    """Load a model; None when it is still loading at the end of the wait.

    Raises:
        FailedError: It could not be loaded.
    """
    load = call.app.loads.start(ModelName.for_pull(model.name), context_length=context_length)
    async with call.waiting():
        await wait_for_load(load, call.report_progress, seconds=seconds, keepalive=call.app.timeouts.progress_keepalive)
    check_loaded(load, model, Measurement(model=model.name), call.app.ollama.balancer_sign)
    return load.seconds if load.finished.is_set() else None


TOOLS = (
    ToolSpec(
        run=measure_model,
        title="Measure a model",
        idempotent=True,
        search_hint="benchmark a model",
    ),
)
