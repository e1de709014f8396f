"""Sanitizing: secrets are redacted before a text is truncated, in errors, streams and successful responses."""

import json

import pytest
import respx

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.sanitizing import MAX_TEXT, Redactor, clean_line, clean_text, sanitize
from mcp_ollama.ollama.schemas import MAX_BYTES, MAX_ROWS, InstalledModel, ModelInfo, Progress, RunningModel
from tests.ollama.endpoints import BASE_URL, failure, statuses

KEY = "sk-0123456789abcdef"


def keyed_client() -> OllamaClient:
    return OllamaClient(BASE_URL, api_key=KEY, headers={"X-Proxy": "Basic dXNlcjpwYXNz", "X-On": "true"})


@pytest.mark.parametrize("offset", [0, 280, 290, 2990])
async def test_secret_in_a_stream_error_is_redacted_before_truncation(offset: int, wire: respx.MockRouter) -> None:
    line = json.dumps({"error": f"{'x' * offset} Bearer {KEY} {'y' * 500}"})
    wire.post("/api/pull").respond(text=f"{line}\n")
    text = str(await failure(statuses(keyed_client().pull_model("m"))))
    assert not any(KEY[start : start + 6] in text for start in range(len(KEY) - 6))


@pytest.mark.parametrize("content", [f"{'x' * 290}{KEY}", json.dumps({"error": f"{'x' * 290}{KEY}"})])
async def test_secret_in_a_status_error_is_redacted_before_truncation(content: str, wire: respx.MockRouter) -> None:
    wire.route().respond(500, text=content)
    text = str(await failure(keyed_client().get_version()))
    assert "sk-01" not in text


async def test_secret_in_an_invalid_line_is_redacted_before_truncation(wire: respx.MockRouter) -> None:
    wire.post("/api/pull").respond(text=f"{'x' * 90}{KEY}{'y' * 200}\n")
    assert "sk-0" not in str(await failure(statuses(keyed_client().pull_model("m"))))


@pytest.mark.parametrize("status", [200, 500])
async def test_long_secret_repeated_leaves_no_part_of_it(status: int, wire: respx.MockRouter) -> None:
    key = "".join(f"{number:04x}" for number in range(750))
    wire.post("/api/pull").respond(status, text=f"{key * 5}\n")
    client = OllamaClient(BASE_URL, api_key=key)
    text = str(await failure(statuses(client.pull_model("m"))))
    assert not any(key[start : start + 8] in text for start in range(len(key) - 8))


async def test_echoed_secrets_are_redacted_in_successful_responses(wire: respx.MockRouter) -> None:
    echo = f"Authorization: Bearer {KEY}; X-Proxy: Basic dXNlcjpwYXNz; true"
    model_info = {"general.name": echo, "nested": [{"deep": echo}]}
    wire.post("/api/show").respond(json={"system": echo, "license": [echo], "model_info": model_info, "requires": echo})
    wire.get("/api/experimental/model-recommendations").respond(
        json={"recommendations": [{"model": "m", "description": echo}]}
    )
    wire.get("/api/tags").respond(json={"models": [{"name": KEY, "capabilities": [KEY], "details": {"family": KEY}}]})
    client = keyed_client()
    found = [await client.get_model_info("m"), *await client.list_recommendations(), *await client.list_models()]
    text = "".join(one.model_dump_json() for one in found)
    assert KEY not in text
    assert "dXNlcjpwYXNz" not in text
    # A header that is not long enough for a secret stays.
    assert "; true" in text


async def test_secret_in_a_progress_status_is_redacted(wire: respx.MockRouter) -> None:
    wire.post("/api/pull").respond(text=f'{{"status":"with {KEY}"}}\n{{"status":"success"}}\n')
    assert await statuses(keyed_client().pull_model("m")) == ["with ***", "success"]


def test_redactor_knows_the_escapes_of_json() -> None:
    redact = Redactor('k"&<>ey')
    assert redact(json.dumps({"a": 'k"&<>ey'})) == '{"a": "***"}'
    assert redact(r'{"a":"k\"\u0026\u003c\u003eey"}') == '{"a":"***"}'
    assert Redactor()("text") == "text"


SPOOF = "\x1b[2Jname\x00\x9b\r\n\u202egpj\u2066\u200b\u2028\ufeff\U000e0041\ud800"


def test_control_and_bidi_characters_of_a_listed_model_are_replaced() -> None:
    row = {"name": SPOOF, "digest": SPOOF, "details": {"family": SPOOF, "families": [SPOOF]}, "capabilities": [SPOOF]}
    model = InstalledModel.model_validate(row)
    texts = [model.name, model.digest, model.details.family, *model.details.families, *model.capabilities]
    assert {text.isprintable() for text in texts} == {True}
    assert {text.startswith("name�") for text in texts} == {True}


