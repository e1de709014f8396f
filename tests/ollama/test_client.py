"""The client: what each call sends, how the answer is read, what each failure becomes."""

import asyncio
import gc
import gzip
import inspect
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import respx
from anyio.from_thread import start_blocking_portal
from pydantic import ValidationError

from mcp_ollama.ollama.addresses import API_KEY_VARIABLE, BASE_URL_VARIABLES, SHARED_API_KEY_VARIABLE, InvalidAddress
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.connection import MAX_ANSWER_BYTES, MAX_CONNECTIONS, tls_context
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    ModelNotFoundError,
    NotInRegistryError,
    OllamaAuthorizationError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.schemas import Progress
from tests.support.raw_server import SILENCE, answering, http, until_connected

BASE_URL = "http://127.0.0.1:11434"
REMOTE_URL = "http://gpu.example:11434"
DIGEST = f"sha256:{'ab' * 32}"
JSON = "Content-Type: application/json"
VERSION = b'{"version":"0.33.0"}'

Call = Callable[[OllamaClient], Awaitable[object]]


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE_URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
def client() -> OllamaClient:
    return OllamaClient(BASE_URL)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*BASE_URL_VARIABLES, API_KEY_VARIABLE, SHARED_API_KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


async def statuses(stream: AsyncIterator[Progress]) -> list[str]:
    with anyio.fail_after(5):
        return [line.status async for line in stream]


async def names(listing: Awaitable[list[Any]]) -> list[str]:
    return [row.name for row in await listing]


async def template_of(client: OllamaClient) -> str:
    return (await client.get_model_info("m")).template


async def recommended(client: OllamaClient) -> list[str]:
    return [row.model for row in await client.list_recommendations()]


@dataclass(frozen=True)
class Endpoint:
    """One call, what it must send, and what it makes of an answer."""

    call: Call
    method: str
    path: str
    body: object = None
    answer: object = None
    result: object = None


STREAM = b'{"status":"pulling manifest"}\n{"status":"success"}\n'
STREAMED = ["pulling manifest", "success"]

