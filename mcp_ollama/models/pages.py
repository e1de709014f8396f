"""Lists cut to what a client shows whole: some cut the middle out of an answer of more than 10 KB."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

RowT = TypeVar("RowT", bound=BaseModel)

MAX_CHARACTERS = 8_000
"""Of all rows as compact JSON; with its other fields an answer stays under 9,000."""


def fit_rows(rows: Sequence[RowT]) -> list[RowT]:
    """Return the first rows that fit, at least one."""
    left = MAX_CHARACTERS
    for count, row in enumerate(rows):
        left -= len(row.model_dump_json(exclude_none=True)) + 1
        if left < 0:
            return list(rows[: max(count, 1)])
    return list(rows)
