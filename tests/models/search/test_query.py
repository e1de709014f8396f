"""The words of a question, and the names among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.models.search.query import parse_query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("   ", ()),
        ("a coding model with tools for 12 GB", ("coder",)),
        ("Which model fits my 24GB GPU best?", ()),
        ("Qwen3 Coder 30B, please", ("qwen3", "coder", "30b")),
        ("llama3.2:3b", ("llama3.2", "3b")),
        ("llama 3 in 16 gib of ram", ("llama", "3")),
        ("qwen3 8b q4_k_m", ("qwen3", "8b")),
        ("https://huggingface.co/bartowski/Llama-3.2-1B-Instruct-GGUF", ("bartowski/llama-3.2-1b-instruct-gguf",)),
        ("hf.co/user/repo:Q4_K_M", ("user/repo",)),
        ("https://huggingface.co/user/repo/blob/main/repo-Q4_K_M.gguf?show_file_info=1", ("user/repo",)),
        ("https://huggingface.co/user/repo/tree/main", ("user/repo",)),
        ("https://ollama.com/library/qwen3/tags", ("qwen3",)),
        ("embeddings", ("embedding",)),
        ("qwen3\u2011coder", ("qwen3", "coder")),
        ("gemma gemma Gemma", ("gemma",)),
        ("a1 b2 c3 d4 e5 f6 g7", ("a1", "b2", "c3", "d4", "e5", "f6")),
        ("0.5 GB smollm2", ("smollm2",)),
    ],
)
def test_words_that_name_no_model_are_dropped(text: str, words: tuple[str, ...]) -> None:
    assert parse_query(text).words == words


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen3", "qwen3:latest"),
        ("Qwen3:8B", "qwen3:8b"),
        ("qwen3 8b", "qwen3:8b"),
        ("the qwen3 model", "qwen3:latest"),
        ("user/model:tag", "user/model:tag"),
        ("https://ollama.com/library/qwen3:8b", "qwen3:8b"),
        ("https://ollama.com/library/qwen3/tags", "qwen3:latest"),
        ("https://ollama.com/user/model", "user/model:latest"),
        ("gpt-oss:120b-cloud", "gpt-oss:120b-cloud"),
        ("qwen3 coder", None),
        ("qwen3 coder 30b", None),
        ("a coding model", None),
        ("hf.co/user/repo:Q4_K_M", None),
        ("a/b/c/d", None),
        ("m:local:cloud", None),
        ("", None),
        ("12 GB", None),
    ],
)
def test_name_for_the_library_is_one_name(text: str, name: str | None) -> None:
    found = parse_query(text).library_name
    assert (found.short if found else None) == name


def test_attempts_have_half_the_words_each() -> None:
    assert parse_query("a1 b2 c3 d4 e5").attempts == ["a1 b2 c3 d4 e5", "a1 b2 c3", "a1 b2", "a1"]
    assert parse_query("a1").attempts == ["a1"]
    assert parse_query("").attempts == [""]


@pytest.mark.parametrize(("text", "has_text"), [("", False), (" ?!", False), ("the best", True)])
def test_query_of_words_of_questions_still_has_text(text: str, has_text: bool) -> None:
    assert parse_query(text).has_text is has_text


def test_families_leave_out_numbers_of_parameters() -> None:
    assert parse_query("qwen3 8b 0.6b 135m").families == ["qwen3"]


@given(st.text(max_size=400))
def test_query_of_any_text_never_raises(text: str) -> None:
    query = parse_query(text)
    assert len(query.words) <= 6
    assert len(query.attempts) <= 4
    assert all(word.isascii() for word in query.words)


@pytest.mark.parametrize(
    ("text", "quantization"),
    [
        ("qwen3 in f16 for 12 GB", "F16"),
        ("qwen3 fp16", "F16"),
        ("https://huggingface.co/user/repo/blob/main/repo-Q8_0.gguf", "Q8_0"),
        ("https://huggingface.co/user/repo/blob/main/repo.gguf", None),
        ("qwen3 8b", None),
    ],
)
def test_quantization_is_read_in_each_spelling(text: str, quantization: str | None) -> None:
    assert parse_query(text).quantization == quantization
