"""The real command over Streamable HTTP: clients of both eras at once, and those that are turned away."""

import os
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Literal

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_ollama.cli.main import main
from mcp_ollama.simulator import RunningSimulator, Simulator, Stall, serve
from tests.support.wire import MODERN, Wire, initialize, request

COMMAND = [sys.executable, "-m", "mcp_ollama"]
TOKEN = "correct-horse-battery-staple"
http = httpx.Client(verify=False, trust_env=False)  # reading certificates takes longer than a test
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module", autouse=True)
def ollama() -> Iterator[RunningSimulator]:
    with serve(Simulator(tick=0.002)) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def local(ollama: RunningSimulator) -> Iterator[Wire]:
    """A server for this machine alone, which the last test ends."""
    with started("0", ollama, forked=False) as wire:
        yield wire


@pytest.fixture(scope="module", autouse=True)
def busy(ollama: RunningSimulator) -> Iterator[Wire]:
    """A server at a name with a capital letter, which ends in the middle of a call."""
    with started("0X7F.1:0", ollama) as wire:
        yield wire


@pytest.fixture(scope="module", autouse=True)
def public() -> Iterator[Wire]:
    """A server for everybody who has the token."""
    with started(
        "0.0.0.0:0", None, "--http-hosts=nas.example,fe80::1", "--log-level=debug", MCP_OLLAMA_HTTP_TOKEN=TOKEN
    ) as wire:
        yield wire


HANGING = """
from contextlib import asynccontextmanager
from mcp.server.lowlevel import Server
from mcp_ollama.transports import http
@asynccontextmanager
async def lifespan(_):
    yield
    http.os.write(2, b"cleaning\\n")
    await http.anyio.sleep_forever()
http._EXIT_SECONDS = 1.0
http.serve(Server("hanging", lifespan=lifespan), http.Address("localhost", 0))
"""


MUTE = """
import signal, sys
from contextlib import asynccontextmanager
from mcp.server.lowlevel import Server
from mcp_ollama.transports import http
@asynccontextmanager
async def lifespan(_):
    yield signal.raise_signal(signal.SIGTERM)
sys.exit(http.serve(Server("mute", lifespan=lifespan), http.Address("localhost", 0)))
"""


@pytest.fixture(scope="module", autouse=True)
def hanging() -> Iterator[Wire]:
    """A server whose clean-up never ends."""
    with Wire([sys.executable, "-c", HANGING], forked=True) as wire:
        yield wire


