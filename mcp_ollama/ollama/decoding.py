"""Decoding of JSON from servers and registries with bounded memory and time.

pydantic builds the whole document before it validates it, and holds the interpreter meanwhile: an object of 7 bytes
costs 150 to 450 bytes, so 16 MB of them would take some 700 MB and block every other call for seconds. Counting the
bytes that open or separate values takes milliseconds and bounds both.
"""

from typing import TypeVar

from pydantic import BaseModel

from mcp_ollama.ollama.sanitizing import Redactor

MAX_CONTAINERS = 200_000
"""Objects and arrays of one document; a list of 20,000 models has 80,000."""

MAX_VALUES = 1_500_000
"""Values of one document; `verbose` details of a model with 260,000 tokens have 1,100,000."""

MAX_CLEANED_VALUES = 100_000
"""Values of a document whose texts are cleaned in one go: 1,500,000 would block every other call for four seconds."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class DocumentTooLargeError(ValueError):
    """JSON document with more values than any response of Ollama or a registry has."""


def decode(
    schema: type[ModelT], content: bytes, redact: Redactor | None = None, *, max_values: int = MAX_CLEANED_VALUES
) -> ModelT:
    """Parse a JSON document.

    Args:
        schema: The model of the document.
        content: The document, in UTF-8.
        redact: Removes secrets from every text of the document.
        max_values: Values of the document; up to MAX_VALUES where its values are not cleaned, or in turns.

    Raises:
        ValueError: The document is malformed (pydantic's ValidationError) or has too many values.
    """
    _check_values(content, max_values)
    return schema.model_validate_json(content, context=redact)


def _check_values(content: bytes, max_values: int) -> None:
    max_containers = min(MAX_CONTAINERS, max_values)
    if len(content) > max_containers and (
        content.count(b"{") + content.count(b"[") > max_containers or content.count(b",") > max_values
    ):
        raise DocumentTooLargeError(
            f"The document has more than {max_containers:,} containers or {max_values:,} values."
        )