ENDPOINTS = {
    "get_version": Endpoint(
        OllamaClient.get_version, "GET", "/api/version", answer={"version": "0.33.0"}, result="0.33.0"
    ),
    "list_models": Endpoint(
        lambda client: names(client.list_models()), "GET", "/api/tags", answer={"models": [{"name": "m"}]}, result=["m"]
    ),
    "list_models, none": Endpoint(
        OllamaClient.list_models, "GET", "/api/tags", answer={"models": None}, result=list[str]()
    ),
    "list_running_models": Endpoint(
        lambda client: names(client.list_running_models()),
        *("GET", "/api/ps"),
        answer={"models": [{"name": "m"}]},
        result=["m"],
    ),
    "list_running_models, none": Endpoint(
        OllamaClient.list_running_models, "GET", "/api/ps", answer={"models": None}, result=list[str]()
    ),
    "get_model_info": Endpoint(
        template_of, "POST", "/api/show", {"model": "m:latest"}, {"template": "{{ .Prompt }}"}, "{{ .Prompt }}"
    ),
    "delete_model": Endpoint(
        lambda client: client.delete_model(" m:8b:cloud "), "DELETE", "/api/delete", {"model": "m:8b-cloud"}, b"", True
    ),
    "copy_model": Endpoint(
        lambda client: client.copy_model("m", "user/n:1"),
        *("POST", "/api/copy", {"source": "m:latest", "destination": "user/n:1"}, b""),
    ),
    "load_model": Endpoint(
        lambda client: client.load_model("m"), "POST", "/api/generate", {"model": "m:latest"}, {"done": True}
    ),
    "load_model, for a time": Endpoint(
        lambda client: client.load_model("m", "5m"),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": "5m"}, {"done": True}),
    ),
    "load_model, for ever": Endpoint(
        lambda client: client.load_model("m", -1),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": -1}, {"done": True}),
    ),
    "unload_model": Endpoint(
        lambda client: client.unload_model("m"),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": 0}, {"done": True}),
    ),
    "has_blob": Endpoint(
        lambda client: client.has_blob(DIGEST), "HEAD", f"/api/blobs/{DIGEST}", answer=b"", result=True
    ),
    "check_openai_api": Endpoint(
        OllamaClient.check_openai_api, "GET", "/v1/models", answer={"object": "list", "data": None}
    ),
    "is_cloud_disabled": Endpoint(
        OllamaClient.is_cloud_disabled, "GET", "/api/status", answer={"cloud": {"disabled": True}}, result=True
    ),
    "list_recommendations": Endpoint(
        recommended,
        *("GET", "/api/experimental/model-recommendations"),
        answer={"recommendations": [{"model": "m"}]},
        result=["m"],
    ),
    "pull_model": Endpoint(
        lambda client: statuses(client.pull_model("m")),
        *("POST", "/api/pull", {"model": "m:latest", "insecure": False}, STREAM, STREAMED),
    ),
    "pull_model, last line": Endpoint(
        lambda client: statuses(client.pull_model("m", stream=False, insecure=True)),
        *("POST", "/api/pull", {"model": "m:latest", "insecure": True}, STREAM, ["success"]),
    ),
    "push_model": Endpoint(
        lambda client: statuses(client.push_model("user/m", insecure=True)),
        *("POST", "/api/push", {"model": "user/m:latest", "insecure": True}, STREAM, STREAMED),
    ),
    "create_model": Endpoint(
        lambda client: statuses(client.create_model("n", "m:local")),
        *("POST", "/api/create", {"model": "n:latest", "from": "m:latest"}, STREAM, STREAMED),
    ),
    "create_model, with wishes": Endpoint(
        lambda client: statuses(client.create_model("n", "m", system="", template="t", parameters={"top_k": 1})),
        *("POST", "/api/create"),
        {"model": "n:latest", "from": "m:latest", "system": "", "template": "t", "parameters": {"top_k": 1}},
        *(STREAM, STREAMED),
    ),
}
CALLS = {name: endpoint for name, endpoint in ENDPOINTS.items() if "," not in name}
READING = {name: endpoint for name, endpoint in CALLS.items() if isinstance(endpoint.answer, dict) and endpoint.result}

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)


def encoded(answer: object) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


async def failures(
    client: OllamaClient, calls: dict[str, Endpoint] = CALLS
) -> AsyncGenerator[tuple[Endpoint, OllamaError]]:
    """What every one of the calls fails with."""
    for endpoint in calls.values():
        yield endpoint, await failure(endpoint.call(client))


async def failure(call: Awaitable[object]) -> OllamaError:
    """What a call fails with; it must, and soon."""
    with anyio.fail_after(5), pytest.raises(OllamaError) as caught:
        await call
    return caught.value


def requests(router: respx.MockRouter) -> list[httpx.Request]:
    calls: list[respx.models.Call] = list(router.calls)
    return [call.request for call in calls]


