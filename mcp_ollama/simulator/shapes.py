"""Shapes of the demo's models, as the metadata of their weights files state them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_HEADS = "attention.head_count"
_KV_HEADS = "attention.head_count_kv"
_KEY, _VALUE = "attention.key_length", "attention.value_length"
_KEYS = ("block_count", "feed_forward_length", "vocab_size", _HEADS, _KV_HEADS, _KEY, _VALUE)


def _shape(*values: int, **further: Any) -> Mapping[str, Any]:
    named = {key.replace("__", "."): value for key, value in further.items()}
    return MappingProxyType(dict(zip(_KEYS, values, strict=False)) | named)


SHAPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "llama3.2:1b": _shape(16, 8192, 128_256, 32, 8, 64, 64),
        "llama3.2:3b": _shape(28, 8192, 128_256, 24, 8, 128, 128),
        "qwen3:0.6b": _shape(28, 3072, 151_936, 16, 8, 128, 128),
        "qwen3:8b": _shape(36, 12_288, 151_936, 32, 8, 128, 128),
        "gemma3:4b": _shape(34, 10_240, 262_208, 8, 4, 256, 256, attention__sliding_window=1024),
        "smollm2:135m": _shape(30, 1536, 49_152, 9, 3),
        "nomic-embed-text:latest": _shape(12, 3072, 30_522, 12, 12, attention__causal=False),
        "all-minilm:latest": _shape(6, 1536, 30_522, 12, 12, attention__causal=False),
    }
)
