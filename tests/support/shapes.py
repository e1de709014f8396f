"""Models whose weights files state a real shape, for estimates of memory."""

from typing import Unpack

from mcp_ollama.simulator.recipes import Recipe
from mcp_ollama.simulator.shapes import SHAPES

GIB = 2**30
QWEN_BYTES = 5_225_374_368
GEMMA_BYTES = 3_338_792_448
QWEN: Recipe = {
    "size_bytes": QWEN_BYTES,
    "family": "qwen3",
    "quantization": "Q4_K_M",
    "context_length": 40_960,
    "embedding_length": 4096,
    "shape": SHAPES["qwen3:8b"],
}
"""qwen3:8b: without sliding layers, 36 layers of 8 KV heads of 128."""
GEMMA: Recipe = {
    "size_bytes": GEMMA_BYTES,
    "family": "gemma3",
    "quantization": "Q4_K_M",
    "context_length": 131_072,
    "embedding_length": 2560,
    "shape": SHAPES["gemma3:4b"],
}
"""gemma3:4b: with sliding layers."""


def qwen(**more: Unpack[Recipe]) -> Recipe:
    """Return the recipe of qwen3:8b with other or further parts."""
    return {**QWEN, **more}


def qwen_kv_bytes(context_length: int) -> int:
    """Return the KV cache of qwen3:8b: keys and values of 36 layers, 8 heads of 128, 2 bytes each."""
    return 36 * context_length * 8 * (128 + 128) * 2
