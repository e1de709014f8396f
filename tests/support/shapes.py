"""Models whose weights files state a real shape, for estimates of memory."""

from typing import Any

from mcp_ollama.simulator.shapes import SHAPES

GIB = 2**30
QWEN: dict[str, Any] = {
    "size_bytes": 5_225_374_368,
    "family": "qwen3",
    "quantization": "Q4_K_M",
    "context_length": 40_960,
    "embedding_length": 4096,
    "shape": SHAPES["qwen3:8b"],
}
"""qwen3:8b: without sliding layers, 36 layers of 8 KV heads of 128."""
GEMMA: dict[str, Any] = {
    "size_bytes": 3_338_792_448,
    "family": "gemma3",
    "quantization": "Q4_K_M",
    "context_length": 131_072,
    "embedding_length": 2560,
    "shape": SHAPES["gemma3:4b"],
}
"""gemma3:4b: with sliding layers."""


def qwen_kv_bytes(context_length: int) -> int:
    """Return the KV cache of qwen3:8b: keys and values of 36 layers, 8 heads of 128, 2 bytes each."""
    return 36 * context_length * 8 * (128 + 128) * 2
