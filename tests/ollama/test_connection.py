"""The connection: pooling, timeouts, proxies, TLS and broken transports."""

import asyncio
import gc
import gzip
import ssl
from collections.abc import AsyncGenerator
from functools import cache
from pathlib import Path

import anyio
import anyio.lowlevel
import certifi
import httpx
import pytest
import respx
from anyio.from_thread import start_blocking_portal

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.connection import MAX_CONNECTIONS, MAX_RESPONSE_BYTES, tls_context
from mcp_ollama.ollama.errors import (
    OllamaConnectionError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from tests.ollama.endpoints import (
    BASE_URL,
    CALLS,
    JSON,
    REMOTE_URL,
    VERSION,
    Endpoint,
    closed_port,
    failure,
    failures,
)
from tests.support.raw_server import SILENCE, answering, http, until_connected


async def test_connection_is_reused_until_the_client_is_closed() -> None:
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


async def test_client_as_context_manager_closes_at_exit() -> None:
    async with answering(http(VERSION, JSON)) as server:
        with anyio.fail_after(5):
            async with OllamaClient(server.base_url) as client:
                await client.get_version()
            async with client:
                await client.get_version()
        assert server.connections == 2


# Connections of a closed event loop cannot be closed.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_client_serves_consecutive_event_loops() -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(answering(http(VERSION, JSON))) as server,
    ):
        client = OllamaClient(server.base_url)
        assert [asyncio.run(client.is_running()) for _ in range(3)] == [True] * 3
        asyncio.run(client.aclose())
        assert server.connections == 3
        gc.collect()


@cache
def line_feeds() -> bytes:
    """Compress 300 MB to 300 KB."""
    return gzip.compress(b"\n" * 300_000_000, 1)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "zstd"])
@pytest.mark.parametrize("call", [CALLS["get_version"], CALLS["pull_model"]], ids=["request", "stream"])
async def test_encoded_response_is_refused_before_decoding(call: Endpoint, encoding: str) -> None:
    async with answering(http(line_feeds(), JSON, f"Content-Encoding: {encoding}")) as server:
        error = await failure(call.call(OllamaClient(server.base_url)))
    assert type(error) is OllamaResponseError
    assert error.problem == f"The response is encoded as {encoding!r}, although only `identity` was accepted."


async def test_cookies_are_not_kept() -> None:
    async with (
        answering(http(VERSION, JSON, "Set-Cookie: track=42")) as server,
        OllamaClient(server.base_url) as client,
    ):
        await client.get_version()
        await client.get_version()
    assert b"track" not in b"".join(server.requests)


async def test_cancelled_calls_leak_no_connection() -> None:
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