@contextmanager
def started(
    address: str, ollama: RunningSimulator | None, *flags: str, forked: bool = True, **variables: str
) -> Generator[Wire]:
    """Start a server, early; the one that is not forked is started as an operator does it."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH", "SYSTEMROOT"))}
    base_url = ollama.base_url if ollama else "http://127.0.0.1:9"
    registry = base_url.removeprefix("http://")
    own = {"MCP_OLLAMA_BASE_URL": base_url, "MCP_OLLAMA_REGISTRIES": registry}
    with Wire([*COMMAND, "--http", address, *flags], forked=forked, env=kept | own | variables) as wire:
        yield wire
        # A server that no test has ended writes its coverage data when it ends by itself.
        wire.signal(signal.SIGTERM)
        wire.wait()


def url_of(server: Wire) -> str:
    server.hear("/mcp\n", timeout=30)
    found = re.search(r"Serving on (http://.*/mcp)\n", server.errors)
    assert found, server.errors
    return found[1].replace("0.0.0.0", "127.0.0.1")


@asynccontextmanager
async def connected(server: Wire, era: Literal["auto", "legacy"], token: str | None = None) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers) as client:
        transport = streamable_http_client(url_of(server), http_client=client)
        with anyio.fail_after(20):
            async with Client(transport, mode=era) as connection:
                yield connection


async def use(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content or {}


def post(server: Wire, *, modern: bool, **headers: str) -> httpx.Response:
    """Ask something small in one of the eras."""
    frame = request(1, "server/discover", modern=True) if modern else initialize()
    era = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "server/discover"} if modern else {}
    return http.post(url_of(server), json=frame, headers=ACCEPT | era | headers)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_clients_of_both_eras_share_the_transfers(ollama: RunningSimulator, local: Wire):
    tiny = f"{ollama.base_url.removeprefix('http://')}/library/tiny:latest"
    ollama.simulator.registry.publish(tiny, size_bytes=30_000_000)
    ollama.simulator.faults.add(tiny, Stall(at=0.5))
    async with connected(local, "auto") as modern, connected(local, "legacy") as legacy:
        await use(modern, "pull_model", model=tiny, insecure=True, wait_seconds=0)
        await ollama.simulator.until(lambda: ollama.simulator.in_flight["/api/pull"] == 1)
        assert [transfer["model"] for transfer in (await use(legacy, "list_pulls"))["transfers"]] == [tiny]
    async with connected(local, "auto") as another:
        assert (await use(another, "cancel_pull", model=tiny))["state"] == "cancelled"


async def test_confirmation_of_one_session_confirms_nothing_in_another(ollama: RunningSimulator, local: Wire):
    ollama.simulator.install("victim")
    async with connected(local, "legacy") as one, connected(local, "legacy") as other:
        token = (await use(one, "delete_model", model="victim"))["confirmation"]
        refused = await use(other, "delete_model", model="victim", confirm=token)
    assert refused["reason"] == "needs_confirmation"
    assert ollama.simulator.is_installed("victim")


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_client_with_the_token_is_let_in(public: Wire, era: Literal["auto", "legacy"]):
    async with connected(public, era, TOKEN) as client:
        assert "list_models" in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
class TestBothEras:
    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": TOKEN}, bearer("wrong"), bearer(TOKEN[:-1]), {"Authorization": "Basic eDp5"}],
    )
    def test_without_the_token_nothing_is_answered(self, public: Wire, headers: dict[str, str], modern: bool):
        answer = post(public, modern=modern, **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")

    def test_bytes_that_are_no_ascii_are_a_wrong_token(self, public: Wire, modern: bool):
        frame = request(1, "server/discover", modern=modern)
        answer = http.post(url_of(public), json=frame, headers={b"Authorization": b"Bearer \xff\xe9"})
        assert answer.status_code == 401

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:1", "localhost.evil"])
    def test_a_request_under_a_foreign_name_is_refused(self, local: Wire, host: str, modern: bool):
        assert post(local, modern=modern, Host=host).status_code == 421

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://evil.example:127"]
    )
    def test_a_page_from_elsewhere_is_refused_even_with_the_token(self, public: Wire, origin: str, modern: bool):
        assert post(public, modern=modern, Origin=origin, **bearer()).status_code == 403

    @pytest.mark.parametrize("host", ["nas.example", "[fe80::1]:8000", "localhost:1", f"{socket.gethostname()}:8000"])
    def test_a_server_for_others_answers_to_its_own_names_and_those_given(self, public: Wire, host: str, modern: bool):
        assert post(public, modern=modern, Host=host.lower(), **bearer()).status_code == 200

    @pytest.mark.parametrize("host", ["0X7F.1:80", "0x7f.1", "LocalHost:80"])
    def test_names_are_the_same_in_capitals(self, busy: Wire, host: str, modern: bool):
        assert post(busy, modern=modern, Host=host).status_code == 200

    def test_a_body_over_4_megabytes_is_refused(self, local: Wire, modern: bool):
        frame = request("big", "x" * (4 * 2**20), modern=modern)
        assert http.post(url_of(local), json=frame, headers=ACCEPT).status_code == 413


def test_a_body_is_not_read_before_the_token_was_shown(public: Wire):
    assert http.post(url_of(public), content=b"x" * (5 * 2**20)).status_code == 401


def test_the_token_is_never_logged(public: Wire):
    assert post(public, modern=True, **bearer()).status_code == 200
    assert "DEBUG" in public.errors
    assert TOKEN not in public.errors


def test_an_address_for_others_takes_a_token(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["--http", "0.0.0.0:0"])
    complaint = "MCP_OLLAMA_HTTP_TOKEN: must be set to let other machines in at 0.0.0.0"
    assert capfd.readouterr().err == f"mcp-ollama-manager: {complaint}\n"


def test_address_in_use_is_reported_in_one_line(capfd: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match="2"):
            main(["--http", str(port)])
    why = ": Address already in use; name a free port and an address of this machine"
    complaint = f"--http: cannot listen on 127.0.0.1, port {port}{why}"
    assert capfd.readouterr().err == f"mcp-ollama-manager: {complaint}\n"


def test_a_second_signal_ends_the_process_at_once(public: Wire):
    # A request that is never sent to its end keeps the first one waiting.
    head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(url_of(public)).port or 0), timeout=30) as client:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(99).startswith(b"HTTP/1.1 100 ")
        public.signal(signal.SIGTERM)
        public.hear("Shutting down")
        public.signal(signal.SIGINT)
        assert public.wait() == 130
    assert "shutdown complete" not in public.errors


def test_a_missing_stderr_does_not_matter():
    with Wire(["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", MUTE]) as wire:
        assert wire.wait() == 143


def test_a_clean_up_that_hangs_is_cut_off(hanging: Wire):
    assert http.get(url_of(hanging)).status_code == 400
    hanging.signal(signal.SIGTERM)
    assert hanging.wait() == 143
    assert hanging.errors.endswith("cleaning\n")


@contextmanager
def streams(server: Wire) -> Generator[tuple[Iterator[str], Iterator[str]]]:
    """Open the stream that each era has for changes."""
    opened = post(server, modern=False)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    frame = request("listen", "subscriptions/listen", {"notifications": {"resourcesListChanged": True}}, modern=True)
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    with (
        http.stream("GET", url_of(server), headers=ACCEPT | session) as older,
        http.stream("POST", url_of(server), json=frame, headers=ACCEPT | headers) as newer,
    ):
        yield older.iter_lines(), newer.iter_lines()


def pull(server: Wire, model: str, ollama: RunningSimulator, wait: int) -> AbstractContextManager[httpx.Response]:
    """Ask for a model whose download comes to a stop, and report its progress."""
    name = f"{ollama.base_url.removeprefix('http://')}/library/{model}:latest"
    ollama.simulator.registry.publish(name, size_bytes=30_000_000)
    ollama.simulator.faults.add(name, Stall(at=0.5))
    arguments = {"model": name, "insecure": True, "wait_seconds": wait}
    params = {"name": "pull_model", "arguments": arguments, "_meta": {"progressToken": 1}}
    frame = request(1, "tools/call", params, modern=True)
    headers = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "pull_model"}
    return http.stream("POST", url_of(server), json=frame, headers=headers)


def test_a_call_that_is_cut_off_by_a_signal_leaves_no_traceback(ollama: RunningSimulator, busy: Wire):
    with pull(busy, "cut", ollama, wait=60) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: message"
        busy.signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert busy.wait() == 143
    assert "Cancel 1 running task" in busy.errors
    assert "Traceback" not in busy.errors


def test_signal_closes_streams_and_downloads_and_is_the_exit_status(ollama: RunningSimulator, local: Wire):
    with pull(local, "small", ollama, wait=0) as answer:
        assert "continues by itself" in answer.read().decode()
    ollama.simulator.wait_until(lambda: ollama.simulator.in_flight["/api/pull"] == 1, timeout=5)
    with streams(local) as (older, newer):
        local.signal(signal.SIGTERM)
        assert list(older) == []
        assert '"id":"listen","result":' in "".join(newer)
    assert local.wait() == 143
    ollama.simulator.wait_until(lambda: ollama.simulator.in_flight["/api/pull"] == 0, timeout=5)
    assert "to go on where it stopped" in local.errors
    assert "ERROR" not in local.errors
