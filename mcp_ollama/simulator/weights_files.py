"""GGUF files as far as they are read before a pull: a head, then zeros."""

import struct
from collections.abc import Mapping
from typing import Any, cast

from mcp_ollama.simulator.manifests import Layer

_BOOL, _STRING, _ARRAY = 7, 8, 9
_FORMATS = {4: "<I", 10: "<Q", 6: "<f", _BOOL: "<?"}


def write_head(info: Mapping[str, Any]) -> bytes:
    """Write the head of a GGUF file of version 3 with these keys and no tensors."""
    keys = b"".join(_write_string(key) + _write_typed(value) for key, value in info.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(info)) + keys


def read_part(layer: Layer, start: int, end: int) -> bytes:
    """Return some bytes of a weights file; `end` is exclusive."""
    head = layer.weights.head or write_head(layer.weights.info) if layer.weights else b""
    end = min(end, layer.size)
    return head[start:end].ljust(max(0, end - start), b"\0")


def _write_typed(value: Any) -> bytes:
    kind = _kind(value)
    return struct.pack("<I", kind) + _write(kind, value)


def _write(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _write_string(value)
    if kind == _ARRAY:
        items = cast("list[Any]", value)
        item_kind = _kind(items[0]) if items else _BOOL
        return struct.pack("<IQ", item_kind, len(items)) + b"".join(_write(item_kind, item) for item in items)
    return struct.pack(_FORMATS[kind], value)


def _write_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _kind(value: object) -> int:
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return 4 if value < 2**32 else 10
    return _ARRAY if isinstance(value, list) else _STRING if isinstance(value, str) else 6
