"""The order of repositories, and which are left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.models.search.query import parse_query
from mcp_ollama.models.search.ranking import Ranking, is_capable, rank_repositories, stated_parameters
from mcp_ollama.sources.hub_answers import Repository, parse_page

FOLDER = Path(__file__).parents[2] / "data" / "finding"


def recorded(name: str) -> list[Repository]:
    exchanges = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["exchanges"]
    pages = [parse_page(json.dumps(one["response"]["body"]).encode()) for one in exchanges]
    return [repository for page in pages for repository in page.repositories]


def repository(name: str, base: str = "", *tags: str, **fields: Any) -> Repository:
    models = {"relation": fields.pop("relation", "quantized"), "models": [{"id": base}]} if base else None
    return Repository.model_validate({"id": name, "tags": ["conversational", *tags], "baseModels": models, **fields})


def ranked(rows: list[Repository], query: str = "", **arguments: Any) -> Ranking:
    return rank_repositories(rows, parse_query(query), **arguments)


def ids(ranking: Ranking) -> list[str]:
    return [one.id for one in ranking.repositories]


def test_recorded_rows_make_one_row_per_base_model() -> None:
    assert ids(ranked(recorded("hf_search"), "qwen")) == [
        "unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
        "unsloth/Qwen3-30B-A3B-GGUF",
        "unsloth/Qwen3.8-27B-GGUF",
        "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        "Qwen/Qwen2.5-3B-Instruct-GGUF",
    ]


def test_recorded_traps_leave_chat_models_only() -> None:
    ranking = ranked(recorded("hf_search_traps"))
    assert ids(ranking) == [
        "unsloth/Qwen3-235B-A22B-Instruct-2507-GGUF",
        "owalsh/SmolLM2-135M-Instruct-GGUF-Split",
        "meta-llama-official/Llama-3.2-1B-Instruct-GGUF",
        "example-lab/gated-model-GGUF",
        "example-user/bare-row",
    ]
    assert ranking.left_out == 4


@pytest.mark.parametrize("word", ["heretic", "guard"])
def test_special_variant_comes_when_the_query_has_its_word(word: str) -> None:
    row = repository(f"user/Model-{word}-GGUF")
    assert ids(ranked([row])) == []
    assert ids(ranked([row], f"model {word}")) == [row.id]


def test_embedding_models_come_when_asked_for() -> None:
    rows = [repository("a/chat"), repository("b/x", pipeline_tag="feature-extraction"), repository("c/nomic-embed")]
    assert ids(ranked(rows)) == ["a/chat"]
    assert ids(ranked(rows, capability="embedding")) == ["b/x", "c/nomic-embed", "a/chat"]
    assert ids(ranked(rows, "embedding")) == ["a/chat", "b/x", "c/nomic-embed"]


@pytest.mark.parametrize("fields", [{"private": True}, {"disabled": True}, {"base": "o/m", "relation": "adapter"}])
def test_repository_that_cannot_be_used_is_left_out(fields: dict[str, Any]) -> None:
    ranking = ranked([repository("user/x", **fields)])
    assert ranking == Ranking((), 0)


def test_authors_within_a_base_model_are_ordered_by_trust() -> None:
    authors = ["Maker", "ggml-org", "unsloth", "bartowski", "lmstudio-community", "mradermacher", "zoe", "adam"]
    rows = [repository(f"{author}/M-GGUF", "maker/M", downloads=10 - number) for number, author in enumerate(authors)]
    while rows:
        expected = rows[0].id
        assert ids(ranked(rows[::-1])) == [expected]
        del rows[0]


def test_base_model_is_guessed_from_the_name_when_unknown() -> None:
    rows = [
        repository("unsloth/M-7B-GGUF"),
        repository("mradermacher/M-7B-i1-GGUF"),
        repository("bartowski/Org_M-7B-GGUF"),
    ]
    assert ids(ranked(rows)) == ["unsloth/M-7B-GGUF"]
    assert ids(ranked([repository("bartowski/Plain-GGUF")])) == ["bartowski/Plain-GGUF"]


def test_models_that_state_too_many_parameters_come_last() -> None:
    rows = [repository("u/M-70B-GGUF"), repository("u/M-8B-GGUF"), repository("u/M-GGUF")]
    assert ids(ranked(rows, memory_bytes=12 * 10**9)) == ["u/M-8B-GGUF", "u/M-GGUF", "u/M-70B-GGUF"]
    assert ids(ranked(rows))[0] == "u/M-70B-GGUF"


def test_models_without_a_chat_template_come_last() -> None:
    base = Repository.model_validate({"id": "u/base", "tags": ["gguf"]})
    assert ids(ranked([base, repository("u/chat")])) == ["u/chat", "u/base"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("unsloth/Qwen3-30B-A3B-GGUF", 30e9),
        ("u/Mixtral-8x7B", 56e9),
        ("u/qwen2.5-0.5b-instruct", 0.5e9),
        ("u/SmolLM2-135M", None),
        ("u/b", None),
    ],
)
def test_parameters_that_a_name_states_are_read(name: str, parameters: float | None) -> None:
    assert stated_parameters(name) == parameters


@pytest.mark.parametrize(
    ("capability", "expected"), [("", True), ("completion", True), ("vision", True), ("tools", False)]
)
def test_capability_is_what_the_row_states(capability: str, expected: bool) -> None:
    row = repository("u/m", pipeline_tag="image-text-to-text")
    assert is_capable(row, capability) is expected