def test_texts_of_a_listed_model_are_bounded() -> None:
    row = {"name": "x" * 10_000, "remote_host": "x" * 10_000, "capabilities": ["x" * 10_000] * 1_000}
    model = InstalledModel.model_validate(row)
    assert (len(model.name), len(model.remote_host)) == (600, 200)
    assert len(model.capabilities) == 100
    assert {len(capability) for capability in model.capabilities} == {80}


def test_long_texts_keep_their_line_ends() -> None:
    info = ModelInfo.model_validate({"template": f"a\n\tb{SPOOF}", "license": f"a\nb{SPOOF}"})
    assert info.template.startswith("a\n\tbname�")
    assert isinstance(info.license, str)
    assert info.license.startswith("a\nbname�")
    assert "\u202e" not in info.template + info.license


@pytest.mark.parametrize(("number", "count", "size"), [(10**400, 2**63 - 1, 2**48), (-5, 0, 0), (7, 7, 7)])
def test_counts_and_sizes_are_clamped(number: int, count: int, size: int) -> None:
    assert Progress.model_validate({"total": number}).total == size
    assert InstalledModel.model_validate({"name": "m", "size": number}).size == size
    assert RunningModel.model_validate({"name": "m", "context_length": number}).context_length == count


def test_sum_of_the_largest_sizes_is_an_int64() -> None:
    assert MAX_ROWS * MAX_BYTES < 2**63


def test_numbers_of_model_info_are_clamped() -> None:
    info = ModelInfo.model_validate(
        {"model_info": {"a": 10**400, "b": float("inf"), "c": 1.5, "d": True, "e": -(10**40)}}
    )
    assert info.model_info == {"a": 2**64 - 1, "b": None, "c": 1.5, "d": True, "e": -(2**63) + 1}


def test_clean_functions_leave_plain_text_unchanged() -> None:
    assert clean_line("naïve 模型 🦙", 20) == "naïve 模型 🦙"
    assert clean_text("naïve\n模型\t🦙") == "naïve\n模型\t🦙"


def test_nested_values_of_model_info_are_cleaned_and_bounded() -> None:
    info = ModelInfo.model_validate({"model_info": {"a": {"b\x07": ["c\u202e", 10**400]}}})
    cleaned = (info.model_info or {})["a"]
    assert "\x07" not in str(cleaned)
    assert "\u202e" not in str(cleaned)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("open /home/user/.ollama/models/blobs/x: bad", "open <path>: bad"),
        ("open '/var/lib/ollama/x' failed", "open '<path>' failed"),
        (r"open C:\Users\me\.ollama\x failed", "open <path> failed"),
        ("(checked: /usr/lib/ollama, /opt/ollama/bin)", "(checked: <path>, <path>)"),
        ("~/.ollama/models", "~<path>"),
        ('Get "http://h:1/v2/library/m": EOF', 'Get "http://h:1": EOF'),
        ("Get https://u:pw@s3.example/b/k?X-Amz-Credential=AKIA&X-Amz-Signature=ff: 403", "Get https://s3.example 403"),
        ("denied X-Amz-Credential=AKIA/x&X-Amz-Signature=ff", "denied"),
        (f"https://cdn.example/{'x' * 2000}?sig=y reason", "https://cdn.example reason"),
        ("model hf.co/user/repo:Q4 and 1/2 or and/or", "model hf.co/user/repo:Q4 and 1/2 or and/or"),
        ("502: <!DOCTYPE html><p>secret</p>", "502: <a web page>"),
        ("502: <HTML lang=en>\n<body>", "502: <a web page>"),
        ("a <htmlish> text", "a <htmlish> text"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link \x1bMx\x1b", "red link x"),
        ("a\x00b\r\n\tc\x7fd\x9be", "a b c d e"),
        ("a\u202eb\u2066c\u2028d\u200be\U000e0041f\ud800g", "a b c d e f g"),
        ("naïve 模型 🦙", "naïve 模型 🦙"),
        ("  \n ", ""),
    ],
)
def test_sanitize_removes_paths_pages_and_controls(text: str, cleaned: str) -> None:
    assert sanitize(text) == cleaned


@pytest.mark.parametrize(("length", "cut"), [(MAX_TEXT, False), (MAX_TEXT + 1, True), (10**6, True)])
def test_sanitize_truncates_to_the_limit(length: int, cut: bool) -> None:
    cleaned = sanitize("x" * length)
    assert len(cleaned) == MAX_TEXT
    assert cleaned.endswith("…") is cut
    assert len(sanitize("x" * length, 10)) == 10
