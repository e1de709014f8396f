"""The parameters that a model can be made with: Ollama takes unknown names in silence, and misspelt ones do nothing."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

Kind = Literal["whole", "number", "truth", "texts"]
Value = int | float | bool | list[str]

KNOWN: dict[str, Kind] = {
    "frequency_penalty": "number",
    "main_gpu": "whole",
    "min_p": "number",
    "num_batch": "whole",
    "num_ctx": "whole",
    "num_gpu": "whole",
    "num_keep": "whole",
    "num_predict": "whole",
    "num_thread": "whole",
    "presence_penalty": "number",
    "repeat_last_n": "whole",
    "repeat_penalty": "number",
    "seed": "whole",
    "stop": "texts",
    "temperature": "number",
    "top_k": "whole",
    "top_p": "number",
    "typical_p": "number",
    "use_mmap": "truth",
}
"""Ollama's `api.Options` and `api.Runner` of 0.33."""

_POSITIVE = ("num_ctx", "num_batch")
_MAX_WHOLE = 2**31 - 1
_MAX_TEXTS = 100
_MUST_BE: dict[Kind, str] = {
    "whole": f"a whole number, {_MAX_WHOLE:,} at most",
    "number": f"a number, {_MAX_WHOLE:,} at most",
    "truth": "true or false",
    "texts": "a text or a list of texts",
}


def check_parameters(given: Mapping[str, object]) -> dict[str, Value]:
    """Read parameters as Ollama would have them; texts, as `show_model` gives them, are read, and nulls left out.

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
        raise ValueError(f"The parameter {name} must be {_MUST_BE[kind]}.")
    if name in _POSITIVE and isinstance(read, int) and read < 1:
        raise ValueError(f"The parameter {name} must be 1 or more.")
    return read


def _whole(value: object) -> int | None:
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
    return value if abs(value) <= _MAX_WHOLE else None


def _truth(value: object) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None


def _texts(value: object) -> list[str] | None:
    texts: list[object] = [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType]
    read = [text for text in texts if isinstance(text, str) and text]
    return read if read and len(read) == len(texts) <= _MAX_TEXTS else None


_READERS = {"whole": _whole, "number": _number, "truth": _truth, "texts": _texts}
