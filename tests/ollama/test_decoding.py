"""Decoding: bounded memory and bounded time on the event loop, whatever a server sends."""

import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
import respx
from pydantic import BaseModel

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.decoding import (
    MAX_CLEANED_VALUES,
    MAX_CONTAINERS,
    MAX_VALUES,
    DocumentTooLargeError,
    InvalidDocumentError,
    NotJsonError,
    decode,
)
from mcp_ollama.ollama.errors import OllamaResponseError
from mcp_ollama.ollama.schemas import MAX_INSTALLED, MAX_ROWS, InstalledModels, Manifest, RunningModels, Version
from mcp_ollama.ollama.tags import MAX_CACHED_BYTES
from tests.ollama.endpoints import failure, statuses

SIZE = 15_900_000
HOSTILE = {
    "objects": b'{"":0}',
    "arrays": b"[]",
    "numbers": b"0",
    "nested": b"[[[[]]]]",
}


def hostile(unit: bytes, size: int = SIZE) -> bytes:
    count = size // (len(unit) + 1)
    return b'{"models":[],"version":"1","x":[' + b",".join([unit] * count) + b"]}"


def listing(rows: int, padding: int = 400) -> bytes:
    details = {"family": "llama", "families": ["llama"], "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}
    row = {
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 1,
        "digest": "a" * 64,
        "details": details,
        "pad": "x" * padding,
    }
    return json.dumps({"models": [{"name": f"model-{number}:latest", **row} for number in range(rows)]}).encode()


async def longest_block(call: Callable[[], Awaitable[object]]) -> float:
    """Seconds of CPU time for which the event loop served nothing else while a call ran."""
    longest, last = 0.0, time.process_time()
    done = False

    async def watch() -> None:
        nonlocal longest, last
        while not done:
            await anyio.lowlevel.checkpoint()
            now = time.process_time()
            longest, last = max(longest, now - last), now

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        await call()
        done = True
    return longest


@pytest.mark.parametrize("shape", HOSTILE)
async def test_hostile_document_is_refused_with_bounded_memory(
    shape: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.get("/api/tags").respond(content=hostile(HOSTILE[shape]))
    wire.get("/api/version").respond(content=hostile(HOSTILE[shape]))
    for call in (client.list_models, client.get_version):
        error = await failure(call())
        assert type(error) is OllamaResponseError
        assert error.problem.endswith("returned far more values than Ollama returns.")


async def test_hostile_line_of_a_stream_is_refused(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.post("/api/pull").respond(content=hostile(b'{"":0}', 7_000_000) + b"\n")
    error = await failure(statuses(client.pull_model("m")))
    assert "not Ollama's JSON" in error.problem


async def test_list_of_16_mb_does_not_block_the_loop_and_is_not_kept(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
    content = listing(MAX_INSTALLED, padding=1_100)
    assert 12_000_000 < len(content) < 16_000_000
    wire.get("/api/tags").respond(content=content)
    assert await longest_block(client.list_models) < 0.5
    tracemalloc.start()
    try:
        await client.list_models()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(content)
    assert kept < len(content)


SHORT_LINES = {
    "empty": b"\n" * 6_000_000,
    "objects": b"{}\n" * 100_000,
    "digests": b"".join(b'{"digest":"d%d","total":9}\n' % number for number in range(100_000)),
}


@pytest.mark.parametrize("kind", SHORT_LINES)
async def test_stream_of_short_lines_lets_others_run(kind: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.post("/api/pull").respond(content=SHORT_LINES[kind] + b'{"status":"success"}\n')
    assert await longest_block(lambda: statuses(client.pull_model("m"))) < 0.15


async def test_only_a_short_list_is_cached(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/tags").respond(content=listing(10))
    first, again = await client.list_models(), await client.list_models()
    assert first[0] is again[0]
    content = listing(4_000)
    assert len(content) > MAX_CACHED_BYTES
    wire.get("/api/tags").respond(content=content)
    first, again = await client.list_models(), await client.list_models()
    assert first == again
    assert first[0] is not again[0]


async def test_invalid_row_of_a_list_is_a_response_error(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/tags").respond(json={"models": [{"name": "m"}, {"size": 5}]})
    error = await failure(client.list_models())
    assert error.problem.endswith("/api/tags returned JSON that does not match Ollama's API.")


CLEANED: dict[str, Callable[[], str]] = {
    "keys": lambda: '{"model_info":{' + ",".join(f'"{number}":0' for number in range(1_000_000)) + "}}",
    "items": lambda: '{"model_info":{"a":[' + ",".join(['"\u200b"'] * 1_450_000) + "]}}",
    "licences": lambda: '{"license":[' + ",".join(['"\u200b"'] * 1_450_000) + "]}",
    "messages": lambda: '{"messages":[' + ",".join(["{}"] * 190_000) + "]}",
}


@pytest.mark.parametrize("shape", CLEANED)
async def test_details_of_many_values_do_not_block_the_loop(
    shape: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.post("/api/show").respond(content=CLEANED[shape]().encode())
    assert await longest_block(lambda: failure(client.get_model_info("m"))) < 0.5


async def test_stream_of_line_feeds_does_not_block_the_loop(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.post("/api/pull").respond(content=b"\n" * 10_000_000 + b'{"status":"success"}\n')
    assert await longest_block(lambda: statuses(client.pull_model("m"))) < 0.5


def test_limits_count_containers_and_values() -> None:
    with pytest.raises(DocumentTooLargeError):
        decode(Version, hostile(b"{}", 3 * MAX_CONTAINERS + 100), max_values=MAX_VALUES)
    with pytest.raises(DocumentTooLargeError):
        decode(Version, hostile(b"1", 2 * MAX_VALUES + 100), max_values=MAX_VALUES)
    assert decode(Version, hostile(b"1", MAX_VALUES), max_values=MAX_VALUES).version == "1"
    with pytest.raises(DocumentTooLargeError):
        decode(Version, hostile(b"1", 2 * MAX_CLEANED_VALUES + 100))
    assert decode(InstalledModels, hostile(b"{}", 3 * MAX_CONTAINERS - 100), max_values=MAX_VALUES).models == []


@pytest.mark.parametrize(("content", "kind"), [(b'{"models":5}', InvalidDocumentError), (b"<html>", NotJsonError)])
def test_error_of_a_document_does_not_keep_the_document(content: bytes, kind: type[ValueError]) -> None:
    with pytest.raises(kind) as caught:
        decode(InstalledModels, content)
    # pydantic's error would.
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("schema", "most"), [(InstalledModels, MAX_INSTALLED), (RunningModels, MAX_ROWS)])
def test_list_of_more_rows_than_ollama_has_is_refused(schema: type[BaseModel], most: int) -> None:
    row = b'{"name":"m"}'
    assert decode(schema, b'{"models":[' + b",".join([row] * most) + b"]}")
    with pytest.raises(InvalidDocumentError, match="at most"):
        decode(schema, b'{"models":[' + b",".join([row] * (most + 1)) + b"]}")


@pytest.mark.parametrize("size", [10**400, 2**50 + 1, -1])
def test_manifest_with_an_impossible_size_is_refused(size: int) -> None:
    layer = {"digest": f"sha256:{'a' * 64}", "size": size}
    with pytest.raises(ValueError, match="size"):
        decode(Manifest, json.dumps({"config": layer, "layers": []}).encode())
