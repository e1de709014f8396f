"""Decoding of JSON from servers and registries with bounded memory and time.

pydantic builds the whole document before it validates it, and holds the interpreter meanwhile: an object of 7 bytes
costs 150 to 450 bytes, so 16 MB of them would take some 700 MB and block every other call for seconds. Counting the
bytes that open or separate values takes milliseconds and bounds both.
"""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mcp_ollama.ollama.sanitizing import Redactor

MAX_CONTAINERS = 50_000
"""Objects and arrays of one document, which take up to 25 MB; a list of 10,000 models has 40,000."""

MAX_VALUES = 1_500_000
"""Values of one document; `verbose` details of a model with 260,000 tokens have 1,100,000."""

MAX_LISTED_VALUES = 300_000
"""Values of the list of installed models; 10,000 models have 200,000."""

MAX_CLEANED_VALUES = 100_000
"""Values of a document whose texts are cleaned in one go: 1,500,000 would block every other call for four seconds."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class DocumentTooLargeError(ValueError):
    """JSON document with more values than any response of Ollama or a registry has."""


class NotJsonError(ValueError):
    """Document that is not JSON."""


class InvalidDocumentError(ValueError):
    """JSON document that does not match its schema."""


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
        DocumentTooLargeError: The document has too many values.
        NotJsonError: It is not JSON.
        InvalidDocumentError: It does not match the schema.
    """
    _check_values(content, max_values)
    try:
        return schema.model_validate_json(content, context=redact)
    except ValidationError as error:
        invalid = _without_document(error)
    # Raised here, since that error holds the whole document, and a chain of errors would keep it.
    raise invalid


def _without_document(error: ValidationError) -> ValueError:
    first = error.errors(include_input=False, include_url=False)[0]
    kind = NotJsonError if first["type"] == "json_invalid" else InvalidDocumentError
    return kind(f"{first['msg']} at {first['loc']}")


def _check_values(content: bytes, max_values: int) -> None:
    if len(content) > MAX_CONTAINERS and (
        content.count(b"{") + content.count(b"[") > MAX_CONTAINERS or content.count(b",") > max_values
    ):
        raise DocumentTooLargeError(
            f"The document has more than {MAX_CONTAINERS:,} containers or {max_values:,} values."
        )
