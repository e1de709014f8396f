"""Estimate of the memory that a model takes, from the shape of its layers and the server's settings.

Formulas: llama.cpp's source for the KV cache and the recurrent state, which are exact; a fit over 695 runs of its
engine for the compute buffer. `docs/memory.md` has the figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mcp_ollama.models.layers import Layer, Shape

MIB = 2**20
RESERVE_BYTES = 1024 * MIB
"""What llama-server leaves free on each device when it places layers (l:common/common.h:483)."""
OVERHEAD_BYTES = 460 * MIB
"""The most that a GPU's runtime takes beside the buffers: 153 MiB measured, 457 MiB assumed by Ollama."""
STEP = 256
"""Cells of a KV cache come in multiples of it (l:src/llama-context.cpp:290)."""

_KV_TYPES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "f32": (4, 1),
        "f16": (2, 1),
        "bf16": (2, 1),
        "q8_0": (34, 32),
        "q5_1": (24, 32),
        "q5_0": (22, 32),
        "q4_1": (20, 32),
        "q4_0": (18, 32),
        "iq4_nl": (18, 32),
    }
)
"""Bytes per value as a fraction: blocks of 32 values with their scales."""
_UNQUANTIZED = ("f32", "f16", "bf16")
_MICRO_BATCHES = ((32_768, 2048), (4096, 1024), (0, 512))
"""Tokens of context above which Ollama takes a micro-batch (o:server/sched.go:797-920)."""
_EMBEDDING_MICRO_BATCH = 2048
_LONGEST_CONTEXT = 2**20


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """An interval for the memory of a loaded model, with its parts, in bytes.

    Attributes:
        weights_bytes: The weights file, as it was passed.
        kv_bytes: KV caches of all slots.
        state_bytes: Recurrent state of all slots.
        compute_bytes: The compute buffer of one device.
        low_bytes: The least on the GPU: token embedding and projector are in host memory.
        high_bytes: The most: everything is on the GPU, with the runtime's own memory.
        micro_batch: The micro-batch that was assumed.
        has_sliding_layers: `/api/ps` of Ollama 0.33 leaves out the full caches of such a model (ollama#17037).
        predicts_tokens: The file has layers for speculative decoding (MTP), whose memory is not estimated.
    """

    weights_bytes: int
    kv_bytes: int
    state_bytes: int
    compute_bytes: int
    low_bytes: int
    high_bytes: int
    micro_batch: int
    has_sliding_layers: bool
    predicts_tokens: bool


