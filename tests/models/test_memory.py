"""Estimates against what llama.cpp took, and the largest context that fits."""

import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_ollama.models.layers import read_shape
from mcp_ollama.models.memory import MemoryEstimate, estimate_memory, fits_entirely, largest_context
from tests.support.evidence import ENGINE, MEASURED, METADATA, MIB, estimate

GIB = 2**30
LLAMA = read_shape(METADATA["llama3.1:8b"])


@pytest.mark.parametrize("row", MEASURED + ENGINE, ids=lambda row: row["id"])
def test_cache_and_state_equal_those_of_llama_cpp(row: dict[str, Any]) -> None:
    estimated = estimate(row)

    assert estimated.kv_bytes / MIB == pytest.approx(sum(row["kv_mib"]), abs=1)
    assert estimated.state_bytes / MIB == pytest.approx(row.get("rs_mib", 0), abs=1)


def test_compute_buffers_are_near_those_of_llama_cpp() -> None:
    rows = [row for row in ENGINE if row["flash_attention"] != "off" and row["outputs"] == "per_seq"]
    errors = sorted(abs(estimate(row).compute_bytes / MIB - row["compute_mib"]) for row in rows)

    assert len(errors) > 300
    assert statistics.median(errors) <= 24
    assert errors[len(errors) * 9 // 10] <= 100


def test_compute_buffers_without_flash_attention_are_near_too() -> None:
    rows = [row for row in ENGINE if row["flash_attention"] == "off"]
    errors = [abs(estimate(row).compute_bytes / MIB - row["compute_mib"]) for row in rows]

    assert statistics.median(errors) <= 24
    assert max(errors) <= 300


@pytest.mark.parametrize(
    "row",
    [row for row in MEASURED if row["outputs"] == "per_seq" and {"weights_gpu_mib", "ubatch"} <= set(row)],
    ids=lambda row: row["id"],
)
def test_interval_contains_what_a_gpu_held(row: dict[str, Any]) -> None:
    on_gpu = row["weights_gpu_mib"] + sum(row["kv_mib"]) + row.get("rs_mib", 0) + row["compute_mib"]
    on_gpu = row.get("device_total_mib", on_gpu)
    # The embedding of LFM2 is also its output layer: the host holds a second copy of what the GPU has.
    on_host = 0 if row["meta_of"].startswith("lfm2") else row.get("weights_host_mib", 0)
    file_mib = row["weights_gpu_mib"] + on_host

    estimated = estimate(row, weights_bytes=int(file_mib * MIB))

    # The compute buffer itself is estimated to some 10 MiB.
    assert estimated.low_bytes / MIB <= on_gpu + 16
    assert estimated.high_bytes / MIB >= on_gpu


@pytest.mark.parametrize(
    ("model", "context", "micro_batch"),
    [
        ("llama3.1:8b", 4096, 512),
        ("llama3.1:8b", 4097, 1024),
        ("llama3.1:8b", 32_769, 2048),
        ("nomic-embed-text", 8192, 2048),
        ("nomic-embed-text", 512, 512),
    ],
)
def test_micro_batch_follows_the_rule_of_ollama(model: str, context: int, micro_batch: int) -> None:
    estimated = estimate_memory(read_shape(METADATA[model]), weights_bytes=0, context_length=context)

    assert estimated.micro_batch == micro_batch


def test_parts_add_up_to_the_ends_of_the_interval() -> None:
    estimated = estimate_memory(
        LLAMA, weights_bytes=5 * GIB, context_length=8192, projector_bytes=GIB, kv_type="q8_0", micro_batch=512
    )

    embedding = 128_256 * 4096 * 34 // 32
    variable = estimated.kv_bytes + estimated.compute_bytes
    assert estimated == MemoryEstimate(
        weights_bytes=5 * GIB,
        kv_bytes=544 * MIB,
        state_bytes=0,
        compute_bytes=estimated.compute_bytes,
        low_bytes=5 * GIB - embedding + variable,
        high_bytes=6 * GIB + variable + estimated.compute_bytes * 15 // 100 + 460 * MIB,
        micro_batch=512,
        has_sliding_layers=False,
        predicts_tokens=False,
    )


def test_quantized_cache_needs_flash_attention() -> None:
    sizes = {
        kv_type: estimate_memory(
            LLAMA, weights_bytes=0, context_length=8192, kv_type=kv_type, flash_attention=False
        ).kv_bytes
        for kv_type in ("f16", "q8_0", "f32")
    }

    assert sizes == {"f16": GIB, "q8_0": GIB, "f32": 2 * GIB}


def test_unquantized_file_keeps_a_larger_embedding_on_the_host() -> None:
    shapes = [read_shape({**METADATA["llama3.1:8b"], "general.file_type": kind}) for kind in (7, 1)]
    lows = [estimate_memory(shape, weights_bytes=16 * GIB, context_length=4096).low_bytes for shape in shapes]

    assert lows[0] - lows[1] == 128_256 * 4096 * (2 - 34 / 32)


@pytest.mark.parametrize("change", [{"context_length": 0}, {"parallel": 0}, {"micro_batch": 0}, {"kv_type": "q9"}])
def test_argument_out_of_range_is_refused(change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"weights_bytes": 0, "context_length": 4096, **change}

    with pytest.raises(ValueError, match=r"\. (Correct|Use) "):
        estimate_memory(LLAMA, **arguments)


@pytest.mark.parametrize("model", sorted(METADATA))
def test_largest_context_is_the_last_that_fits(model: str) -> None:
    shape = read_shape(METADATA[model])
    weights = 3 * GIB
    found = largest_context(shape, weights_bytes=weights, free_bytes=[12 * GIB])

    def fits(context: int) -> bool:
        one = estimate_memory(shape, weights_bytes=weights, context_length=context)
        return fits_entirely(one, [12 * GIB])

    trained = shape.context_length
    assert trained
    assert found is None or (found % 256 == 0 and fits(found) and found <= trained)
    assert found == trained or not fits((found or 0) + 256)


def test_largest_context_is_none_when_the_weights_do_not_fit() -> None:
    assert largest_context(LLAMA, weights_bytes=9 * GIB, free_bytes=[8 * GIB]) is None


def test_largest_context_without_a_trained_one_ends_at_a_million() -> None:
    assert largest_context(replace(LLAMA, context_length=None), weights_bytes=0, free_bytes=[10**15]) == 2**20


def test_two_gpus_hold_a_larger_context_than_one() -> None:
    one = largest_context(LLAMA, weights_bytes=5 * GIB, free_bytes=[12 * GIB])
    two = largest_context(LLAMA, weights_bytes=5 * GIB, free_bytes=[12 * GIB, 12 * GIB])

    assert one
    assert two
    assert two > one


def test_model_on_two_gpus_needs_two_compute_buffers() -> None:
    estimated = estimate_memory(LLAMA, weights_bytes=10 * GIB, context_length=4096)
    needed = estimated.high_bytes + estimated.compute_bytes + 2 * GIB

    assert fits_entirely(estimated, [needed // 2, needed - needed // 2])
    assert not fits_entirely(estimated, [needed // 2, needed - needed // 2 - 1])
    assert not fits_entirely(estimated, [])


@settings(deadline=None)
@given(
    st.sampled_from(sorted(METADATA)),
    st.integers(1, 300_000),
    st.integers(1, 4),
    st.sampled_from(["f16", "q8_0", "q4_0"]),
    st.booleans(),
)
def test_memory_never_falls_as_the_context_grows(
    model: str, context: int, parallel: int, kv_type: str, flash_attention: bool
) -> None:
    smaller, larger = (
        estimate_memory(
            read_shape(METADATA[model]),
            weights_bytes=GIB,
            context_length=length,
            parallel=parallel,
            kv_type=kv_type,
            flash_attention=flash_attention,
        )
        for length in (context, context + 256)
    )

    assert smaller.high_bytes <= larger.high_bytes
    assert smaller.low_bytes <= smaller.high_bytes
