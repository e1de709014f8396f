"""The quantizations of a repository, and which of them is pulled."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.models.search.quantization_choice import Offer, choose_offer, list_offers, rows_around
from mcp_ollama.sources.hub_answers import HubFile, parse_tree

GB = 10**9
TREES = json.loads((Path(__file__).parents[2] / "data" / "finding" / "hf_tree.json").read_text("utf-8"))["exchanges"]


def offers_of(repository: str) -> list[Offer]:
    tree: list[dict[str, Any]] = next(
        one["response"]["body"] for one in TREES if f"/{repository}/tree" in one["request"]["url"]
    )
    return list_offers(parse_tree(json.dumps(tree).encode())[0])


def offer(tag: str, size: int, bits: float | None = 4.0, reason: str | None = None) -> Offer:
    return Offer(tag, size * GB, bits, reason)


def chosen(offers: list[Offer], memory: float | None = None) -> str | None:
    found = choose_offer(offers, None if memory is None else int(memory * GB))
    return found.tag if found else None


def test_offers_of_a_real_repository_are_sorted_by_size() -> None:
    offers = offers_of("bartowski/Llama-3.2-1B-Instruct-GGUF")
    assert [one.tag for one in offers] == [
        "F16", "Q8_0", "Q6_K_L", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ3_M",
    ]  # fmt: skip
    assert all(one.reason is None for one in offers)


def test_offers_count_the_projector_that_is_pulled_with_them() -> None:
    sizes = {one.tag: one.size_bytes for one in offers_of("ggml-org/gemma-3-4b-it-GGUF")}
    assert sizes["Q4_K_M"] == 2489757856 + 851251104


def test_offers_of_several_projectors_count_the_f16_one() -> None:
    files = [HubFile("m-Q4_0.gguf", 100), HubFile("mmproj-BF16.gguf", 7), HubFile("mmproj-F16.gguf", 9)]
    assert list_offers(files)[0].size_bytes == 109


def test_split_quantization_has_the_bytes_of_its_parts() -> None:
    split = [one for one in offers_of("unsloth/Qwen3-30B-A3B-GGUF") if one.reason]
    assert [(one.tag, one.reason) for one in split] == [("BF16", "split into 2 files, which cannot be pulled")]
    assert split[0].size_bytes > 60 * GB


def test_offers_of_split_files_only_choose_nothing() -> None:
    offers = offers_of("owalsh/SmolLM2-135M-Instruct-GGUF-Split")
    assert offers
    assert chosen(offers) is None


def test_first_of_two_files_with_one_label_is_offered() -> None:
    files = [HubFile("a-Q4_0.gguf", 1), HubFile("b-Q4_0.gguf", 2)]
    assert [(one.tag, one.size_bytes) for one in list_offers(files)] == [("Q4_0", 1)]


def test_file_without_a_label_is_offered_by_its_own_name() -> None:
    unlabelled = HubFile("folder/Codestral-22B-v0.1.gguf", 5)
    assert [one.tag for one in list_offers([unlabelled])] == ["Codestral-22B-v0.1.gguf"]
    assert [one.tag for one in list_offers([unlabelled, HubFile("x-Q2_K.gguf", 1)])] == ["Q2_K"]
    assert list_offers([HubFile("model-00001-of-00002.gguf", 5), HubFile("n" * 80 + ".gguf", 5)]) == []


def test_obsolete_formats_are_not_offered() -> None:
    assert list_offers([HubFile("x-Q4_0_4_4.gguf", 1), HubFile("imatrix.gguf", 1)]) == []


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(None, "Q4_K_M"), (100, "Q8_0"), (1.32, "Q6_K_L"), (1, "Q4_K_M"), (0.9, "IQ4_XS"), (0.5, "IQ3_M"), (0, "IQ3_M")],
)
def test_choice_is_the_largest_that_fits_below_q8(memory: float | None, expected: str) -> None:
    assert chosen(offers_of("bartowski/Llama-3.2-1B-Instruct-GGUF"), memory) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"Q8_0": 8.5, "UD-Q4_K_XL": 4.9, "Q5_K_M": 5.7}, "UD-Q4_K_XL"),
        ({"Q8_0": 8.5, "Q5_K_M": 5.7, "Q2_K": 3.1}, "Q5_K_M"),
        ({"F16": 16.0, "BF16": 16.0}, "F16"),
        ({"name.gguf": None}, "name.gguf"),
    ],
)
def test_choice_without_memory_is_the_usual_or_nearest(tags: dict[str, float | None], expected: str) -> None:
    assert chosen([offer(tag, 5, bits) for tag, bits in tags.items()]) == expected


def test_wanted_quantization_is_chosen_with_or_without_its_prefix() -> None:
    offers = [offer("Q8_0", 9), offer("UD-Q4_K_XL", 6), offer("UD-Q4_K_M", 5), offer("Q4_K_M", 4)]

    assert [one and one.tag for one in (choose_offer(offers, None, wanted) for wanted in ("Q4_K_XL", "Q4_K_M"))] == [
        "UD-Q4_K_XL",
        "Q4_K_M",
    ]


def test_choice_is_never_one_that_cannot_be_pulled() -> None:
    assert chosen([offer("Q4_K_M", 5, reason="split"), offer("Q2_K", 2)], 100) == "Q2_K"
    assert chosen([]) is None


@pytest.mark.parametrize(("index", "first"), [(0, 0), (3, 0), (5, 2), (9, 4)])
def test_rows_are_six_around_the_choice(index: int, first: int) -> None:
    offers = [offer(f"T{number}", 20 - number) for number in range(10)]
    rows = rows_around(offers, offers[index])
    assert [one.name for one in rows] == [f"T{number}" for number in range(first, first + 6)]
    assert rows_around(offers[:2], offers[1])[0].name == "T0"
