"""How long a model stays in memory, as Ollama reads it."""

import math
import re

from mcp_ollama.models.errors import RefusedError

YEAR_SECONDS = 365 * 86_400

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"({_PART.pattern})+")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


def parse_keep_alive(text: str) -> float | None:
    """Parse `keep_alive`: seconds, -1 for forever, None for the server's own setting.

    Raises:
        RefusedError: It is none of these, or not between a second and a year. Ollama drops the model at once
            for huge numbers, and refuses `"5"`.
    """
    text = text.strip()
    if not text:
        return None
    if text.startswith("-") and _seconds(text[1:]) is not None:
        return -1
    seconds = _seconds(text)
    if seconds is None or not 1 <= seconds <= YEAR_SECONDS:
        raise RefusedError(
            f"keep_alive cannot be {text[:40]!r}.",
            "It may be 5m, 1h30m, a number of seconds from 1 to a year, or -1 for forever; unload_model drops a model.",
        )
    return math.floor(seconds) if seconds == math.floor(seconds) else seconds


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if len(text) > 40 or not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
