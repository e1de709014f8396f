"""The client reads what a real server once answered, all of it, failures included."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    NotInRegistryError,
    OllamaAuthorizationError,
    OllamaError,
    OllamaStatusError,
    OllamaStreamError,
    RegistryAccessError,
)
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, OllamaResponse, Progress, RunningModel

FOLDER = Path(__file__).parents[1] / "data" / "recordings"
BASE_URL = "http://127.0.0.1:11434"
MODEL = "m:latest"

LEFT_OUT = {
    "_manifest_big": "not an exchange: the tests of the registry read it",
    "blob_post_*": "the client uploads no blobs",
    "chat_*": "the client loads models by generate, not by chat",
    "embed_tiny": "an embedding with an input: the client computes none",
    "options_tags": "a preflight of a browser: the client is none",
    "root_get": "the client asks for the version instead",
    "root_head": "the client asks for the version instead",
    "tags_head": "the client asks for the list itself",
    "v1_model_id": "the client asks the OpenAI-compatible API for its list alone",
    "v1_model_id_latest": "the client asks the OpenAI-compatible API for its list alone",
    "version_head": "the client asks for the version itself",
}
"""Recordings that are not driven, with the reason."""


@dataclass(frozen=True)
class Exchange:
    """Request and response of the real server."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    answer: str
    streamed: bool

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The answer as JSON, line by line."""
        return [json.loads(line) for line in self.answer.splitlines() if line]


def load(path: Path) -> list[Exchange]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        Exchange(
            each["request"]["method"],
            each["request"]["path"],
            each["response"]["status"],
            {name: value for name, value in each["response"]["headers"] if name == "Content-Type"},
            each["response"]["body"],
            streamed="lines" in each["response"],
        )
        for each in document.get("exchanges", [document])
        if "request" in each
    ]


def left_out(name: str) -> list[str]:
    return [pattern for pattern in LEFT_OUT if fnmatch(name, pattern)]


RECORDINGS = {str(path.relative_to(FOLDER).with_suffix("")): load(path) for path in sorted(FOLDER.rglob("*.json"))}
DRIVEN = {
    f"{name}-{number}": exchange
    for name, exchanges in RECORDINGS.items()
    if not left_out(name)
    for number, exchange in enumerate(exchanges)
}


async def all_of(client: OllamaClient, path: str) -> list[Progress]:
    start = {
        "/api/pull": lambda: client.pull_model(MODEL),
        "/api/push": lambda: client.push_model(MODEL),
        "/api/create": lambda: client.create_model(MODEL, "n"),
    }
    return [line async for line in start[path]()]


CALLS: dict[str, Callable[[OllamaClient], Awaitable[object]]] = {
    "/api/version": OllamaClient.get_version,
    "/api/tags": OllamaClient.list_models,
    "/api/ps": OllamaClient.list_running_models,
    "/api/status": OllamaClient.is_cloud_disabled,
    "/api/show": lambda client: client.get_model_info(MODEL),
    "/api/delete": lambda client: client.delete_model(MODEL),
    "/api/copy": lambda client: client.copy_model(MODEL, "n"),
    "/api/generate": lambda client: client.load_model(MODEL),
    "/api/pull": lambda client: all_of(client, "/api/pull"),
    "/api/push": lambda client: all_of(client, "/api/push"),
    "/api/create": lambda client: all_of(client, "/api/create"),
    "/api/blobs/": lambda client: client.has_blob("sha256:ab"),
    "/v1/models": OllamaClient.check_openai_api,
    "/api/nope": OllamaClient.get_version,
}
"""The client's call for a path, or for the longest beginning of it that is here."""


def call_for(path: str) -> Callable[[OllamaClient], Awaitable[object]]:
    return CALLS[max((known for known in CALLS if path.startswith(known)), key=len)]


async def replay(exchange: Exchange) -> object:
    """The client's result for a recorded answer."""
    response = httpx.Response(exchange.status, headers=exchange.headers, content=exchange.answer.encode())
    with respx.mock(base_url=BASE_URL) as wire, anyio.fail_after(5):
        wire.route().mock(response)
        async with OllamaClient(BASE_URL) as client:
            return await call_for(exchange.path)(client)


def expected_failure(exchange: Exchange) -> type[OllamaError] | None:
    """The expected error by the rules of the API, read without the client."""
    about_a_model = exchange.path in ("/api/show", "/api/generate", "/api/copy")
    match exchange.status:
        case 200:
            streaming = exchange.path in ("/api/pull", "/api/push", "/api/create")
            if not streaming or exchange.lines[-1] == {"status": "success"}:
                return None
            said = str(exchange.lines[-1].get("error", ""))
            if said.endswith("file does not exist"):
                return NotInRegistryError
            kept_out = re.search(r"\b40[13]\b|realm host|unauthorized|denied", said)
            return RegistryAccessError if kept_out else OllamaStreamError
        case 401 | 403:
            return OllamaAuthorizationError
        case 404 if exchange.path == "/api/delete" or exchange.method == "HEAD":
            return None
        case 404 if about_a_model:
            return ModelNotFoundError
        case _:
            return OllamaStatusError


