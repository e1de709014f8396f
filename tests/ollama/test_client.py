"""The client: the request that each call sends, and how its answer is read."""

import json
from contextlib import suppress

import anyio
import httpx
import pytest
import respx
from pydantic import ValidationError

from mcp_ollama.ollama.addresses import InvalidAddress
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.names import ModelName
from tests.ollama.endpoints import (
    BASE_URL,
    CALLS,
    DIGEST,
    NAMED,
    REMOTE_URL,
    STREAM,
    VERSION,
    Endpoint,
    encoded,
    every_endpoint,
    failure,
    names,
    requests,
)


@every_endpoint
async def test_call_sends_one_request_and_reads_its_answer(
    endpoint: Endpoint, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(200, content=encoded(endpoint.answer))
    assert await endpoint.call(client) == endpoint.result
    assert len(wire.calls) == 1
    request = wire.calls.last.request
    assert (request.method, request.url.path) == (endpoint.method, endpoint.path)
    assert (json.loads(request.content) if request.content else None) == endpoint.body


async def test_request_carries_key_and_headers_but_no_origin(wire: respx.MockRouter) -> None:
    client = OllamaClient(BASE_URL, api_key="secret", headers={"X-Access": "door "})
    for endpoint in CALLS.values():
        wire.route().respond(200, content=encoded(endpoint.answer))
        await endpoint.call(client)
    assert len(wire.calls) == len(CALLS)
    for request in requests(wire):
        sent = request.headers
        assert (sent["authorization"], sent["x-access"], sent["host"]) == ("Bearer secret", "door", "127.0.0.1:11434")
        assert sent["user-agent"] == "mcp-ollama-manager"
        assert "origin" not in sent


async def test_request_without_key_has_no_authorization(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(json={"version": "1"})
    await client.get_version()
    assert "authorization" not in wire.calls.last.request.headers


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_header_of_the_caller_replaces_ours(name: str, wire: respx.MockRouter) -> None:
    wire.get("/api/version").respond(json={"version": "1"})
    await OllamaClient(BASE_URL, api_key="key", headers={name: "Basic x"}).get_version()
    assert wire.calls.last.request.headers.get_list("authorization") == ["Basic x"]


@pytest.mark.parametrize("bad", ["sec\nret", "sec\rret", "sec\x00ret", "secrét", "sec\u2028ret"])
def test_unsendable_key_or_header_is_refused_and_not_repeated(bad: str) -> None:
    for options in ({"api_key": bad}, {"headers": {"Authorization": bad}}):
        with pytest.raises(ValueError, match="The header Authorization contains characters") as caught:
            OllamaClient(BASE_URL, **options)  # pyright: ignore[reportArgumentType]
        assert "ret" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://h:1/v1", "http://h:1/", "h:1"])
def test_address_with_and_without_v1_is_the_same(base_url: str) -> None:
    assert OllamaClient(base_url).base_url == "http://h:1"


def test_invalid_address_is_refused_at_once() -> None:
    with pytest.raises(InvalidAddress):
        OllamaClient("ftp://h")


async def test_path_of_the_address_precedes_every_endpoint() -> None:
    with respx.mock() as router:
        route = router.get("http://127.0.0.1:80/base/api/version").respond(json={"version": "1"})
        await OllamaClient("http://127.0.0.1/base/").get_version()
        assert route.call_count == 1


async def test_environment_gives_address_and_key_only_together(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", REMOTE_URL)
    monkeypatch.setenv("MCP_OLLAMA_API_KEY", "secret")
    keys: list[str | None] = []
    with respx.mock() as router:
        router.get(path="/api/version").respond(json={"version": "1"})
        for client in (
            OllamaClient(),
            OllamaClient(api_key="own"),
            OllamaClient(BASE_URL),
            OllamaClient(BASE_URL, api_key="own"),
        ):
            async with client:
                await client.get_version()
            keys.append(router.calls.last.request.headers.get("authorization"))
        hosts = [request.url.host for request in requests(router)]
    assert hosts == ["gpu.example", "gpu.example", "127.0.0.1", "127.0.0.1"]
    assert keys == ["Bearer secret", "Bearer own", None, "Bearer own"]


async def test_shared_key_is_not_sent_by_plain_http_to_another_machine(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", REMOTE_URL)
    monkeypatch.setenv("OLLAMA_API_KEY", "shared")
    with respx.mock() as router:
        router.get(f"{REMOTE_URL}/api/version").respond(json={"version": "1"})
        await OllamaClient().get_version()
        assert "authorization" not in router.calls.last.request.headers


def test_empty_environment_means_this_machine(no_environment: None) -> None:
    assert OllamaClient().base_url == BASE_URL


async def test_transport_argument_replaces_the_network() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=VERSION))
    assert await OllamaClient(REMOTE_URL, transport=transport).get_version() == "0.33.0"


async def test_models_are_sorted_newest_first_then_by_name(wire: respx.MockRouter, client: OllamaClient) -> None:
    rows = [
        {"name": "old", "modified_at": "2026-01-01T00:00:00Z"},
        {"name": "b", "modified_at": "2026-11-22T16:20:15.1Z"},
        {"name": "unknown", "modified_at": None},
        {"name": "a", "modified_at": "2026-11-22T18:20:15.000000001+02:00"},
        {"name": "first", "modified_at": "0001-01-01T00:00:00Z"},
    ]
    wire.get("/api/tags").respond(json={"models": rows})
    assert await names(client.list_models()) == ["a", "b", "old", "first", "unknown"]


async def test_unchanged_list_is_parsed_once_and_copied_per_caller(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.get("/api/tags").respond(json={"models": [{"name": "a"}]})
    first = await client.list_models()
    (model,) = first
    first.clear()
    (again,) = await client.list_models()
    assert again is model
    with pytest.raises(ValidationError):
        model.name = "b"  # pyright: ignore[reportAttributeAccessIssue]
    wire.get("/api/tags").respond(json={"models": [{"name": "c"}]})
    assert await names(client.list_models()) == ["c"]


async def test_load_of_an_embedding_model_uses_embed(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.post("/api/generate").respond(400, json={"error": '"emb" does not support generate'})
    wire.post("/api/embed").respond(json={"model": "emb", "embeddings": []})
    await client.load_model("emb", 60)
    assert [(request.url.path, json.loads(request.content)) for request in requests(wire)] == [
        ("/api/generate", {"model": "emb:latest", "keep_alive": 60}),
        ("/api/embed", {"model": "emb:latest", "keep_alive": 60}),
    ]


@pytest.mark.parametrize(
    ("status", "text"), [(400, "image generation models are not currently supported"), (500, "out of memory")]
)
async def test_load_that_fails_otherwise_is_not_retried_with_embed(
    status: int, text: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, json={"error": text})
    assert text in str(await failure(client.load_model("m")))
    assert len(wire.calls) == 1


async def test_load_has_no_timeout() -> None:
    asked = anyio.Event()

    async def load_slowly(request: httpx.Request) -> httpx.Response:
        asked.set()
        await released.wait()
        return httpx.Response(200, json={"done": True})

    released = anyio.Event()
    client = OllamaClient(BASE_URL, timeout=0.001, transport=httpx.MockTransport(load_slowly))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.load_model, "m")
            await asked.wait()
            # The second call is over its limit while the first one goes on.
            assert isinstance(await failure(client.get_version()), OllamaTimeoutError)
            released.set()


@pytest.mark.parametrize(("status", "held"), [(200, True), (404, False)])
async def test_has_blob_reads_the_status(status: int, held: bool, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.head(f"/api/blobs/{DIGEST}").respond(status)
    assert await client.has_blob(DIGEST) is held


async def test_has_blob_with_a_refused_digest_is_an_error(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(400)
    error = await failure(client.has_blob("sha256:zz"))
    assert isinstance(error, OllamaStatusError)
    assert error.status_code == 400


@pytest.mark.parametrize("digest", ["../tags", "../../", "x?y", "x#y", "x\ny", "é"])
async def test_has_blob_quotes_the_digest_in_the_path(
    digest: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(404)
    assert await client.has_blob(digest) is False
    raw_path = wire.calls.last.request.url.raw_path
    assert raw_path.startswith(b"/api/blobs/")
    assert raw_path.count(b"/") == 3
    assert b"?" not in raw_path


async def test_delete_of_a_missing_model_is_false(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.delete("/api/delete").respond(404, json={"error": "model 'm' not found"})
    assert await client.delete_model("m") is False


@pytest.mark.parametrize("status", [404, 400, 500])
async def test_delete_that_fails_otherwise_is_an_error(
    status: int, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.delete("/api/delete").respond(status, text="404 page not found")
    assert isinstance(await failure(client.delete_model("m")), OllamaStatusError)


BAD_NAMES = ["", " ", "a b", "a/b/c/d", "../../etc/passwd", "m:", ":t", "m@sha256:ab", "m\x1c", "ü", "x" * 500]


@pytest.mark.parametrize("method", NAMED)
async def test_invalid_name_is_never_sent(method: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(200)
    for name in BAD_NAMES:
        with pytest.raises(InvalidModelName):
            await NAMED[method](client, name)
    assert not wire.calls


@pytest.mark.parametrize("method", NAMED)
async def test_parsed_name_is_sent_as_it_is(method: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(200, content=STREAM)
    with suppress(OllamaResponseError):
        await NAMED[method](client, ModelName.parse("hf.co/user/repo:Q4"))
    assert b'"hf.co/user/repo:Q4"' in wire.calls.last.request.content


async def test_models_of_ollama_com_itself_are_remote_and_take_no_disk() -> None:
    row = {"name": "gpt-oss:120b", "size": 65_000_000_000}
    with respx.mock() as router:
        router.get("https://ollama.com:443/api/tags").respond(json={"models": [row]})
        async with OllamaClient("https://ollama.com") as client:
            (model,) = await client.list_models()
    assert (model.remote_host, model.remote_model, model.size) == ("https://ollama.com:443", "gpt-oss:120b", 0)


@pytest.mark.parametrize(("status", "is_signed_in"), [(200, True), (401, False), (404, False)])
async def test_sign_in_is_read_from_the_status(
    status: int, is_signed_in: bool, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.post("/api/me").respond(status, json={"name": "me"} if status == 200 else {"error": "unauthorized"})
    assert await client.is_signed_in() is is_signed_in


async def test_sign_in_that_cannot_be_checked_is_an_error(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.post("/api/me").respond(503, json={"error": "account unavailable"})
    with pytest.raises(OllamaStatusError, match="account unavailable"):
        await client.is_signed_in()
