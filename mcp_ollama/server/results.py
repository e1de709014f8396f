"""Results and errors of MCP, made from what handlers return and raise.

Expected errors are `OllamaError` and `InvalidModelName`; any other exception is a bug, whose text only the log gets.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, cast

import anyio
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult, TextContent
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from mcp_ollama.models.errors import FailedError
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    ModelError,
    ModelNotFoundError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
)
from mcp_ollama.ollama.sanitizing import truncate

logger = logging.getLogger(__name__)

EXPECTED_ERRORS = (OllamaError, InvalidModelName)
MAX_ERROR_TEXT = 600
MAX_ANSWER_TEXT = 150_000
"""Characters of an answer: 200 models have 60,000, and a model with all its long texts has as many."""
MAX_DEFAULT_TEXT = 9_000
"""Characters of an answer whose size the caller has not chosen: some clients cut the middle out of 10 KB."""
SIZE_ARGUMENTS = frozenset(("limit", "include"))
"""Arguments by which a caller chooses the size of an answer."""
_RESERVE = 200
"""Characters for the sentence on what is left out."""
META = "io.github.mcp-ollama-manager"
"""Prefix of the keys under which an error carries data for programs, in `_meta`."""


def to_compact_json(answer: BaseModel) -> str:
    """Format an answer as JSON without nulls and spaces.

    Raises:
        OllamaResponseError: The text is longer than any that an Ollama server causes.
    """
    text = answer.model_dump_json(exclude_none=True)
    _check_length(text)
    return text


def _check_length(text: str) -> None:
    if len(text) > MAX_ANSWER_TEXT:
        raise OllamaResponseError(
            f"The answer is too large: {len(text):,} characters, more than an Ollama server causes.",
            "Check with health that the address is an Ollama server, or ask for less.",
        )


def success(answer: BaseModel, arguments: Mapping[str, Any]) -> CallToolResult:
    """Return an answer as structured content and, for clients that read only text, as the same JSON.

    Args:
        answer: The answer; the end of its longest list is left out where the caller has not chosen its size.
        arguments: The arguments of the call.

    Raises:
        OllamaResponseError: The answer is too long.
    """
    return _result(answer.model_dump_json(exclude_none=True), arguments, has_pages=has_pages(answer))


class LastAnswers:
    """Results of the last answer of each kind: a list that has not changed is not formatted again.

    Of 500 lists of 100 models at once, formatting took a fifth of the time.
    """

    def __init__(self) -> None:
        self._last: dict[type[BaseModel], tuple[BaseModel, Mapping[str, Any], CallToolResult]] = {}

    def success(self, answer: BaseModel, arguments: Mapping[str, Any]) -> CallToolResult:
        """Return the result of an answer, see `success`; no caller may change either."""
        last = self._last.get(type(answer))
        if last and last[0] == answer and last[1] == arguments:
            return last[2]
        result = success(answer, arguments)
        self._last[type(answer)] = answer, arguments, result
        return result


def has_pages(answer: BaseModel) -> bool:
    """Return whether an answer is a page of more."""
    return "next_offset" in type(answer).model_fields


def success_of(data: dict[str, Any], arguments: Mapping[str, Any], *, has_pages: bool) -> CallToolResult:
    """Return the data of an answer that names its host; as `success` otherwise.

    Args:
        data: JSON without nulls.
        arguments: The arguments of the call.
        has_pages: Whether the rest of a shortened list is on a next page.

    Raises:
        OllamaResponseError: The answer is too long.
    """
    return _result(to_json(data).decode(), arguments, has_pages=has_pages)


def _result(text: str, arguments: Mapping[str, Any], *, has_pages: bool) -> CallToolResult:
    if not SIZE_ARGUMENTS & arguments.keys():
        # A page has one long list; another answer may have two, such as the models deleted and those that share.
        for _ in range(1 if has_pages else 2):
            if len(text) > MAX_DEFAULT_TEXT:
                answer = _shorten(from_json(text), len(text), arguments.get("offset", 0), has_pages=has_pages)
                text = to_json(answer).decode()
    _check_length(text)
    return _Answer(content=[TextContent(type="text", text=text)], structured_content=from_json(text))


class _Answer(CallToolResult):
    """A result whose structured content is JSON already: the SDK's dump need not go through all of it once more."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """Return what the SDK asks for: aliases, and no nulls."""
        content = [block.model_dump(by_alias=True, exclude_none=True) for block in self.content]
        return {
            "content": content,
            "structuredContent": self.structured_content,
            "isError": False,
            "resultType": self.result_type,
        }


