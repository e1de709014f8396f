"""The answer of a search."""

import re
from typing import Literal

from pydantic import BaseModel

Source = Literal["library", "huggingface", "recommended", "cloud"]
Fit = Literal["likely", "unlikely"]

MAX_QUANTIZATIONS = 6
MAX_CHARACTERS = 8_800
"""Of a whole answer in JSON: below the 9,000 that a tool may answer."""
_NAME = re.compile(r"[A-Za-z0-9._/:-]{1,200}", re.ASCII)


class FoundQuantization(BaseModel):
    """A quantization of a repository; one that is not `pullable` has a `reason`."""

    name: str
    size_bytes: int
    pullable: bool
    reason: str | None = None


class FoundModel(BaseModel):
    """A model that can be pulled by `name`; what is left out is unknown."""

    name: str
    source: Source
    size_bytes: int | None = None
    fits: Fit | None = None
    base_model: str | None = None
    author: str | None = None
    parameter_count: int | None = None
    license: str | None = None
    capabilities: list[str] | None = None
    context_length: int | None = None
    description: str | None = None
    downloads: int | None = None
    updated_at: str | None = None
    gated: Literal["auto", "manual"] | None = None
    remote: bool | None = None
    quantizations: list[FoundQuantization] | None = None
    installed: bool | None = None


class SourceReport(BaseModel):
    """The outcome of one source: `partial` lacks some rows, `off` was not searched; `detail` has the reason."""

    name: Source
    status: Literal["ok", "partial", "failed", "off"]
    detail: str | None = None


class SearchResult(BaseModel):
    """Models by source, the best first, with a report of each source.

    `dropped_count` counts rows and files whose names hold characters that names of models do not have.
    """

    models: list[FoundModel]
    sources: list[SourceReport]
    dropped_count: int | None = None
    next_step: str | None = None


def is_presentable(name: str) -> bool:
    """Check that a stranger's name holds only the characters of names, and few enough of them."""
    return _NAME.fullmatch(name) is not None


def estimate_fit(weights_bytes: int | None, memory_bytes: int | None) -> Fit | None:
    """Return whether weights and a fifth more fit into memory, None when either is unknown."""
    if weights_bytes is None or memory_bytes is None:
        return None
    return "likely" if weights_bytes * 6 <= memory_bytes * 5 else "unlikely"


def shorten(result: SearchResult) -> SearchResult:
    """Shorten an answer to `MAX_CHARACTERS`: first the lists of quantizations, then the rows at the end."""
    for kept in (3, 1):
        if _length(result) <= MAX_CHARACTERS:
            return result
        for model in result.models:
            model.quantizations = model.quantizations and _around_choice(model, kept)
    left_out = 0
    while _length(result) > MAX_CHARACTERS and result.models:
        result.models.pop()
        left_out += 1
    if left_out:
        more = f"{left_out} more were left out: search with a smaller limit or fewer sources."
        result.next_step = f"{result.next_step} {more}" if result.next_step else more
    return result


def _around_choice(model: FoundModel, count: int) -> list[FoundQuantization]:
    offers = model.quantizations or []
    chosen = next((index for index, one in enumerate(offers) if model.name.endswith(f":{one.name}")), 0)
    start = max(0, min(chosen - count // 2, len(offers) - count))
    return offers[start : start + count]


def _length(result: SearchResult) -> int:
    return len(result.model_dump_json(exclude_none=True))
