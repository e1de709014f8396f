"""Results and errors of MCP, made from what handlers return and raise."""

import anyio
import pytest
from pydantic import BaseModel

from mcp_ollama import OllamaError, OllamaSettings
from mcp_ollama.models.app import Timeouts, open_app
from mcp_ollama.models.errors import FailedError, RefusedError
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    ModelNotFoundError,
    OllamaAuthorizationError,
    OllamaResponseError,
)
from mcp_ollama.server.results import MAX_DEFAULT_TEXT, META, LastAnswers, failure, failure_from, success
from tests.support.client import text_of


class Thing(BaseModel):
    name: str
    size_bytes: int | None = None
    parts: list[str] = []


def test_result_holds_the_same_data_twice_without_nulls() -> None:
    result = success(Thing(name="größer\u2028", parts=["a"]), {})
    assert text_of(result) == '{"name":"größer\u2028","parts":["a"]}'
    assert result.structured_content == {"name": "größer\u2028", "parts": ["a"]}
    assert not result.is_error


def test_equal_answer_to_equal_arguments_is_formatted_once() -> None:
    answers = LastAnswers()
    first = answers.success(Thing(name="a", parts=["b"]), {"limit": 2})
    assert answers.success(Thing(name="a", parts=["b"]), {"limit": 2}) is first


@pytest.mark.parametrize(("parts", "arguments"), [(["c"], {"limit": 2}), (["b"], {"limit": 3})])
def test_other_answer_or_other_arguments_are_formatted_again(parts: list[str], arguments: dict[str, int]) -> None:
    answers = LastAnswers()
    first = answers.success(Thing(name="a", parts=["b"]), {"limit": 2})
    result = answers.success(Thing(name="a", parts=parts), arguments)
    assert result is not first
    assert result.structured_content == {"name": "a", "parts": parts}


@pytest.mark.parametrize(
    ("error", "meta"),
    [
        (OllamaError("It broke.", "Repair it."), {"error": {"kind": "OllamaError"}}),
        (RefusedError("It broke.", "Repair it."), {"error": {"kind": "RefusedError"}}),
        (InvalidModelName("It broke. Repair it."), {"error": {"kind": "InvalidModelName"}}),
        (
            OllamaAuthorizationError("It broke.", "Repair it.", status_code=401),
            {"error": {"kind": "OllamaAuthorizationError", "status_code": 401}},
        ),
        (
            ModelNotFoundError("It broke.", "Repair it.", model="a:latest"),
            {"error": {"kind": "ModelNotFoundError", "status_code": 404, "model": "a:latest"}},
        ),
        (
            FailedError("It broke.", "Repair it.", Thing(name="a")),
            {"error": {"kind": "FailedError"}, "transfer": {"name": "a", "parts": []}},
        ),
    ],
)
def test_expected_error_becomes_a_sentence_with_data_in_meta(
    error: OllamaError | InvalidModelName, meta: dict[str, object]
) -> None:
    result = failure_from(error)
    assert (result.is_error, text_of(result), result.structured_content) == (True, "It broke. Repair it.", None)
    assert result.meta == {f"{META}/{key}": value for key, value in meta.items()}


@pytest.mark.parametrize(("length", "shown"), [(600, 600), (601, 600), (100_000, 600)])
def test_error_text_is_truncated(length: int, shown: int) -> None:
    text = text_of(failure("x" * length))
    assert len(text) == shown
    assert text.endswith("…") == (length > shown)


def test_default_timeouts_end_before_those_of_clients() -> None:
    timeouts = Timeouts()
    assert timeouts.call == 40
    assert 4 * timeouts.check + 5 < timeouts.call
    assert max(timeouts.cancel, timeouts.unload) < timeouts.call
    assert timeouts.progress_interval >= 0.25


async def test_app_starts_and_ends_without_a_connection(nowhere: str) -> None:
    with anyio.fail_after(5):
        async with open_app(OllamaSettings(base_url=nowhere)) as app:
            assert app.ollama.base_url == nowhere
            assert app.timeouts == Timeouts()
            assert app.transfers.snapshots() == []


class Page(BaseModel):
    rows: list[str]
    short: list[int] = [1]
    next_offset: int | None = None


class Listing(BaseModel):
    rows: list[str]
    next_step: str | None = None


class TwoListings(BaseModel):
    rows: list[str]
    names: list[str]
    next_step: str | None = None


class Text(BaseModel):
    text: str


ROWS = [f"{number:0100d}" for number in range(200)]


def test_page_with_default_arguments_ends_early_with_the_next_offset() -> None:
    result = success(Page(rows=ROWS), {"offset": 40})
    answer = result.structured_content
    assert answer
    assert 8_500 < len(text_of(result)) <= MAX_DEFAULT_TEXT
    kept = len(answer["rows"])
    assert answer == {"rows": ROWS[:kept], "short": [1], "next_offset": 40 + kept}


@pytest.mark.parametrize("advice", [None, "Look."])
def test_listing_with_default_arguments_counts_its_missing_rows(advice: str | None) -> None:
    result = success(Listing(rows=ROWS, next_step=advice), {})
    answer = result.structured_content
    assert answer
    assert 8_500 < len(text_of(result)) <= MAX_DEFAULT_TEXT
    left = 200 - len(answer["rows"])
    assert answer["next_step"] == f"{advice or ''} {left} more of rows are left out.".strip()


def test_answer_with_two_long_lists_shortens_both() -> None:
    result = success(TwoListings(rows=ROWS * 10, names=ROWS * 8), {})
    answer = result.structured_content
    assert answer
    assert len(text_of(result)) <= MAX_DEFAULT_TEXT
    left = 1600 - len(answer["names"])
    assert answer["next_step"] == f"1,999 more of rows are left out. {left:,} more of names are left out."


@pytest.mark.parametrize("chosen", [{"limit": 200}, {"include": ["license"]}])
def test_answer_whose_size_the_caller_chose_is_complete(chosen: dict[str, object]) -> None:
    answer = success(Page(rows=ROWS), chosen).structured_content
    assert answer == {"rows": ROWS, "short": [1]}


def test_one_huge_row_is_kept() -> None:
    answer = success(Page(rows=["x" * 10_000]), {}).structured_content
    assert answer
    assert len(answer["rows"]) == 1
    assert "next_offset" not in answer


def test_long_answer_without_lists_is_kept() -> None:
    assert success(Thing(name="x" * 10_000, parts=[]), {}).structured_content == {"name": "x" * 10_000, "parts": []}
    assert success(Text(text="x" * 10_000), {}).structured_content == {"text": "x" * 10_000}


def test_answer_of_an_impossible_length_is_refused() -> None:
    with pytest.raises(OllamaResponseError, match="The answer is too large: 150,0"):
        success(Text(text="x" * 150_000), {})
