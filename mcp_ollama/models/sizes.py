"""Sizes as people write them, such as "8 GB"."""

import re

from mcp_ollama.ollama.schemas import MAX_COUNT

LEAST_BARE_BYTES = 1_000_000
"""Bare numbers below it are meant as gigabytes more often than as bytes."""

_TEXT = re.compile(r"\s*(?P<number>\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})\s*(?P<unit>[A-Za-z]*)\s*")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_UNIT = re.compile(r"(?P<prefix>[kmgt]?)(?P<is_binary>i?)b?", re.IGNORECASE)


def parse_size(value: str | float, *, binary: bool) -> int:
    """Parse a size.

    Args:
        value: A number with a unit (`8 GB`, `512MiB`, `1.5t`), or a number of bytes from 1,000,000 on (`2500000 B`).
        binary: Whether GB is 1024³ bytes, as memory is sold, or 1000³, as disks are; GiB is 1024³ in both.

    Returns:
        Bytes.

    Raises:
        ValueError: It is not a size, or more than an int64 holds.
    """
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    unit = _UNIT.fullmatch(found["unit"]) if found else None
    least, number = LEAST_BARE_BYTES, None
    if found and unit:
        base = 1024 if binary or unit["is_binary"] else 1000
        least = 0 if unit["prefix"] else LEAST_BARE_BYTES
        number = float(found["number"]) * base ** _POWERS[unit["prefix"].lower()]
    elif not isinstance(value, str | bool):
        number = value
    if number is None or not least <= number <= MAX_COUNT:
        raise ValueError(f'{str(value)[:40]!r} is not a size: write it with a unit, such as "8 GB".')
    return int(number)
