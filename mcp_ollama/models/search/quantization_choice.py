"""The quantizations that a repository offers, and the one to pull."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_ollama.models.search.found_model import MAX_QUANTIZATIONS, FoundQuantization, estimate_fit
from mcp_ollama.sources.hub_answers import HubFile
from mcp_ollama.sources.quantization import OBSOLETE, FileName, bits_per_weight, parse_file_name

PREFERRED = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "IQ4_XS", "MXFP4")
"""When the memory is unknown, the first of these; `Q4_K_M` is what Hugging Face answers `latest` with."""
USUAL_BITS = 4.8
MOST_BITS = 8.5
"""Of `Q8_0`: more bits cost memory and change nothing that can be measured."""
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offer:
    """A quantization: `tag` to pull it by, bytes with the projector, and `reason` when it cannot be pulled."""

    tag: str
    size_bytes: int
    bits: float | None
    reason: str | None = None


def list_offers(files: Iterable[HubFile]) -> list[Offer]:
    """Build the offers of a repository, the largest first.

    Of several files with one label the alphabetically first is served. A file without a label is offered by its own
    name, if no file has a label. A projector is pulled with the weights, so that its bytes count.
    """
    parsed = [(file, parse_file_name(file.path)) for file in files]
    projector = projector_bytes(parsed)
    by_label: dict[str | None, list[tuple[HubFile, FileName]]] = {}
    for file, name in parsed:
        if name.kind == "model" and (name.quantization or "").removeprefix("UD-") not in OBSOLETE:
            by_label.setdefault(name.quantization, []).append((file, name))
    unlabelled = by_label.pop(None, [])
    offers = [_offer(label or "", same, projector) for label, same in by_label.items()]
    offers = offers or [
        Offer(tag, file.size_bytes + projector, None)
        for file, name in unlabelled
        if not name.part and _TAG.fullmatch(tag := file.path.rpartition("/")[2])
    ]
    return sorted(offers, key=lambda offer: -offer.size_bytes)


def projector_bytes(parsed: Iterable[tuple[HubFile, FileName]]) -> int:
    """Return the bytes of the projector that is pulled with the weights, 0 without one; F16 is the usual choice."""
    projectors = [(name.quantization != "F16", file.size_bytes) for file, name in parsed if name.kind == "mmproj"]
    return min(projectors)[1] if projectors else 0


def choose_offer(offers: Sequence[Offer], memory_bytes: int | None, wanted: str | None = None) -> Offer | None:
    """Return the offer to pull, None when none can be pulled.

    The wanted one, with or without `UD-` in front, if it can be pulled. Else the largest that is likely to fit into
    memory, `Q8_0` at most; the smallest when none is; when the memory is unknown, the first of `PREFERRED`, else the
    one nearest to 4.8 bits.
    """
    pullable = [offer for offer in offers if not offer.reason]
    named = [offer for offer in pullable if wanted and offer.tag.upper() in (wanted, f"UD-{wanted}")]
    if named:
        return min(named, key=lambda offer: len(offer.tag))
    candidates = [offer for offer in pullable if offer.bits is None or offer.bits <= MOST_BITS] or pullable
    if not candidates:
        return None
    if memory_bytes is None:
        return min(candidates, key=_distance_from_usual)
    fitting = [offer for offer in candidates if estimate_fit(offer.size_bytes, memory_bytes) == "likely"]
    if fitting:
        return max(fitting, key=lambda offer: offer.size_bytes)
    return min(candidates, key=lambda offer: offer.size_bytes)


def rows_around(offers: Sequence[Offer], chosen: Offer) -> list[FoundQuantization]:
    """Return at most six offers as rows, those next to the chosen one in size."""
    start = max(0, min(offers.index(chosen) - MAX_QUANTIZATIONS // 2, len(offers) - MAX_QUANTIZATIONS))
    return [
        FoundQuantization(
            name=offer.tag, size_bytes=offer.size_bytes, pullable=offer.reason is None, reason=offer.reason
        )
        for offer in offers[start : start + MAX_QUANTIZATIONS]
    ]


def _offer(label: str, same: list[tuple[HubFile, FileName]], projector: int) -> Offer:
    first, name = same[0]
    if name.part is None:
        return Offer(label, first.size_bytes + projector, bits_per_weight(label))
    total = name.part[1]
    size = sum(file.size_bytes for file, other in same if other.part and other.part[1] == total)
    return Offer(label, size + projector, bits_per_weight(label), f"split into {total} files, which cannot be pulled")


def _distance_from_usual(offer: Offer) -> tuple[int, float]:
    rank = PREFERRED.index(offer.tag) if offer.tag in PREFERRED else len(PREFERRED)
    return rank, abs((offer.bits or MOST_BITS) - USUAL_BITS)