def _shorten(answer: dict[str, Any], length: int, offset: int, *, has_pages: bool) -> dict[str, Any]:
    """Return an answer without the end of its longest list, and with the number of items left out or the next page."""
    lists: dict[str, list[int]] = {
        name: [_length(item) + 1 for item in cast("list[object]", value)]
        for name, value in answer.items()
        if isinstance(value, list) and value
    }
    if not lists:
        return answer
    name, lengths = max(lists.items(), key=lambda one: sum(one[1]))
    room = MAX_DEFAULT_TEXT - _RESERVE - (length - sum(lengths))
    # At least one, since a page without an item would be asked for again and again.
    kept = max(1, sum(total <= room for total in accumulate(lengths)))
    left = len(lengths) - kept
    rest = {"next_offset": offset + kept} if has_pages else {"next_step": _left_out(answer, name, left)}
    return {**answer, name: answer[name][:kept], **rest} if left else answer


def _left_out(answer: dict[str, Any], name: str, left: int) -> str:
    return f"{answer.get('next_step', '')} {left:,} more of {name} are left out.".strip()


def _length(value: object) -> int:
    return len(to_json(value).decode())


def text_of(result: CallToolResult) -> str:
    """Return the text of a result."""
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


def failure(sentence: str, meta: dict[str, Any] | None = None) -> CallToolResult:
    """Return an error result; its data is in `_meta`, since clients validate structured content even of errors."""
    text = TextContent(type="text", text=truncate(sentence, MAX_ERROR_TEXT))
    return CallToolResult(content=[text], is_error=True, _meta=meta)


def failure_from(error: OllamaError | InvalidModelName, hint: str = "") -> CallToolResult:
    """Return an expected error as a sentence for the model, with data for programs.

    Args:
        error: The error.
        hint: A sentence to add before the next step, or at the end of the sentence on an invalid name.
    """
    data: dict[str, Any] = {"kind": type(error).__name__}
    if isinstance(error, OllamaStatusError):
        data["status_code"] = error.status_code
    if isinstance(error, ModelNotFoundError):
        data["model"] = error.model
    meta: dict[str, Any] = {f"{META}/error": data}
    if isinstance(error, FailedError):
        meta[f"{META}/transfer"] = error.outcome.model_dump(mode="json", exclude_none=True)
    if hint and isinstance(error, OllamaError):
        return failure(f"{error.problem} {hint} {error.next_step}".rstrip(), meta)
    return failure(f"{error} {hint}".rstrip(), meta)


def timeout_sentence(seconds: float) -> str:
    """Return the sentence for a call that Ollama kept from ending in time."""
    return f"Timed out after {seconds:g} s waiting for the Ollama server. Run health"


@contextmanager
def protocol_errors(
    what: str, uri: str | None = None, *, seconds: float | None = None, adapt: Callable[[str], str] = str
) -> Generator[None]:
    """Convert what a resource, a prompt or a completion raises into an error of the protocol.

    Args:
        what: The action that failed in a bug, such as "reading resource ollama://models".
        uri: The resource, for the data of its errors.
        seconds: Limit for Ollama's answers.
        adapt: Adapts the advice of a sentence, see `NamedHosts.adapt_advice`.

    Raises:
        MCPError: Anything failed.
    """
    data = {"uri": uri} if uri else None
    try:
        with anyio.fail_after(seconds):
            yield
    except MCPError:
        raise
    except (ModelNotFoundError, ModelError, InvalidModelName) as error:
        raise MCPError(INVALID_PARAMS, truncate(str(error), MAX_ERROR_TEXT), data) from error
    except OllamaError as error:
        raise MCPError(INTERNAL_ERROR, truncate(adapt(str(error)), MAX_ERROR_TEXT), data) from error
    except TimeoutError as error:
        raise MCPError(INTERNAL_ERROR, f"{timeout_sentence(seconds or 0)}.", data) from error
    except Exception as error:
        logger.exception("Unexpected exception while %s", what)
        raise MCPError(INTERNAL_ERROR, f"Error {what}", data) from error
