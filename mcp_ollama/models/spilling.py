"""Advice on a loaded model that runs on the CPU, wholly or in part."""

from contextlib import suppress

import anyio

from mcp_ollama.models.app import App
from mcp_ollama.models.fit import NO_GPU, MemoryReport
from mcp_ollama.models.memory_answer import report_installed
from mcp_ollama.models.running import processor_of
from mcp_ollama.ollama.errors import InvalidModelName, OllamaError
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

_SMALLER = "Use a smaller model or quantization, a shorter context, or unload_model others."
_WITHOUT_GPU = "No GPU is known there, so this is normal: a smaller model or quantization is faster."


async def advise_on_spill(app: App, model: InstalledModel, loaded: RunningModel) -> str | None:
    """Return where a loaded model runs and which context would fit; None when it runs on the GPU."""
    place = _place(loaded)
    return f"{place} {await _advice(app, await _report(app, model, loaded), loaded)}" if place else None


def _place(loaded: RunningModel) -> str:
    slower = "which is several times slower than a GPU."
    match processor_of(loaded):
        case "mixed":
            share = max(1, 100 - 100 * loaded.size_vram // loaded.size)
            return f"{share} % of it runs on the CPU, {slower}"
        case "cpu":
            return f"It runs on the CPU, {slower}"
        case _:
            return ""


async def _report(app: App, model: InstalledModel, loaded: RunningModel) -> MemoryReport | None:
    with anyio.move_on_after(app.timeouts.health_extra), suppress(OllamaError, InvalidModelName):
        info = await app.catalog.info(model)
        return await report_installed(app, model, info, context_length=loaded.context_length or None)
    return None


async def _advice(app: App, report: MemoryReport | None, loaded: RunningModel) -> str:
    if report is None or report.available_bytes is None or report.context_length is None:
        return _SMALLER
    if NO_GPU in report.notes:
        # What fits is in RAM then: to load it again would change nothing.
        return _WITHOUT_GPU
    largest = report.largest_context_length
    if largest is None:
        return "By the estimate no context fits entirely: use a smaller model or quantization."
    if largest < (loaded.context_length or report.context_length):
        return f"By the estimate {largest:,} tokens of context fit entirely: create_model with num_ctx {largest}."
    if len(await app.catalog.running() or []) > 1:
        return "By the estimate it fits entirely: unload_model others, then unload and load it again."
    return (
        "By the estimate it fits entirely, and no other model is loaded: another program takes memory of the GPU, or "
        "Ollama does not find the GPU, which its log says."
    )
