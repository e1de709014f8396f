"""Whether a model runs on a machine, with how much context: the answer `memory` of the tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from mcp_ollama.models.layers import Shape, UnknownArchitecture, read_shape
from mcp_ollama.models.machine import Memory, Origin
from mcp_ollama.models.memory import RESERVE_BYTES, MemoryEstimate, estimate_memory, fits_entirely, largest_context

Verdict = Literal["fits", "tight", "spills", "no", "unknown"]

_GIB = 2**30
_DEFAULT_CONTEXTS = ((47 * _GIB, 262_144), (23 * _GIB, 32_768), (0, 4096))
"""Memory of all GPUs from which Ollama defaults to a context (o:server/routes.go:2038-2057)."""

NO_GPU = "No GPU is known: the model runs on the CPU, several times slower."
_NOTES = {
    "settings": "KV type, parallel, flash attention and micro-batch are assumed: the server does not report its own.",
    "no head": "Only the weights can be estimated: the head of the weights file is unavailable.",
    "cpu": NO_GPU,
    "spills": "Some layers run on the CPU, which is several times slower.",
    "assumed": "That Ollama runs on this machine is assumed from the process that listens on its port.",
    "no memory": "The memory of the Ollama server is unknown: state it in MCP_OLLAMA_MEMORY.",
    "no ram": "The RAM is unknown: whether the layers that spill fit there is unknown, too.",
    "gpus": "Spread over several GPUs the model needs a compute buffer on each.",
    "projector": "Images and audio take 0.1 to 2.4 GiB more while they are processed.",
    "mtp": "The memory of speculative decoding (MTP) is not estimated: about 0.6 GiB when it is enabled.",
    "sliding": "Ollama's own figure leaves out the full-attention cache of models with sliding layers.",
}


class MemoryAssumptions(BaseModel):
    """Settings of the server that an estimate rests on: Ollama's defaults, as those of `estimate_memory`."""

    kv_type: str = "f16"
    parallel: int = 1
    flash_attention: bool = True
    micro_batch: int


class MemoryReport(BaseModel):
    """Memory of a model, an interval in bytes, against what is available; contexts are tokens per slot."""

    context_length: int | None = None
    weights_bytes: int
    kv_bytes: int | None = None
    state_bytes: int | None = None
    compute_bytes: int | None = None
    low_bytes: int | None = None
    high_bytes: int | None = None
    measured_bytes: int | None = None
    available_bytes: int | None = None
    available_from: Origin | None = None
    verdict: Verdict
    largest_context_length: int | None = None
    assumptions: MemoryAssumptions | None = None
    notes: list[str] = []


@dataclass(frozen=True, slots=True)
class Measured:
    """A loaded model in `/api/ps`: its context per slot, and its memory on the GPU."""

    context_length: int
    size_vram_bytes: int


@dataclass(frozen=True, slots=True)
class FitQuery:
    """The question: a model and a context.

    Attributes:
        metadata: Keys of the weights file; None when its head is unavailable.
        weights_bytes: Size of the weights file.
        projector_bytes: Size of the projector's file.
        context_length: Tokens per slot; None takes the server's default.
    """

    metadata: Mapping[str, object] | None
    weights_bytes: int
    projector_bytes: int = 0
    context_length: int | None = None


def report_memory(
    query: FitQuery,
    memory: Memory | None,
    *,
    evictable_bytes: int = 0,
    measured: Measured | None = None,
    reason: str = "",
) -> MemoryReport:
    """Report whether a model fits.

    Args:
        query: The model and its context.
        memory: The memory of the Ollama server; None when it is unknown.
        evictable_bytes: Memory on the GPU of idle models, which Ollama unloads when it needs it.
        measured: What `/api/ps` says of the same digest, when it is loaded.
        reason: Why there are no metadata, a sentence.
    """
    free = None if memory is None else free_bytes(memory, evictable_bytes)
    report = MemoryReport(
        weights_bytes=query.weights_bytes,
        available_bytes=None if free is None else sum(free),
        available_from=memory.origin if memory and free is not None else None,
        verdict="unknown",
    )
    if query.metadata is not None:
        try:
            return _estimate(report, query, read_shape(query.metadata), memory, free, measured)
        except UnknownArchitecture as error:
            reason = str(error)
    return report.model_copy(update={"notes": [reason or _NOTES["no head"], *_memory_notes(memory, free)]})


