"""From what a handler returns or raises to what a host gets, without a host."""

import anyio
import pytest
from pydantic import BaseModel

from mcp_ollama import OllamaError, OllamaSettings
from mcp_ollama.models.app import Timeouts, open_app
from mcp_ollama.models.errors import FailedError, RefusedError
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaAuthorizationError
from mcp_ollama.server.results import META, failure, failure_from, success
from tests.support.client import text_of


class Thing(BaseModel):
    name: str
    size_bytes: int | None = None
    parts: list[str] = []


def test_an_answer_is_the_same_data_twice_without_nulls() -> None:
    result = success(Thing(name="größer\u2028", parts=["a"]))
    assert text_of(result) == '{"name":"größer\u2028","parts":["a"]}'
    assert result.structured_content == {"name": "größer\u2028", "parts": ["a"]}
    assert not result.is_error


@pytest.mark.parametrize(
    ("error", "meta"),
    [
        (OllamaError("It broke.", "Mend it."), {"error": {"kind": "OllamaError"}}),
        (RefusedError("It broke.", "Mend it."), {"error": {"kind": "RefusedError"}}),
        (InvalidModelName("It broke. Mend it."), {"error": {"kind": "InvalidModelName"}}),
        (
            OllamaAuthorizationError("It broke.", "Mend it.", status_code=401),
            {"error": {"kind": "OllamaAuthorizationError", "status_code": 401}},
        ),
        (
            ModelNotFoundError("It broke.", "Mend it.", model="a:latest"),
            {"error": {"kind": "ModelNotFoundError", "status_code": 404, "model": "a:latest"}},
        ),
        (
            FailedError("It broke.", "Mend it.", Thing(name="a")),
            {"error": {"kind": "FailedError"}, "transfer": {"name": "a", "parts": []}},
        ),
    ],
)
def test_our_errors_become_sentences_with_data_beside(
    error: OllamaError | InvalidModelName, meta: dict[str, object]
) -> None:
    result = failure_from(error)
    assert (result.is_error, text_of(result), result.structured_content) == (True, "It broke. Mend it.", None)
    assert result.meta == {f"{META}/{key}": value for key, value in meta.items()}


@pytest.mark.parametrize(("length", "shown"), [(600, 600), (601, 600), (100_000, 600)])
def test_no_sentence_is_too_long(length: int, shown: int) -> None:
    text = text_of(failure("x" * length))
    assert len(text) == shown
    assert text.endswith("…") == (length > shown)


def test_every_call_is_answered_before_hosts_give_up() -> None:
    timeouts = Timeouts()
    assert timeouts.call == 40
    assert 4 * timeouts.check + 5 < timeouts.call
    assert max(timeouts.cancel, timeouts.unload) < timeouts.call
    assert timeouts.progress_interval >= 0.25


async def test_a_server_comes_to_life_and_ends_without_a_connection(nowhere: str) -> None:
    with anyio.fail_after(5):
        async with open_app(OllamaSettings(base_url=nowhere)) as app:
            assert app.ollama.base_url == nowhere
            assert app.timeouts == Timeouts()
            assert app.transfers.snapshots() == []
