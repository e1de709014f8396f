"""The answer of a search: what fits, and how it is shortened."""

import pytest

from mcp_ollama.models.search.found_model import (
    MAX_CHARACTERS,
    FoundModel,
    FoundQuantization,
    SearchResult,
    estimate_fit,
    is_presentable,
    shorten,
)


def result(rows: int, quantizations: int = 6, name_length: int = 20, next_step: str | None = None) -> SearchResult:
    offers = [FoundQuantization(name=f"T{number}", size_bytes=10**10, pullable=True) for number in range(quantizations)]
    models = [
        FoundModel(name=f"{'n' * name_length}{number}:T4", source="huggingface", quantizations=[*offers])
        for number in range(rows)
    ]
    return SearchResult(models=models, sources=[], next_step=next_step)


def length(answer: SearchResult) -> int:
    return len(answer.model_dump_json(exclude_none=True))


@pytest.mark.parametrize(
    ("weights", "memory", "expected"),
    [(10, 12, "likely"), (10, 11, "unlikely"), (0, 0, "likely"), (None, 12, None), (10, None, None)],
)
def test_fit_needs_a_fifth_more_than_the_weights(weights: int | None, memory: int | None, expected: str | None) -> None:
    assert estimate_fit(weights, memory) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("hf.co/a/b:Q4_K_M", True), ("", False), ("a b", False), ("a\n", False), ("\u0430", False), ("a" * 201, False)],
)
def test_names_of_strangers_are_checked(name: str, expected: bool) -> None:
    assert is_presentable(name) is expected


def test_short_answer_stays_as_it_is() -> None:
    answer = result(5)
    before = answer.model_dump()
    assert shorten(answer).model_dump() == before


def test_long_answer_loses_quantizations_around_the_choice_first() -> None:
    answer = shorten(result(24))
    assert len(answer.models) == 24
    assert [one.name for one in answer.models[0].quantizations or ()] == ["T3", "T4", "T5"]
    answer = shorten(result(40))
    assert len(answer.models) == 40
    assert [one.name for one in answer.models[0].quantizations or ()] == ["T4"]


@pytest.mark.parametrize("next_step", [None, "Call plan_pull."])
def test_longer_answer_loses_rows_at_the_end_and_says_so(next_step: str | None) -> None:
    answer = shorten(result(60, name_length=190, next_step=next_step))
    assert 0 < len(answer.models) < 60
    assert length(answer) <= MAX_CHARACTERS + 100
    assert f"{60 - len(answer.models)} more were left out" in (answer.next_step or "")
    assert (answer.next_step or "").startswith(next_step or "")


def test_row_with_a_later_choice_keeps_it_when_shortened() -> None:
    answer = result(24)
    answer.models[0].name = "n:T0"
    answer.models[1].name = "unlisted"
    shorten(answer)
    assert [[one.name for one in model.quantizations or ()] for model in answer.models[:2]] == [["T0", "T1", "T2"]] * 2


def test_rows_without_quantizations_are_shortened_as_well() -> None:
    answer = result(60, name_length=190)
    for model in answer.models:
        model.quantizations = None
    assert length(shorten(answer)) < 9000
