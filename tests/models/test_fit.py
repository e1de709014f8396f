"""Verdicts on models, and what a report says about itself."""

from typing import Any

import pytest

from mcp_ollama.models.fit import FitQuery, Measured, MemoryReport, default_context, free_bytes, report_memory
from mcp_ollama.models.hardware import Gpu, Ram
from mcp_ollama.models.machine import Memory, parse_memory
from tests.support.evidence import METADATA

GIB = 2**30
LLAMA = FitQuery(METADATA["llama3.1:8b"], weights_bytes=5 * GIB, context_length=8192)


def test_report_of_a_model_that_fits() -> None:
    report = report_memory(LLAMA, parse_memory("24GB"))

    assert report.model_dump(exclude={"notes", "compute_bytes", "low_bytes", "high_bytes"}, exclude_none=True) == {
        "context_length": 8192,
        "weights_bytes": 5 * GIB,
        "kv_bytes": GIB,
        "available_bytes": 24 * GIB,
        "available_from": "operator",
        "verdict": "fits",
        "largest_context_length": 131_072,
        "assumptions": {"kv_type": "f16", "parallel": 1, "flash_attention": True, "micro_batch": 1024},
    }
    assert report.low_bytes
    assert report.high_bytes
    assert report.low_bytes < report.high_bytes
    assert report.notes == [
        "KV type, parallel, flash attention and micro-batch are assumed: the server does not report its own."
    ]


@pytest.mark.parametrize(
    ("memory", "verdict"),
    [
        ("8GB", "fits"),
        ("7GB", "tight"),
        ("5GB", "spills"),
        ("gpu:5GB ram:32GB", "spills"),
        ("gpu:1GB ram:2GB", "no"),
        ("gpu:4GB,5GB", "tight"),
        ("gpu:6GB,6GB", "fits"),
        ("ram:16GB", "fits"),
        ("ram:8GB", "fits"),
        ("ram:7GB", "tight"),
        ("ram:6GB", "no"),
    ],
)
def test_verdict_follows_from_the_ends_of_the_interval(memory: str, verdict: str) -> None:
    assert report_memory(LLAMA, parse_memory(memory)).verdict == verdict


@pytest.mark.parametrize("memory", [None, Memory(None, Ram(GIB, GIB), "machine"), Memory((), None, "machine")])
def test_unknown_memory_reports_the_need_without_a_verdict(memory: Memory | None) -> None:
    report = report_memory(LLAMA, memory)

    assert (report.verdict, report.available_bytes, report.available_from) == ("unknown", None, None)
    assert report.largest_context_length is None
    assert report.high_bytes
    assert "MCP_OLLAMA_MEMORY" in report.notes[-1]


def test_unified_memory_is_not_counted_twice() -> None:
    memory = Memory((Gpu("Apple", 5 * GIB, 5 * GIB, is_unified=True),), Ram(8 * GIB, 8 * GIB), "machine")

    assert report_memory(LLAMA, memory).verdict == "no"


def test_idle_models_make_way() -> None:
    memory = Memory((Gpu("RTX", 24 * GIB, 2 * GIB),), Ram(32 * GIB, 16 * GIB), "machine")

    assert report_memory(LLAMA, memory).verdict == "spills"
    assert report_memory(LLAMA, memory, evictable_bytes=20 * GIB).verdict == "fits"
    assert free_bytes(memory, 100 * GIB) == [24 * GIB]


@pytest.mark.parametrize(
    ("change", "memory", "words"),
    [
        ({}, "ram:16GB", "runs on the CPU"),
        ({}, "4GB", "Some layers run on the CPU"),
        ({}, "4GB", "The RAM is unknown"),
        ({}, "24GB,24GB", "a compute buffer on each"),
        ({"projector_bytes": GIB}, "24GB", "Images and audio"),
        ({"metadata": METADATA["gemma3:4b"]}, "24GB", "sliding layers"),
        ({"context_length": 10**6}, "24GB", "trained for 131,072 tokens: Ollama reduces 1,000,000"),
        ({"metadata": {**METADATA["llama3.1:8b"], "llama.nextn_predict_layers": 1}}, "24GB", "MTP"),
    ],
)
def test_note_states_what_the_estimate_leaves_open(change: dict[str, Any], memory: str, words: str) -> None:
    fields = {name: getattr(LLAMA, name) for name in ("metadata", "weights_bytes", "context_length")}

    report = report_memory(FitQuery(**{**fields, **change}), parse_memory(memory))

    assert words in " ".join(report.notes)


def test_assumed_machine_is_stated() -> None:
    memory = Memory((Gpu("RTX", 24 * GIB, 24 * GIB),), None, "machine_assumed")

    report = report_memory(LLAMA, memory)

    assert report.available_from == "machine_assumed"
    assert report.notes[-1].startswith("That Ollama runs on this machine is assumed")


@pytest.mark.parametrize(
    ("fit", "reason", "note"),
    [
        (FitQuery(None, GIB), "", "Only the weights can be estimated: the head of the weights file is unavailable."),
        (FitQuery(None, GIB), "It is a cloud model.", "It is a cloud model."),
        (FitQuery({}, GIB), "", "Only the weights can be estimated: the file does not state its architecture."),
    ],
)
def test_model_without_a_shape_has_weights_only(fit: FitQuery, reason: str, note: str) -> None:
    report = report_memory(fit, parse_memory("24GB"), reason=reason)

    assert report == MemoryReport(
        weights_bytes=GIB, available_bytes=24 * GIB, available_from="operator", verdict="unknown", notes=[note]
    )


@pytest.mark.parametrize(
    ("text", "context"), [("ram:64GB", 4096), ("16GB", 4096), ("24GB", 32_768), ("24GB,24GB", 262_144)]
)
def test_default_context_follows_the_memory_of_all_gpus(text: str, context: int) -> None:
    assert default_context(parse_memory(text)) == context


def test_context_left_out_is_the_default_of_the_server() -> None:
    fit = FitQuery(METADATA["llama3.1:8b"], weights_bytes=5 * GIB)

    assert report_memory(fit, parse_memory("24GB")).context_length == 32_768
    assert report_memory(fit, None).context_length == 4096


@pytest.mark.parametrize(
    ("model", "context", "expected"),
    [("llama3.1:8b", 8192, 6 * GIB), ("llama3.1:8b", 4096, None), ("gemma3:4b", 8192, None)],
)
def test_measured_figure_stands_beside_only_the_same_load(model: str, context: int, expected: int | None) -> None:
    fit = FitQuery(METADATA[model], weights_bytes=5 * GIB, context_length=8192)

    report = report_memory(fit, None, measured=Measured(context, 6 * GIB))

    assert report.measured_bytes == expected


def test_recurrent_state_is_reported_where_there_is_one() -> None:
    fit = FitQuery(METADATA["qwen3.6:27b"], weights_bytes=17 * GIB, context_length=8192)

    assert report_memory(fit, None).state_bytes == 149.625 * 2**20
