"""Compare estimates of memory with what llama.cpp took, and print the table of docs/memory.md.

With `--write` the table in docs/memory.md is replaced.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.evidence import ENGINE, MEASURED, MIB, estimate

PAGE = Path(__file__).resolve().parent.parent / "docs" / "memory.md"
BEGIN, END = "<!-- begin: make memory-report -->\n", "<!-- end: make memory-report -->\n"

Row = Mapping[str, Any]


def build_table() -> str:
    """Build the table of accuracies in Markdown."""
    lines = ["| estimated | against | cases | median | 9 of 10 within | worst |", "|---|---|---|---|---|---|"]
    lines += [_line(what, against, sorted(errors)) for what, against, errors in _comparisons() if errors]
    return "\n".join(lines) + "\n"


def replace_table(page: str) -> str:
    """Replace the table between the two marks of a page."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + build_table() + END + rest.partition(END)[2]


def _comparisons() -> Iterator[tuple[str, str, list[float]]]:
    for against, rows in (("engine", ENGINE), ("real machines", MEASURED)):
        with_state = [row for row in rows if "rs_mib" in row]
        yield "KV cache", against, [_error(row, "kv_bytes", sum(row["kv_mib"])) for row in rows]
        yield "recurrent state", against, [_error(row, "state_bytes", row["rs_mib"]) for row in with_state]
        for name, is_on in (("on", True), ("off", False)):
            chosen = [row for row in _with_compute(rows) if (row["flash_attention"] != "off") == is_on]
            yield (
                f"compute, flash attention {name}",
                against,
                [_error(row, "compute_bytes", row["compute_mib"]) for row in chosen],
            )


def _with_compute(rows: Sequence[Row]) -> list[Row]:
    """Leave out builds that kept the logits of a whole micro-batch, as none of Ollama does since 0.31."""
    return [row for row in rows if row["outputs"] == "per_seq" and "ubatch" in row and "compute_mib" in row]


def _error(row: Row, part: str, expected_mib: float) -> float:
    return abs(getattr(estimate(dict(row)), part) / MIB - expected_mib)


def _line(what: str, against: str, errors: Sequence[float]) -> str:
    figures = (statistics.median(errors), errors[len(errors) * 9 // 10], errors[-1])
    return f"| {what} | {against} | {len(errors)} | " + " | ".join(f"{figure:.2f} MiB" for figure in figures) + " |"


def main() -> None:
    """Print the table, or write it into the page."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(build_table(), end="")


if __name__ == "__main__":
    main()
