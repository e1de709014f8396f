"""Figures and lists as text, for people and models."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

_MAX_NAMED = 5
_DIGEST_DIGITS = 12
_DIGEST = re.compile(r"[0-9a-f]{12}")


def format_bytes(count: float) -> str:
    """Format a number of bytes in decimal units, as `ollama list` does: `1.2 GB`, `48 MB`."""
    units = ["B", "KB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.1f} {units[0]}" if units[0] != "B" and count < 9.95 else f"{count:.0f} {units[0]}"


def format_memory(*counts: int) -> str:
    """Format amounts of memory in units of 1024³ bytes, such as `3.1 of 24.0 GB`."""
    return f"{' of '.join(f'{count / 2**30:.1f}' for count in counts)} GB"


def format_digest(digest: str) -> str:
    """Format a digest as its first 12 hex digits; any other text of a server does not reach a user's question."""
    return digest[:_DIGEST_DIGITS] if _DIGEST.match(digest) else "unknown digest"


def format_duration(seconds: float) -> str:
    """Format a duration: `17 s`, `4 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def format_timestamp(moment: datetime | None) -> str | None:
    """Format a time as ISO 8601 in whole seconds UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z" if moment else None


def join_limited(names: Sequence[str]) -> str:
    """Join at most five names, and add how many more there are."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"