@every_endpoint
async def test_a_call_sends_one_request_and_reads_its_answer(
    endpoint: Endpoint, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(200, content=encoded(endpoint.answer))
    assert await endpoint.call(client) == endpoint.result
    assert len(wire.calls) == 1
    request = wire.calls.last.request
    assert (request.method, request.url.path) == (endpoint.method, endpoint.path)
    assert (json.loads(request.content) if request.content else None) == endpoint.body


async def test_every_request_carries_the_key_and_the_headers_and_never_an_origin(wire: respx.MockRouter) -> None:
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


async def test_without_a_key_there_is_no_authorization(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(json={"version": "1"})
    await client.get_version()
    assert "authorization" not in wire.calls.last.request.headers


async def test_a_header_of_the_caller_goes_before_ours(wire: respx.MockRouter) -> None:
    wire.get("/api/version").respond(json={"version": "1"})
    await OllamaClient(BASE_URL, api_key="key", headers={"Authorization": "Basic x"}).get_version()
    assert wire.calls.last.request.headers.get_list("authorization") == ["Basic x"]


@pytest.mark.parametrize("bad", ["sec\nret", "sec\rret", "sec\x00ret", "secrét", "sec\u2028ret"])
def test_a_key_or_header_that_cannot_be_sent_is_refused_and_not_repeated(bad: str) -> None:
    for options in ({"api_key": bad}, {"headers": {"Authorization": bad}}):
        with pytest.raises(ValueError, match="The header Authorization holds characters") as caught:
            OllamaClient(BASE_URL, **options)  # pyright: ignore[reportArgumentType]
        assert "ret" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://h:1/v1", "http://h:1/", "h:1"])
def test_an_address_is_read_with_and_without_v1(base_url: str) -> None:
    assert OllamaClient(base_url).base_url == "http://h:1"


def test_what_is_no_address_is_refused_at_once() -> None:
    with pytest.raises(InvalidAddress):
        OllamaClient("ftp://h")


async def test_a_path_in_the_address_goes_before_every_endpoint() -> None:
    with respx.mock() as router:
        route = router.get("http://127.0.0.1:80/base/api/version").respond(json={"version": "1"})
        await OllamaClient("http://127.0.0.1/base/").get_version()
        assert route.call_count == 1


async def test_address_and_key_come_from_the_environment_only_together(
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


async def test_the_shared_key_stays_away_from_plain_http_to_another_machine(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", REMOTE_URL)
    monkeypatch.setenv("OLLAMA_API_KEY", "shared")
    with respx.mock() as router:
        router.get(f"{REMOTE_URL}/api/version").respond(json={"version": "1"})
        await OllamaClient().get_version()
        assert "authorization" not in router.calls.last.request.headers


def test_without_an_environment_the_server_is_on_this_machine(no_environment: None) -> None:
    assert OllamaClient().base_url == BASE_URL


async def test_another_transport_can_take_the_place_of_the_network() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=VERSION))
    assert await OllamaClient(REMOTE_URL, transport=transport).get_version() == "0.33.0"


async def test_models_come_newest_first_and_those_of_one_second_by_name(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
    rows = [
        {"name": "old", "modified_at": "2026-01-01T00:00:00Z"},
        {"name": "b", "modified_at": "2026-11-22T16:20:15.1Z"},
        {"name": "unknown", "modified_at": None},
        {"name": "a", "modified_at": "2026-11-22T18:20:15.000000001+02:00"},
        {"name": "first", "modified_at": "0001-01-01T00:00:00Z"},
    ]
    wire.get("/api/tags").respond(json={"models": rows})
    assert await names(client.list_models()) == ["a", "b", "old", "unknown", "first"]


async def test_a_list_that_stays_the_same_is_read_once_and_one_who_changes_theirs_changes_no_other(
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


async def test_a_model_that_cannot_generate_is_loaded_as_an_embedding_model(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
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
async def test_no_other_failed_load_is_tried_a_second_way(
    status: int, text: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, json={"error": text})
    assert text in str(await failure(client.load_model("m")))
    assert len(wire.calls) == 1


async def test_a_load_may_take_longer_than_any_other_request() -> None:
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
async def test_a_blob_is_there_or_not(status: int, held: bool, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.head(f"/api/blobs/{DIGEST}").respond(status)
    assert await client.has_blob(DIGEST) is held


async def test_a_digest_that_the_server_refuses_is_an_error(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(400)
    error = await failure(client.has_blob("sha256:zz"))
    assert isinstance(error, OllamaStatusError)
    assert error.status_code == 400


@pytest.mark.parametrize("digest", ["../tags", "../../", "x?y", "x#y", "x\ny", "é"])
async def test_whatever_a_manifest_calls_a_digest_stays_below_the_blobs(
    digest: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(404)
    assert await client.has_blob(digest) is False
    raw_path = wire.calls.last.request.url.raw_path
    assert raw_path.startswith(b"/api/blobs/")
    assert raw_path.count(b"/") == 3
    assert b"?" not in raw_path


async def test_deleting_a_model_that_is_not_there_is_false(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.delete("/api/delete").respond(404, json={"error": "model 'm' not found"})
    assert await client.delete_model("m") is False


@pytest.mark.parametrize("status", [404, 400, 500])
async def test_deleting_that_fails_otherwise_is_an_error(
    status: int, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.delete("/api/delete").respond(status, text="404 page not found")
    assert isinstance(await failure(client.delete_model("m")), OllamaStatusError)


BAD_NAMES = ["", " ", "a b", "a/b/c/d", "../../etc/passwd", "m:", ":t", "m@sha256:ab", "m\x1c", "ü", "x" * 500]
NAMED: dict[str, Callable[[OllamaClient, str], Awaitable[object]]] = {
    "get_model_info": OllamaClient.get_model_info,
    "delete_model": OllamaClient.delete_model,
    "load_model": OllamaClient.load_model,
    "unload_model": OllamaClient.unload_model,
    "copy_model, from": lambda client, name: client.copy_model(name, "n"),
    "copy_model, to": lambda client, name: client.copy_model("m", name),
    "pull_model": lambda client, name: statuses(client.pull_model(name)),
    "push_model": lambda client, name: statuses(client.push_model(name)),
    "create_model": lambda client, name: statuses(client.create_model(name, "m")),
    "create_model, from": lambda client, name: statuses(client.create_model("n", name)),
}


@pytest.mark.parametrize("method", NAMED)
async def test_a_bad_name_never_reaches_the_wire(method: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(200)
    for name in BAD_NAMES:
        with pytest.raises(InvalidModelName):
            await NAMED[method](client, name)
    assert not wire.calls


async def test_a_client_keeps_its_connection_and_opens_a_new_one_after_closing() -> None:
    async with answering(http(VERSION, JSON)) as server:
        client = OllamaClient(server.base_url)
        with anyio.fail_after(5):
            for _ in range(3):
                await client.get_version()
            assert server.connections == 1
            await client.aclose()
            await client.aclose()
            assert await client.get_version() == "0.33.0"
            await client.aclose()
        assert server.connections == 2


async def test_a_client_can_be_entered_and_is_closed_at_the_end() -> None:
    async with answering(http(VERSION, JSON)) as server:
        with anyio.fail_after(5):
            async with OllamaClient(server.base_url) as client:
                await client.get_version()
            async with client:
                await client.get_version()
        assert server.connections == 2


# Nobody can close what belongs to an event loop that is gone.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_one_client_serves_several_event_loops_one_after_the_other() -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(answering(http(VERSION, JSON))) as server,
    ):
        client = OllamaClient(server.base_url)
        assert [asyncio.run(client.is_running()) for _ in range(3)] == [True] * 3
        asyncio.run(client.aclose())
        assert server.connections == 3
        gc.collect()


async def test_what_is_packed_more_than_once_is_refused_before_it_is_unpacked() -> None:
    twice = gzip.compress(gzip.compress(VERSION))
    async with answering(http(twice, JSON, "Content-Encoding: gzip, gzip")) as server:
        error = await failure(OllamaClient(server.base_url).get_version())
        assert "compressed more than once" in error.problem
        error = await failure(statuses(OllamaClient(server.base_url).pull_model("m")))
    assert "compressed more than once" in error.problem


async def test_what_lacks_memory_is_told_to_need_less(wire: respx.MockRouter, client: OllamaClient) -> None:
    text = "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"
    wire.post("/api/generate").respond(500, json={"error": text})
    error = await failure(client.load_model("m"))
    assert error.next_step == "unload_model others first, or use a smaller model, quantization or num_ctx."


async def test_no_cookie_is_kept() -> None:
    async with (
        answering(http(VERSION, JSON, "Set-Cookie: track=42")) as server,
        OllamaClient(server.base_url) as client,
    ):
        await client.get_version()
        await client.get_version()
    assert b"track" not in b"".join(server.requests)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "said",
    [
        '{"error":"bad token Bearer sesame\\u0026\\u003cx"}',
        '{"error":"no access for eA=="}',
        "Authorization: sesame&<x",
    ],
)
async def test_a_key_that_a_server_repeats_is_not_told(said: str, status: int, wire: respx.MockRouter) -> None:
    client = OllamaClient(BASE_URL, api_key="sesame&<x", headers={"X-Door": "Basic eA=="})
    wire.post("/api/pull").respond(status, text=f"{said}\n")
    text = str(await failure(statuses(client.pull_model("m"))))
    assert "***" in text
    assert "sesame" not in text
    assert "eA==" not in text


async def test_calls_that_are_cut_off_cost_no_connection() -> None:
    async with answering(http(VERSION, JSON)) as server, OllamaClient(server.base_url, timeout=5) as client:

        async def cut_off(after: float) -> None:
            with anyio.move_on_after(after):
                await client.get_version()

        for way in range(10):
            async with anyio.create_task_group() as group:
                for number in range(40):
                    group.start_soon(cut_off, 0.001 * way + 0.0001 * number)
        with anyio.fail_after(5):
            assert await client.get_version() == "0.33.0"


async def test_many_calls_at_once_share_a_few_connections() -> None:
    async with (
        answering(SILENCE) as server,
        OllamaClient(server.base_url) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(3 * MAX_CONNECTIONS):
            group.start_soon(client.list_models)
        await until_connected(server, MAX_CONNECTIONS)
        group.cancel_scope.cancel()


async def test_calls_that_wait_for_their_turn_while_all_is_closed_are_answered_all_the_same() -> None:
    outcomes: list[bool] = []
    async with answering(http(VERSION, JSON)) as server, OllamaClient(server.base_url) as client:

        async def ask() -> None:
            outcomes.append(await client.is_running())

        async with anyio.create_task_group() as group:
            for _ in range(MAX_CONNECTIONS + 4):
                group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            await client.aclose()
    assert len(outcomes) == MAX_CONNECTIONS + 4
    assert sum(outcomes) >= 4


@pytest.mark.parametrize(
    ("base_url", "loaded"),
    [("http://127.0.0.1:1", False), ("https://127.0.0.1:1", True), ("http://h:1", True), ("https://h:1", True)],
)
def test_certificates_are_loaded_where_one_may_be_shown(base_url: str, loaded: bool) -> None:
    assert bool(tls_context(base_url)) is loaded


@pytest.mark.parametrize("proxy", ["socks5://name:secret@127.0.0.1:9", "socks://127.0.0.1:9", "http://[::bad"])
async def test_a_proxy_that_cannot_be_used_is_told(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    async with OllamaClient(REMOTE_URL) as client:
        assert not await client.is_running()
        with pytest.raises(OllamaConnectionError, match="Correct ALL_PROXY") as caught:
            await client.list_models()
    assert "secret" not in str(caught.value)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with answering(http(VERSION, JSON)) as server, OllamaClient(server.base_url) as client:
        assert await client.get_version() == "0.33.0"


async def test_a_proxy_of_the_environment_is_asked_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(http(VERSION, JSON)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with OllamaClient(REMOTE_URL) as client:
            assert await client.get_version() == "0.33.0"
    assert proxy.requests[0].startswith(f"GET {REMOTE_URL}/api/version ".encode())


async def test_a_compressed_answer_is_read_and_so_is_a_compressed_stream(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
    compressed = {"Content-Encoding": "gzip"}
    wire.get("/api/version").respond(headers=compressed, content=gzip.compress(VERSION))
    wire.post("/api/pull").respond(headers=compressed, content=gzip.compress(STREAM))
    assert await client.get_version() == "0.33.0"
    assert await statuses(client.pull_model("m")) == STREAMED


class Endless(httpx.AsyncByteStream):
    """A pull that goes on until somebody closes it."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"status":"pulling manifest"}\n'
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        self.closed = True


# Closing the connection is the only way to tell Ollama that it shall stop.
async def test_leaving_a_stream_early_closes_its_connection_at_once() -> None:
    body = Endless()
    client = OllamaClient(BASE_URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=body)))
    with anyio.fail_after(5):
        async with aclosing(client.pull_model("m")) as stream:
            assert (await anext(stream)).status == "pulling manifest"
            assert not body.closed
        assert body.closed


async def test_a_cancelled_wait_for_the_next_line_closes_the_connection() -> None:
    body = Endless()
    client = OllamaClient(BASE_URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=body)))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            async for _ in client.pull_model("m"):
                tasks.cancel_scope.cancel()
        assert body.closed


async def test_a_stream_may_be_silent_for_longer_than_a_request() -> None:
    second_line = anyio.Event()

    async def lines() -> AsyncGenerator[bytes]:
        yield b'{"status":"pulling manifest"}\n'
        await second_line.wait()
        yield b'{"status":"success"}\n'

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=lines()))
    client = OllamaClient(BASE_URL, timeout=0.001, transport=transport)
    seen: list[str] = []
    with anyio.fail_after(5):
        async for line in client.pull_model("m"):
            seen.append(line.status)
            with anyio.move_on_after(0.01):
                await anyio.sleep_forever()
            second_line.set()
    assert seen == STREAMED


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_where_nothing_listens_the_address_is_named() -> None:
    base_url = f"http://127.0.0.1:{closed_port()}"
    async with OllamaClient(base_url) as client:
        async for _, error in failures(client):
            assert type(error) is OllamaConnectionError
            assert error.retryable
            assert error.problem == f"Nothing answers at {base_url}."
            assert "`ollama serve`" in error.next_step


async def test_an_address_that_accepts_no_connection_in_time_is_named(wire: respx.MockRouter) -> None:
    wire.route().mock(side_effect=httpx.ConnectTimeout)
    error = await failure(OllamaClient(BASE_URL).get_version())
    assert isinstance(error, OllamaTimeoutError)
    assert error.problem == f"{BASE_URL} did not accept a connection within 10 s."
    assert "firewall" in error.next_step


@pytest.mark.parametrize("answer", [SILENCE, http(b"", length=10)], ids=["no answer", "half an answer"])
async def test_a_server_that_is_too_slow_is_left(answer: bytes | None) -> None:
    async with answering(answer) as server, OllamaClient(server.base_url, timeout=0.05) as client:
        error = await failure(client.list_models())
    assert isinstance(error, OllamaTimeoutError)
    assert error.retryable
    assert error.problem == f"The server at {server.base_url} did not answer within 0.05 s."
    assert "MCP_OLLAMA_TIMEOUT" in error.next_step


async def test_a_pull_that_is_refused_too_slowly_is_left() -> None:
    refusal = http(b'{"error":', status="500 Internal Server Error", length=100)
    async with answering(refusal) as server, OllamaClient(server.base_url, timeout=0.05) as client:
        assert isinstance(await failure(statuses(client.pull_model("m"))), OllamaTimeoutError)


@pytest.mark.parametrize(
    "answer",
    [
        http(b'{"version":', JSON, length=100),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"x" * 20,
    ],
    ids=["short body", "short chunk", "nothing", "not HTTP", "not gzip"],
)
@pytest.mark.parametrize("call", [CALLS["get_version"], CALLS["pull_model"]], ids=["request", "stream"])
async def test_a_broken_answer_is_a_broken_connection(call: Endpoint, answer: bytes) -> None:
    async with answering(answer, keep_alive=False) as server, OllamaClient(server.base_url) as client:
        error = await failure(call.call(client))
    assert type(error) is OllamaConnectionError
    assert error.retryable
    assert error.problem.startswith(f"The connection to {server.base_url} broke (")
    assert error.next_step == "Check that Ollama still runs there, then call again."


async def test_a_stream_that_breaks_off_gives_what_came_before() -> None:
    seen: list[str] = []

    async def follow(stream: AsyncIterator[Progress]) -> None:
        async for line in stream:
            seen.append(line.status)  # noqa: PERF401 - what came before the break counts

    answer = http(STREAM.splitlines(keepends=True)[0], length=1000)
    async with answering(answer, keep_alive=False) as server, OllamaClient(server.base_url) as client:
        error = await failure(follow(client.pull_model("m")))
    assert type(error) is OllamaConnectionError
    assert seen == ["pulling manifest"]


async def test_https_to_a_server_that_speaks_http_is_told_as_such() -> None:
    async with answering(http(VERSION), keep_alive=False, unasked=True) as server:
        base_url = server.base_url.replace("http:", "https:")
        async with OllamaClient(base_url) as client:
            error = await failure(client.get_version())
    assert type(error) is OllamaConnectionError
    assert error.problem.startswith(f"No secure connection to {base_url} can be made: [SSL")
    assert "Ollama itself speaks http" in error.next_step


async def test_a_server_that_tells_its_version_is_running(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(content=VERSION)
    assert await client.is_running() is True


@pytest.mark.parametrize(
    "outcome",
    [
        *(httpx.ConnectError("refused"), httpx.ConnectTimeout("late"), httpx.ReadError("reset")),
        *(httpx.Response(status) for status in (301, 403, 404, 500)),
        *(httpx.Response(200, content=content) for content in (b"", b"<html>", b"{}", b"[" * 10_000)),
    ],
    ids=["refused", "late", "reset", "moved", "forbidden", "missing", "broken", "empty", "page", "odd", "deep"],
)
async def test_whatever_else_answers_is_not_ollama_running(
    outcome: httpx.Response | Exception, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().mock(side_effect=[outcome])
    assert await client.is_running() is False


async def test_a_server_that_is_silent_for_five_seconds_is_not_running() -> None:
    assert inspect.signature(OllamaClient.is_running).parameters["seconds"].default == 5
    async with answering(SILENCE) as server, OllamaClient(server.base_url) as client:
        with anyio.fail_after(5):
            assert await client.is_running(seconds=0.05) is False


@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_is_not_followed(status: int, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(status, headers={"Location": "http://evil.example/"})
    async for _, error in failures(client):
        assert type(error) is OllamaStatusError
        assert error.status_code == status
        assert "redirects are not followed" in error.problem
    assert len(wire.calls) == len(CALLS)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_without_a_text_explains_what_it_may_be(
    status: int, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status)
    async for _, error in failures(client):
        assert type(error) is OllamaAuthorizationError
        assert (error.status_code, error.retryable) == (status, False)
        assert error.problem == f"{BASE_URL} refuses the request ({status}) and does not say why."
        assert "`Host: localhost:11434`" in error.next_step
        assert "MCP_OLLAMA_API_KEY" in error.next_step


@pytest.mark.parametrize(
    ("status", "answer", "problem", "next_step"),
    [
        (401, {"error": "bad key."}, "refuses the request (401): bad key.", "Set MCP_OLLAMA_API_KEY to a valid key."),
        (
            401,
            {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x&key=y"},
            "refuses the request (401): unauthorized.",
            "Run `ollama signin` on the machine that Ollama runs on.",
        ),
        (403, {"error": "go away"}, "refuses the request (403): go away.", "Ask who runs that server."),
        (
            403,
            {"error": "ollama cloud is disabled: remote model details are unavailable"},
            "refuses the request (403): ollama cloud is disabled: remote model details are unavailable.",
            "Cloud models are switched off on this server (OLLAMA_NO_CLOUD, or its settings).",
        ),
    ],
    ids=["401", "signed out", "403", "cloud disabled"],
)
async def test_a_refusal_is_told_with_its_text_and_what_to_do(
    status: int, answer: object, problem: str, next_step: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, json=answer)
    error = await failure(client.get_model_info("m"))
    assert type(error) is OllamaAuthorizationError
    assert (error.problem, error.next_step) == (f"{BASE_URL} {problem}", next_step)


@pytest.mark.parametrize("method", ["get_model_info", "load_model", "unload_model", "pull_model", "push_model"])
async def test_a_model_that_is_not_there_is_named(method: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(404, json={"error": "model 'm' not found"})
    error = await failure(NAMED[method](client, "m"))
    assert isinstance(error, ModelNotFoundError)
    assert (error.model, error.status_code, error.retryable) == ("m:latest", 404, False)
    assert error.problem == "The model m:latest is not installed on this server."


async def test_the_source_of_a_copy_is_the_model_that_is_missing(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(404, json={"error": 'model "m" not found'})
    error = await failure(client.copy_model("m", "n"))
    assert isinstance(error, ModelNotFoundError)
    assert error.model == "m:latest"


@pytest.mark.parametrize(("status", "page"), [(404, "404 page not found"), (405, "405 method not allowed")])
async def test_an_endpoint_that_the_server_does_not_have_is_no_missing_model(
    status: int, page: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, text=page)
    # An answer to HEAD has no text: a missing blob and a missing endpoint look the same.
    calls = {name: endpoint for name, endpoint in CALLS.items() if endpoint.method != "HEAD"}
    async for endpoint, error in failures(client, calls):
        assert type(error) is OllamaStatusError
        assert error.status_code == status
        assert error.problem.startswith(f"The server at {BASE_URL} does not know {endpoint.path}: it is not Ollama")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"error":"the runner is gone."}', "the runner is gone"),
        (b'{"error":{"message":"the runner is gone","type":"api_error"}}', "the runner is gone"),
        (b'{"error":{"odd":1}}', "{'odd': 1}"),
        (b"<!DOCTYPE html><html><body>Bad gateway</body></html>", "<a web page>"),
        (b"upstream\r\n\x1b[31mfailed", "upstream failed"),
        (b"", "nothing more"),
        (b'{"error":""}', '{"error":""}'),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}"),
    ],
    ids=["json", "object", "odd object", "html", "text", "nothing", "empty text", "binary"],
)
async def test_a_server_in_trouble_is_quoted_and_worth_another_try(
    content: bytes, told: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(500, content=content)
    async for _, error in failures(client):
        assert type(error) is OllamaStatusError
        assert (error.status_code, error.retryable) == (500, True)
        assert error.problem == f"Ollama answered 500: {told}."


async def test_a_bad_request_is_quoted_and_not_worth_another_try(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(400, json={"error": 'time: invalid duration "x"'})
    error = await failure(client.load_model("m", "x"))
    assert str(error) == 'Ollama answered 400: time: invalid duration "x".'
    assert not error.retryable


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty answer"),
        (b" \n", "an empty answer"),
        (b"<!DOCTYPE html><title>Open WebUI</title>", "a web page"),
        (b"Ollama is running", "something that is not JSON"),
        (b'{"version":"\xff"}', "something that is not JSON"),
        (b"[" * 10_000, "something that is not JSON"),
        (b'{"version":' * 10_000 + b"1" + b"}" * 10_000, "something that is not JSON"),
        (b"[]", "JSON that is not what Ollama's would be"),
        (b"null", "JSON that is not what Ollama's would be"),
        (
            b'{"version":1,"models":[{}],"recommendations":{},"model_info":[],"object":0}',
            "JSON that is not what Ollama's would be",
        ),
    ],
    ids=["empty", "blank", "page", "text", "not utf-8", "deep list", "deep object", "list", "null", "wrong fields"],
)
async def test_what_is_not_ollamas_answer_is_told_as_what_it_is(
    content: bytes, what: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(200, content=content)
    async for endpoint, error in failures(client, READING):
        assert type(error) is OllamaResponseError
        assert not error.retryable
        assert error.problem == f"{BASE_URL}{endpoint.path} gave {what}."


async def test_a_list_without_models_is_not_taken_for_an_empty_one(
    wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(200, json={})
    for call in (client.list_models, client.list_running_models, client.list_recommendations, client.check_openai_api):
        assert isinstance(await failure(call()), OllamaResponseError)


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_that_has_no_end_is_left(status: int) -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        piece = b" " * 4_000_000
        while True:
            sent += len(piece)
            yield piece

    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=endless()))
    error = await failure(OllamaClient(BASE_URL, transport=transport).list_models())
    assert type(error) is OllamaResponseError
    assert f"larger than {MAX_ANSWER_BYTES:,} bytes" in error.problem
    assert sent <= MAX_ANSWER_BYTES + 4_000_000


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_within_a_job_is_raised(stream: bool, wire: respx.MockRouter, client: OllamaClient) -> None:
    body = '{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n'
    wire.post("/api/pull").respond(200, text=body)
    error = await failure(statuses(client.pull_model("m", stream=stream)))
    assert type(error) is NotInRegistryError
    assert error.problem == "The registry has no m:latest."