async def test_concurrent_calls_share_a_few_connections() -> None:
    async with (
        answering(SILENCE) as server,
        OllamaClient(server.base_url) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(3 * MAX_CONNECTIONS):
            group.start_soon(client.get_version)
        await until_connected(server, MAX_CONNECTIONS)
        group.cancel_scope.cancel()


async def test_queued_calls_survive_aclose() -> None:
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
def test_certificates_are_loaded_unless_loopback_http(base_url: str, loaded: bool) -> None:
    assert bool(tls_context(base_url)) is loaded


@pytest.mark.parametrize("proxy", ["socks5://name:secret@127.0.0.1:9", "socks://127.0.0.1:9", "http://[::bad"])
async def test_unusable_proxy_is_named_without_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    async with OllamaClient(REMOTE_URL) as client:
        assert not await client.is_running()
        with pytest.raises(OllamaConnectionError, match="Correct ALL_PROXY") as caught:
            await client.list_models()
    assert "secret" not in str(caught.value)


async def test_proxy_is_bypassed_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with answering(http(VERSION, JSON)) as server, OllamaClient(server.base_url) as client:
        assert await client.get_version() == "0.33.0"


async def test_proxy_is_used_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(http(VERSION, JSON)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with OllamaClient(REMOTE_URL) as client:
            assert await client.get_version() == "0.33.0"
    assert proxy.requests[0].startswith(f"GET {REMOTE_URL}/api/version ".encode())


async def test_requests_accept_only_identity(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(content=VERSION)
    await client.get_version()
    assert wire.calls.last.request.headers.get_list("accept-encoding") == ["identity"]


async def test_identity_encoded_response_is_read(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(headers={"Content-Encoding": "Identity"}, content=VERSION)
    assert await client.get_version() == "0.33.0"


async def test_unreachable_server_is_named() -> None:
    base_url = f"http://127.0.0.1:{closed_port()}"
    async with OllamaClient(base_url) as client:
        async for _, error in failures(client):
            assert type(error) is OllamaConnectionError
            assert error.retryable
            assert error.problem == f"Nothing answers at {base_url}."
            assert "`ollama serve`" in error.next_step


async def test_connect_timeout_names_the_address(wire: respx.MockRouter) -> None:
    wire.route().mock(side_effect=httpx.ConnectTimeout)
    error = await failure(OllamaClient(BASE_URL).get_version())
    assert isinstance(error, OllamaTimeoutError)
    assert error.problem == f"{BASE_URL} did not accept a connection within 10 s."
    assert "firewall" in error.next_step


@pytest.mark.parametrize("answer", [SILENCE, http(b"", length=10)], ids=["no answer", "half an answer"])
async def test_slow_response_times_out(answer: bytes | None) -> None:
    async with answering(answer) as server, OllamaClient(server.base_url, timeout=0.05) as client:
        error = await failure(client.list_models())
    assert isinstance(error, OllamaTimeoutError)
    assert error.retryable
    assert error.problem == f"The server at {server.base_url} did not answer within 0.05 s."
    assert "MCP_OLLAMA_TIMEOUT" in error.next_step


@pytest.mark.parametrize(
    "answer",
    [
        http(b'{"version":', JSON, length=100),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
    ids=["short body", "short chunk", "nothing", "not HTTP"],
)
@pytest.mark.parametrize("call", [CALLS["get_version"], CALLS["pull_model"]], ids=["request", "stream"])
async def test_broken_response_is_a_connection_error(call: Endpoint, answer: bytes) -> None:
    async with answering(answer, keep_alive=False) as server, OllamaClient(server.base_url) as client:
        error = await failure(call.call(client))
    assert type(error) is OllamaConnectionError
    assert error.retryable
    assert error.problem.startswith(f"The connection to {server.base_url} broke (")
    assert error.next_step == "Check that Ollama still runs there, then call again."


async def test_https_to_a_plain_http_server_is_a_tls_error() -> None:
    async with answering(http(VERSION), keep_alive=False, unasked=True) as server:
        base_url = server.base_url.replace("http:", "https:")
        async with OllamaClient(base_url) as client:
            error = await failure(client.get_version())
    assert type(error) is OllamaConnectionError
    assert error.problem.startswith(f"No secure connection to {base_url} can be made: [SSL")
    assert "Ollama itself speaks http" in error.next_step


@pytest.mark.parametrize("status", [301, 307])
async def test_redirect_is_not_followed(status: int, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(status, headers={"Location": "http://evil.example/"})
    async for _, error in failures(client):
        assert type(error) is OllamaStatusError
        assert error.status_code == status
        assert "redirects are not followed" in error.problem
    assert len(wire.calls) == len(CALLS)


@pytest.mark.parametrize("status", [200, 500])
async def test_endless_response_is_abandoned(status: int) -> None:
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
    assert f"larger than {MAX_RESPONSE_BYTES:,} bytes" in error.problem
    assert sent <= MAX_RESPONSE_BYTES + 4_000_000


def test_ca_file_is_trusted_beside_the_usual_certificates(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    pem = Path(certifi.where()).read_text(encoding="utf-8").split("-----END CERTIFICATE-----\n")
    own.write_text(f"{pem[1]}-----END CERTIFICATE-----\n", encoding="utf-8")
    usual, both = tls_context("https://gpu"), tls_context("https://gpu", own)
    assert isinstance(usual, ssl.SSLContext)
    assert isinstance(both, ssl.SSLContext)
    assert len(both.get_ca_certs()) == len(usual.get_ca_certs()) + 1