def test_every_recording_is_driven_or_left_out_for_a_reason() -> None:
    assert len(DRIVEN) > 180
    assert all(any(fnmatch(name, pattern) for name in RECORDINGS) for pattern in LEFT_OUT)
    assert all(len(left_out(name)) == 1 for name in RECORDINGS if f"{name}-0" not in DRIVEN)
    assert {exchange.path for exchange in DRIVEN.values()} >= CALLS.keys() - {"/api/blobs/"}


async def test_every_recorded_failure_becomes_the_right_error() -> None:
    failures = {name: exchange for name, exchange in DRIVEN.items() if expected_failure(exchange)}
    assert len(failures) > 80
    for name, exchange in failures.items():
        with pytest.raises(OllamaError) as caught:
            await replay(exchange)
        error = caught.value
        assert type(error) is expected_failure(exchange), name
        assert getattr(error, "status_code", exchange.status) == exchange.status, name
        assert str(error).isprintable(), name
        assert len(str(error)) < 600, name
        assert not any(path in str(error) for path in ("/models/", "/scratch/", "/home/")), name


async def test_every_recorded_success_is_read() -> None:
    successes = {name: exchange for name, exchange in DRIVEN.items() if not expected_failure(exchange)}
    assert len(successes) > 90
    for name, exchange in successes.items():
        result = await replay(exchange)
        if exchange.path in CHECKS and exchange.status == 200:
            assert CHECKS[exchange.path](result, exchange), name
        elif exchange.path == "/api/delete" or exchange.method == "HEAD":
            assert result is (exchange.status == 200), name
        else:
            assert result is None, name


def is_list(result: Any, exchange: Exchange) -> bool:
    said = {each["name"]: each for each in exchange.lines[0]["models"]}
    schema = InstalledModel if exchange.path == "/api/tags" else RunningModel
    times = [model.modified_at.replace(microsecond=0) for model in result if exchange.path == "/api/tags"]
    return times == sorted(times, reverse=True) and {model.name: as_said(model) for model in result} == {
        name: known(schema, each) for name, each in said.items()
    }


def as_said(model: Any) -> dict[str, Any]:
    """A model in the server's own words: without what it left out, with null where it has empty lists."""
    fields = model.model_dump(exclude_unset=True)
    return {key: trimmed(value) for key, value in fields.items()}


def known(schema: type[OllamaResponse], document: dict[str, Any]) -> dict[str, Any]:
    """The part of a recorded document that has a field."""
    return {key: trimmed(value) for key, value in document.items() if key in schema.model_fields}


def trimmed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: each or None for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, str) and value[4:5] == value[7:8] == "-":
        return datetime.fromisoformat(value)
    return value


def is_model_info(result: Any, exchange: Exchange) -> bool:
    return as_said(result) == known(ModelInfo, exchange.lines[0])


def is_progress(result: Any, exchange: Exchange) -> bool:
    """Whether the lines are those of the server, at least the last one of each run."""
    said = [tuple(line.get(key, empty) for key, empty in FIELDS) for line in exchange.lines]
    coalesced = [(line.status, line.digest, line.total, line.completed) for line in result]
    last = [[list(run)[-1] for _, run in groupby(lines, lambda line: line[:3])] for lines in (said, coalesced)]
    return last[0] == last[1] and len(coalesced) <= len(said)


FIELDS: tuple[tuple[str, object], ...] = (("status", ""), ("digest", ""), ("total", 0), ("completed", 0))
CHECKS: dict[str, Callable[[Any, Exchange], bool]] = {
    "/api/version": lambda result, exchange: result == exchange.lines[0]["version"],
    "/api/status": lambda result, exchange: result is exchange.lines[0]["cloud"]["disabled"],
    "/api/tags": is_list,
    "/api/ps": is_list,
    "/api/show": is_model_info,
    "/api/pull": is_progress,
    "/api/push": is_progress,
    "/api/create": is_progress,
}


@pytest.mark.parametrize("name", ["pull_server_stopped_midway-0", "pull_cut_then_resume-0", "push_cut_then_again-0"])
async def test_a_recorded_stream_that_was_cut_is_worth_another_try(name: str) -> None:
    with pytest.raises(OllamaStreamError) as caught:
        await replay(DRIVEN[name])
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("name", "retryable"),
    [
        ("pull_digest_mismatch-0", False),
        ("pull_missing_model-0", False),
        ("pull_cdn_404-0", False),
        ("pull_unauthorised_token_401-0", False),
        ("pull_unauthorised_token_403-0", False),
        ("push_stale_upload_blob_unknown-1", False),
        ("pull_registry_down-0", True),
        ("pull_cdn_dies_midway-0", True),
    ],
)
async def test_recorded_failures_are_tried_again_only_where_it_can_help(name: str, retryable: bool) -> None:
    with pytest.raises(OllamaError) as caught:
        await replay(DRIVEN[name])
    assert caught.value.retryable is retryable
