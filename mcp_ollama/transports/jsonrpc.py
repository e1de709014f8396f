"""Decoding of one line of input into a JSON-RPC message, tolerant of what real clients send.

A byte order mark is skipped, and invalid UTF-8 and half surrogate pairs become U+FFFD. Whatever cannot be a message is
refused with the id that stands in it, so that no request waits for an answer in vain.
"""

import json
import re
from itertools import islice
from typing import Any

from mcp import types
from pydantic import ValidationError
from pydantic_core import from_json

LINE_LIMIT_BYTES = 4 * 2**20
"""The limit of a message; the same as that of a request body over HTTP."""
STRUCTURE_LIMIT = 250_000
"""The limit of brackets, braces and commas: an empty object of two bytes takes 64 in memory."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.){0,200}"|-?\d{1,18}(?:\.0)?(?=[\s,}]))')
_INVALID_UTF8 = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CANDIDATES = 8
_TAIL_BYTES = 300


class InvalidLineError(Exception):
    """A line that is not a message, and the answer to it."""

    def __init__(self, code: int, reason: str, request_id: types.RequestId | None = None) -> None:
        super().__init__(reason)
        error = types.ErrorData(code=code, message=reason)
        self.answer = types.JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def decode(line: bytes | bytearray) -> types.JSONRPCMessage:
    """Decode a line; of one over the limit only its beginning and its end are needed.

    Raises:
        InvalidLineError: The line is not a JSON-RPC message, or larger than any that a tool can use.
    """
    frame: dict[str, Any] | list[Any] | str | float | None = _parse(line)
    if not isinstance(frame, dict):
        raise InvalidLineError(types.INVALID_REQUEST, "Not a single JSON-RPC message")
    kind = _kind_of(frame)
    request_id = _request_id(frame.get("id"))
    if kind is types.JSONRPCRequest and isinstance(frame.get("id"), float):
        raise InvalidLineError(types.INVALID_REQUEST, "The id must be a string or an integer", request_id)
    try:
        return kind.model_validate(frame, by_name=False)
    except ValidationError as error:
        if request_id is not None and kind in (types.JSONRPCResponse, types.JSONRPCError):
            return _malformed_response(kind, request_id)
        # Only a request is answered under its id: that of a response is one of the server's.
        answered = request_id if kind is types.JSONRPCRequest else None
        raise InvalidLineError(types.INVALID_REQUEST, "Invalid request", answered) from error


def _malformed_response(kind: type[types.JSONRPCMessage], request_id: types.RequestId) -> types.JSONRPCMessage:
    """Return what a malformed response counts as, since the request that it answers would wait for another one."""
    if kind is types.JSONRPCResponse:
        return types.JSONRPCResponse(jsonrpc="2.0", id=request_id, result={})
    error = types.ErrorData(code=types.INVALID_REQUEST, message="Invalid response")
    return types.JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def count_structure(data: bytes | bytearray) -> int:
    """Count the characters that begin or separate values; those in strings count too."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def find_request_id(line: bytes | bytearray) -> types.RequestId | None:
    """Find the id of a request that cannot be parsed: the first one that is a member of the outermost object."""
    for found in islice(_ID.finditer(line), _CANDIDATES):
        if _depth(line[: found.start()]) == 1:
            return _request_id(json.loads(found[1]))
    return None


def _parse(line: bytes | bytearray) -> Any:
    if len(line) > LINE_LIMIT_BYTES:
        raise InvalidLineError(types.INVALID_REQUEST, f"Message over {LINE_LIMIT_BYTES} bytes", _id_of_long(line))
    if count_structure(line) > STRUCTURE_LIMIT:
        reason = f"Message with over {STRUCTURE_LIMIT} values"
        raise InvalidLineError(types.INVALID_REQUEST, reason, find_request_id(line))
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError as first:
        try:
            return _parse_repaired(line)
        except (ValueError, RecursionError):
            raise InvalidLineError(types.PARSE_ERROR, f"Parse error: {first}", find_request_id(line)) from first


def _parse_repaired(line: bytes | bytearray) -> Any:
    text = _INVALID_UTF8.sub("\ufffd", line.decode(errors="surrogateescape")).removeprefix("\ufeff")
    # Python's parser accepts half a surrogate pair, which the other one refuses and no answer could contain.
    rewritten = json.dumps(json.loads(text), ensure_ascii=False)
    return from_json(_SURROGATE.sub("\ufffd", rewritten), allow_inf_nan=False)


def _id_of_long(line: bytes | bytearray) -> types.RequestId | None:
    """Find the id of a message whose middle is missing; TypeScript's SDK writes it last."""
    for found in _ID.finditer(line, len(line) - _TAIL_BYTES):
        if line[found.end() :].strip() == b"}":
            return _request_id(json.loads(found[1]))
    return find_request_id(line[:LINE_LIMIT_BYTES])


def _depth(prefix: bytes | bytearray) -> int | None:
    """Count the open braces and brackets; None inside a string."""
    bare = _STRING.sub(b"", prefix)
    if b'"' in bare:
        return None
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _request_id(value: object) -> types.RequestId | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _kind_of(frame: dict[str, Any]) -> type[types.JSONRPCMessage]:
    # The SDK's union of the four would take a request with a bad id for a notification, and never answer it.
    if "method" in frame:
        return types.JSONRPCRequest if "id" in frame else types.JSONRPCNotification
    if "result" in frame:
        return types.JSONRPCResponse
    return types.JSONRPCError if "error" in frame else types.JSONRPCRequest