def free_bytes(memory: Memory, evictable_bytes: int = 0) -> list[int] | None:
    """Return what a model can use on each GPU, or on the CPU as one device; None when it is unknown.

    A machine's own figure is what is free, and what idle models leave is added. An operator's figure is the total.
    """
    if memory.gpus is None or (not memory.gpus and memory.ram is None):
        return None
    if not memory.gpus and memory.ram:
        return [max(0, memory.ram.available_bytes - RESERVE_BYTES)]
    share = evictable_bytes // len(memory.gpus)
    return [min(gpu.total_bytes, gpu.free_bytes + share) for gpu in memory.gpus]


def judge(estimate: MemoryEstimate, memory: Memory | None, free: list[int] | None) -> Verdict:
    """Return the verdict on an estimate.

    `fits` when even its high end leaves the reserve free; `spills` when even its low end exceeds the GPUs; `no` when
    it exceeds GPUs and RAM together; `tight` between. On the CPU it never spills.
    """
    if memory is None or free is None:
        return "unknown"
    if not memory.gpus:
        # The reserve is already taken off.
        fits = fits_entirely(estimate, [free[0] + RESERVE_BYTES])
        return "fits" if fits else "no" if estimate.low_bytes > free[0] else "tight"
    if fits_entirely(estimate, free):
        return "fits"
    if estimate.low_bytes <= sum(free):
        return "tight"
    beside = 0 if memory.ram is None or any(gpu.is_unified for gpu in memory.gpus) else memory.ram.available_bytes
    return "no" if memory.ram is not None and estimate.low_bytes > sum(free) + beside else "spills"


def default_context(memory: Memory | None) -> int:
    """Return the context that Ollama takes by default on a machine, in tokens per slot."""
    total = sum(gpu.total_bytes for gpu in memory.gpus or ()) if memory else 0
    return next(context for least, context in _DEFAULT_CONTEXTS if total >= least)


def _estimate(
    report: MemoryReport,
    query: FitQuery,
    shape: Shape,
    memory: Memory | None,
    free: list[int] | None,
    measured: Measured | None,
) -> MemoryReport:
    trained = shape.context_length
    asked = query.context_length or default_context(memory)
    context = min(asked, trained or asked)
    estimate = estimate_memory(
        shape,
        weights_bytes=query.weights_bytes,
        context_length=context,
        projector_bytes=query.projector_bytes,
    )
    verdict = judge(estimate, memory, free)
    notes = [_NOTES[key] for key in _note_keys(query, estimate, memory, verdict)] + _memory_notes(memory, free)
    if asked > context:
        notes.insert(0, f"The model was trained for {trained:,} tokens: Ollama reduces {asked:,} to that.")
    is_measured = measured and measured.context_length == context and not estimate.has_sliding_layers
    return report.model_copy(
        update={
            "context_length": context,
            "kv_bytes": estimate.kv_bytes,
            "state_bytes": estimate.state_bytes or None,
            "compute_bytes": estimate.compute_bytes,
            "low_bytes": estimate.low_bytes,
            "high_bytes": estimate.high_bytes,
            "measured_bytes": measured.size_vram_bytes if measured and is_measured else None,
            "verdict": verdict,
            "largest_context_length": _largest_context(query, shape, memory, free),
            "assumptions": MemoryAssumptions(micro_batch=estimate.micro_batch),
            "notes": notes,
        }
    )


def _largest_context(query: FitQuery, shape: Shape, memory: Memory | None, free: list[int] | None) -> int | None:
    if memory is None or free is None:
        return None
    return largest_context(
        shape,
        weights_bytes=query.weights_bytes,
        free_bytes=free if memory.gpus else [free[0] + RESERVE_BYTES],
        projector_bytes=query.projector_bytes,
    )


def _note_keys(query: FitQuery, estimate: MemoryEstimate, memory: Memory | None, verdict: Verdict) -> list[str]:
    gpus = memory.gpus if memory else ()
    conditions = {
        "settings": True,
        "spills": verdict == "spills",
        "no ram": verdict == "spills" and memory is not None and memory.ram is None,
        "gpus": len(gpus or ()) > 1,
        "projector": query.projector_bytes > 0,
        "mtp": estimate.predicts_tokens,
        "sliding": estimate.has_sliding_layers,
    }
    return [key for key, holds in conditions.items() if holds]


def _memory_notes(memory: Memory | None, free: list[int] | None) -> list[str]:
    if memory is None or free is None:
        return [_NOTES["no memory"]]
    conditions = {"cpu": not memory.gpus, "assumed": memory.origin == "machine_assumed"}
    return [_NOTES[key] for key, holds in conditions.items() if holds]
