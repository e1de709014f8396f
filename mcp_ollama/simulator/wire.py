"""JSON, times and durations as a Go server reads and writes them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))
_KINDS: Mapping[type, str] = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = re.compile(r"(\d+\.?\d*|\.\d+)([a-zµ]*)")
FOREVER = (2**63 - 1) / 1e9
"""Seconds in Go's longest duration, 292 years, which Ollama writes for `forever`."""

_TEXTS = {"model", "name", "prompt", "from", "template", "system", "quantize"}
_FLAGS = {"stream", "insecure", "verbose"}
_COPY_TEXTS = {"source", "destination"}


class Refusal(Exception):  # noqa: N818 - not an error: it is the answer of the server
    """Refusal by the server: an error response, or an error line in a running stream."""

    def __init__(self, text: str, status: int = 500, **fields: object) -> None:
        super().__init__(text)
        self.status = status
        self.document: dict[str, object] = {"error": text, **fields}


class Cut(Exception):  # noqa: N818 - not an error: the connection ends here
    """Connection closed in the middle of the response."""


def encode(document: object) -> bytes:
    """Write JSON as Go does: no spaces, and `<`, `>`, `&` as escapes."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text.encode()


def in_go(value: object) -> str:
    """Write a parameter as Go's `%v` does: numbers below 0.0001 and from a million on have an exponent."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float):
        return str(value)
    exact = Decimal(repr(float(value)))
    exponent = exact.adjusted()
    if not value or -4 <= exponent < 6:
        return repr(float(value)).removesuffix(".0")
    return f"{exact.scaleb(-exponent).normalize():f}e{exponent:+03d}"


def decode(raw: bytes, struct: str) -> dict[str, Any]:
    """Read a request body into the named Go struct.

    Keys are matched in any case, unknown ones kept, and what follows the first value is ignored.

    Raises:
        Refusal: 400 with Go's own words.
    """
    text = raw.decode("utf-8", "replace").lstrip()
    if not text:
        raise Refusal("missing request body", 400)
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise Refusal(_syntax_error(text, error), 400) from error
    if not isinstance(value, dict):
        raise Refusal(f"json: cannot unmarshal {_kind(value)} into Go value of type api.{struct}", 400)
    document: dict[str, Any] = {}
    for key, item in value.items():  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        document[str(key).lower()] = item  # pyright: ignore[reportUnknownArgumentType]
    _check(document, struct)
    return document


def json_or_text(raw: bytes) -> object:
    """Read a body for the record, as JSON where possible."""
    try:
        return json.loads(raw or b"null")
    except ValueError:
        return raw.decode("utf-8", "replace")


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    return f"invalid character {text[error.pos]!r} looking for beginning of value"


def _check(document: Mapping[str, Any], struct: str) -> None:
    texts = _COPY_TEXTS if struct == "CopyRequest" else _TEXTS
    for key, value in document.items():
        wanted = "string" if key in texts else "bool" if key in _FLAGS else ""
        if wanted and value is not None and _kind(value) != wanted:
            kind = f"json: cannot unmarshal {_kind(value)} into Go struct field {struct}.{key}"
            raise Refusal(f"{kind} of type {wanted}", 400)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "object")


def timestamp(seconds: float) -> str:
    """Format a time in seconds since 1970 as RFC 3339 with trailing zeros cut, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"


def keep_alive(value: object) -> float | None:
    """Read a `keep_alive` into seconds; None means that none was given.

    Raises:
        Refusal: 400 for what Ollama cannot read.
    """
    if value is None:
        return None
    if isinstance(value, str):
        seconds = _duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise Refusal(f"Unsupported type: '{_kind(value)}'", 400)
    if seconds < 0:
        return FOREVER
    # Beyond 292 years Go's nanoseconds overflow, and the model is unloaded at once.
    return 0.0 if seconds > FOREVER else seconds


def _duration(text: str) -> float:
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return 0.0
    pieces = _PIECE.findall(body)
    if not pieces or "".join(number + unit for number, unit in pieces) != body:
        raise Refusal(f'time: invalid duration "{text}"', 400)
    for _, unit in pieces:
        if unit not in _UNITS:
            known = f'unknown unit "{unit}"' if unit else "missing unit"
            raise Refusal(f'time: {known} in duration "{text}"', 400)
    return sign * sum(float(number) * _UNITS[unit] for number, unit in pieces)
