"""The parameters that a model can be made with: Ollama takes unknown names in silence, and misspelt ones do nothing."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

Kind = Literal["integer", "number", "boolean", "strings"]
Value = int | float | bool | list[str]

KNOWN: dict[str, Kind] = {
    "frequency_penalty": "number",
    "main_gpu": "integer",
    "min_p": "number",
    "num_batch": "integer",
    "num_ctx": "integer",
    "num_gpu": "integer",
    "num_keep": "integer",
    "num_predict": "integer",
    "num_thread": "integer",
    "presence_penalty": "number",
    "repeat_last_n": "integer",
    "repeat_penalty": "number",
    "seed": "integer",
    "stop": "strings",
    "temperature": "number",
    "top_k": "integer",
    "top_p": "number",
    "typical_p": "number",
    "use_mmap": "boolean",
}
"""Ollama's `api.Options` and `api.Runner` of 0.33."""

_POSITIVE = ("num_ctx", "num_batch")
_MAX_NUMBER = 2**31 - 1
_MAX_STRINGS = 100
_EXPECTED: dict[Kind, str] = {
    "integer": f"a whole number, {_MAX_NUMBER:,} at most",
    "number": f"a number, {_MAX_NUMBER:,} at most",
    "boolean": "true or false",
    "strings": "a text or a list of texts",
}


def check_parameters(given: Mapping[str, object]) -> dict[str, Value]:
    """Read parameters in the types of Ollama, from texts too, as `show_model` returns them; nulls are left out.

    Raises:
        ValueError: One is unknown, or of another type; the text names it, and the nearest known names.
    """
    return {name: _checked(name, value) for name, value in given.items() if value is not None}


def _checked(name: str, value: object) -> Value:
    kind = KNOWN.get(name)
    if kind is None:
        nearest = get_close_matches(name.lower(), KNOWN, 3, 0.5)
        hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"There are: {', '.join(KNOWN)}."
        raise ValueError(f"Ollama has no parameter {name[:60]!r}. {hint}")
    read = _READERS[kind](value)
    if read is None:
        raise ValueError(f"The parameter {name} must be {_EXPECTED[kind]}.")
    if name in _POSITIVE and isinstance(read, int) and read < 1:
        raise ValueError(f"The parameter {name} must be 1 or more.")
    return read


def _integer(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Neither infinity nor what is no number at all passes this.
    return value if abs(value) <= _MAX_NUMBER else None


def _boolean(value: object) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None


def _strings(value: object) -> list[str] | None:
    texts: list[object] = [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType]
    read = [text for text in texts if isinstance(text, str) and text]
    return read if read and len(read) == len(texts) <= _MAX_STRINGS else None


_READERS = {"integer": _integer, "number": _number, "boolean": _boolean, "strings": _strings}
