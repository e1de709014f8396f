"""Labels of quantizations in real file names, and the bits they stand for."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.sources.quantization import BITS_PER_WEIGHT, OBSOLETE, FileName, bits_per_weight, parse_file_name

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "finding" / "filenames.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_file_name_of_a_real_repository_is_parsed(row: dict[str, Any]) -> None:
    part = tuple(row["part"]) if row["part"] else None
    assert parse_file_name(row["file"]) == FileName(row["kind"], row["quant"], part)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", FileName("other", None, None)),
        ("/", FileName("other", None, None)),
        ("X-Q4_K_M.GGUF", FileName("model", "Q4_K_M", None)),
        ("Qwen3-8B-imatrix.dat", FileName("imatrix", None, None)),
        ("X-Q8_0.gguf-split-a", FileName("other", "Q8_0", None)),
        ("a/UD-Q2_K_XL/b.gguf", FileName("model", "UD-Q2_K_XL", None)),
        ("Q4_K_M/a/b.gguf", FileName("model", None, None)),
        ("X-MXFP4_MOE.gguf", FileName("model", "MXFP4_MOE", None)),
        ("X-IQ2XXS.gguf", FileName("model", None, None)),
        ("X-1-of-2-Q4_0.gguf", FileName("model", "Q4_0", None)),
        ("X-\u0660\u0660\u0660\u0660\u0661-of-\u0660\u0660\u0660\u0660\u0662.gguf", FileName("model", None, None)),
        ("$(rm)-Q4_0\n.gguf", FileName("model", None, None)),
    ],
)
def test_file_name_out_of_the_ordinary_is_parsed(name: str, expected: FileName) -> None:
    assert parse_file_name(name) == expected


@given(st.text(max_size=300))
def test_file_name_of_any_text_never_raises(name: str) -> None:
    parsed = parse_file_name(name)
    assert parsed.quantization is None or parsed.quantization == parsed.quantization.upper()


def test_bits_of_every_label_in_the_examples_are_known() -> None:
    labels = {row["quant"] for row in ROWS if row["quant"]}
    assert {label for label in labels if bits_per_weight(label) is None} == set()


def test_bits_of_extended_labels_are_those_of_what_they_extend() -> None:
    pairs = {"UD-Q4_K_XL": "Q4_K", "Q6_K_L": "Q6_K", "MXFP4_MOE": "MXFP4", "Q4_0_4_4": "Q4_0", "UD-IQ1_S": "IQ1_S"}
    assert {label: bits_per_weight(label) for label in pairs} == {
        label: BITS_PER_WEIGHT[known] for label, known in pairs.items()
    }


def test_bits_of_an_unknown_label_are_none() -> None:
    assert bits_per_weight("X9_K") is None
    assert bits_per_weight("") is None


def test_obsolete_formats_are_still_recognized_as_labels() -> None:
    assert {parse_file_name(f"X-{label}.gguf").quantization for label in OBSOLETE} == OBSOLETE
