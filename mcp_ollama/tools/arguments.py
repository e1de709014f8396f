"""Arguments that several tools have."""

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from mcp_ollama.models.sizes import parse_size

Model = Annotated[str, Field(description="Model, such as llama3.2:3b; without a tag: latest.")]
Confirm = Annotated[str, Field(description="Confirmation from the previous call, after the user agreed; else omit.")]
ContextLength = Annotated[
    int | None, Field(ge=1, le=10_000_000, description="Tokens, for the memory; default: Ollama's.")
]


def _plain_word(value: object) -> object:
    """Return a word in lower case."""
    return value.strip().lower() if isinstance(value, str) else value


def _parse_size(value: object, *, binary: bool) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError('should be a size, such as "8 GB"')  # noqa: TRY004 - pydantic expects a ValueError
    size = parse_size(value, binary=binary)
    if not size:
        raise ValueError('should be more than nothing, such as "8 GB"')
    return size


Capability = Annotated[
    Literal["completion", "tools", "vision", "thinking", "embedding", "insert", "image", "audio"] | None,
    BeforeValidator(_plain_word),
]
"""A capability of `/api/show` (Ollama's types/model/capability.go); None for any."""
MemorySize = Annotated[
    int | None, BeforeValidator(partial(_parse_size, binary=True)), WithJsonSchema({"type": "string"})
]
"""Bytes of memory, written as a text; GB is 1024³ bytes. A JSON number is bytes."""
DiskSize = Annotated[
    int | None, BeforeValidator(partial(_parse_size, binary=False)), WithJsonSchema({"type": "string"})
]
"""Bytes of disk, written as a text; GB is 1000³ bytes. A JSON number is bytes."""
