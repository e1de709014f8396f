"""Recorded memory figures of llama.cpp: logs of real machines, and of its engine without weights."""

import json
from pathlib import Path
from typing import Any

from mcp_ollama.models.layers import read_shape
from mcp_ollama.models.memory import MemoryEstimate, estimate_memory

DATA = Path(__file__).parents[1] / "data" / "memory"
MIB = 2**20


def read_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


METADATA: dict[str, dict[str, Any]] = {row["model"]: row["meta"] for row in read_rows("architectures.jsonl")}


def is_expressible(row: dict[str, Any]) -> bool:
    """Ollama sets none of these, and `estimate_memory` has no argument for them."""
    return not (row["swa_full"] or row.get("rs_snapshots") or row["kv_unified"])


MEASURED = [row for row in read_rows("measured.jsonl") if is_expressible(row)]
ENGINE = [row for row in read_rows("engine.jsonl") if is_expressible(row)]


def estimate(row: dict[str, Any], weights_bytes: int = 0) -> MemoryEstimate:
    return estimate_memory(
        read_shape(METADATA[row["meta_of"]]),
        weights_bytes=weights_bytes,
        context_length=row["context"],
        parallel=row["parallel"],
        kv_type=row["kv_type"],
        flash_attention=row["flash_attention"] != "off",
        micro_batch=row.get("ubatch"),
    )