def estimate_memory(
    shape: Shape,
    *,
    weights_bytes: int,
    context_length: int,
    projector_bytes: int = 0,
    parallel: int = 1,
    kv_type: str = "f16",
    flash_attention: bool = True,
    micro_batch: int | None = None,
) -> MemoryEstimate:
    """Estimate the memory of a model as Ollama runs it.

    Args:
        shape: The model, from `read_shape`.
        weights_bytes: Size of the weights file; 0 leaves the weights out.
        context_length: Tokens of context in all slots together, as llama-server's `-c`.
        projector_bytes: Size of the projector's file.
        parallel: Slots, Ollama's `OLLAMA_NUM_PARALLEL`.
        kv_type: Type of the KV cache, Ollama's `OLLAMA_KV_CACHE_TYPE`; without flash attention Ollama takes f16.
        flash_attention: Whether flash attention is on.
        micro_batch: Tokens of a micro-batch; None follows Ollama's rule.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check_arguments(context_length, parallel, micro_batch, kv_type)
    batch = micro_batch or _choose_micro_batch(shape, context_length)
    cells = _round_up(_round_up(context_length) // parallel) if parallel > 1 else _round_up(context_length)
    kv = parallel * _cache_bytes(shape, cells, batch, kv_type, flash_attention=flash_attention)
    state = parallel * sum(layer.state for layer in shape.layers) * 4
    compute = _compute_bytes(shape, cells, batch, flash_attention=flash_attention)
    caches = kv + state
    return MemoryEstimate(
        weights_bytes=weights_bytes,
        kv_bytes=kv,
        state_bytes=state,
        compute_bytes=compute,
        low_bytes=max(0, weights_bytes - shape.host_bytes) + caches + compute,
        high_bytes=weights_bytes + projector_bytes + caches + compute * 115 // 100 + OVERHEAD_BYTES,
        micro_batch=batch,
        has_sliding_layers=any(layer.slides for layer in shape.layers),
        predicts_tokens=shape.predicts_tokens,
    )


def _check_arguments(context_length: int, parallel: int, micro_batch: int | None, kv_type: str) -> None:
    if context_length < 1 or parallel < 1 or (micro_batch is not None and micro_batch < 1):
        raise ValueError("A context length, a number of slots and a micro-batch are at least 1. Correct the argument.")
    if kv_type not in _KV_TYPES:
        raise ValueError(f"{kv_type!r} is not a type of KV cache. Use one of {', '.join(_KV_TYPES)}.")


def fits_entirely(estimate: MemoryEstimate, free_bytes: Sequence[int]) -> bool:
    """Check whether a model fits on one GPU, or on all together, even at the high end of its estimate.

    Args:
        estimate: The model's memory.
        free_bytes: Free memory of each GPU.
    """
    on_one = any(estimate.high_bytes <= free - RESERVE_BYTES for free in free_bytes)
    # Each further device has a compute buffer of its own.
    further = estimate.compute_bytes * (len(free_bytes) - 1)
    return on_one or estimate.high_bytes + further <= sum(free_bytes) - RESERVE_BYTES * len(free_bytes)


def largest_context(
    shape: Shape,
    *,
    weights_bytes: int,
    free_bytes: Sequence[int],
    projector_bytes: int = 0,
) -> int | None:
    """Find the largest context that fits entirely on the GPUs, with Ollama's default settings.

    Args:
        shape: The model, from `read_shape`.
        weights_bytes: Size of the weights file.
        free_bytes: Free memory of each GPU.
        projector_bytes: Size of the projector's file.

    Returns:
        Tokens, a multiple of 256, at most the trained context; None when none fits.
    """

    def fits(steps: int) -> bool:
        estimate = estimate_memory(
            shape, weights_bytes=weights_bytes, context_length=steps * STEP, projector_bytes=projector_bytes
        )
        return fits_entirely(estimate, free_bytes)

    trained = shape.context_length or _LONGEST_CONTEXT
    # Memory never falls as the context grows, also where the micro-batch jumps: bisection finds the boundary.
    return _bisect(fits, max(1, trained // STEP)) * STEP or None


def _bisect(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number that fits, at most `most`; 0 when none does. Below one that fits, all fit."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _choose_micro_batch(shape: Shape, context_length: int) -> int:
    if shape.is_embedding:
        return min(_EMBEDDING_MICRO_BATCH, context_length)  # o:llm/llama_server.go:90-104
    return next(batch for above, batch in _MICRO_BATCHES if context_length > above)


def _cache_bytes(shape: Shape, cells: int, micro_batch: int, kv_type: str, *, flash_attention: bool) -> int:
    """Return the bytes of the KV caches of one slot."""
    window_cells = _round_up(min(cells, shape.window + micro_batch))  # l:src/llama-kv-cache-iswa.cpp:73
    size, per = _KV_TYPES[kv_type if flash_attention or kv_type in _UNQUANTIZED else "f16"]
    # Without flash attention all values are as wide as the widest layer's (l:src/llama-kv-cache.cpp:210).
    widest = 0 if flash_attention else max(layer.value_row for layer in shape.layers)
    return sum(
        (window_cells if layer.slides else cells) * _row_values(layer, widest) * size // per for layer in shape.layers
    )


def _row_values(layer: Layer, widest: int) -> int:
    return layer.key_row + max(layer.value_row, widest) if layer.key_row else 0


def _compute_bytes(shape: Shape, cells: int, micro_batch: int, *, flash_attention: bool) -> int:
    seen = micro_batch if shape.is_embedding else cells
    base = 4 * micro_batch * (shape.inner_length + 9 * shape.embedding_length)
    if flash_attention:
        return base + 2 * seen * micro_batch
    return 4 * shape.heads * seen * micro_batch + 4 * seen * micro_batch + base // 3


def _round_up(tokens: int) -> int:
    return -(-tokens // STEP) * STEP
