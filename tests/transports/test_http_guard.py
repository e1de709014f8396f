"""Which requests over HTTP are refused, and what is accepted from clients that are not exact."""

import json
import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.wire import MODERN, Wire, call, initialize, request
from tests.transports.test_http import ACCEPT, TOKEN, bearer, http, url_of

MODERN_HEADERS = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "server/discover"}

# SIGHUP may be ignored here, as under nohup, and would be in the child too.
TALKATIVE = """
import signal, sys
from mcp_ollama.cli.main import main
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.exit(main(["--http", "0", "--http-hosts", "nas.example,localhost:6274", "--log-level", "debug"]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    with talkative() as wire:
        yield wire


@contextmanager
def talkative() -> Generator[Wire]:
    """Run a server that a proxy and one further page may reach, at the most talkative log level."""
    own = {"MCP_OLLAMA_BASE_URL": "http://127.0.0.1:9", "MCP_OLLAMA_HTTP_TOKEN": TOKEN}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH"))}
    with Wire([sys.executable, "-c", TALKATIVE], forked=True, env=kept | own) as wire:
        yield wire
        wire.signal(signal.SIGHUP)
        assert wire.wait() == 129


def port_of(server: Wire) -> int:
    return httpx.URL(url_of(server)).port or 0


def discover(server: Wire, path: str = "/mcp", **headers: str) -> httpx.Response:
    frame = request(1, "server/discover", modern=True)
    url = httpx.URL(url_of(server)).join(path)
    return http.post(url, json=frame, headers=ACCEPT | MODERN_HEADERS | bearer() | headers)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_origin_of_own_port_is_accepted(server: Wire, name: str):
    assert discover(server, Origin=f"http://{name}:{port_of(server)}").status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:9999", "http://localhost", "https://[::1]:8443", "http://localhost:80@evil.example", "null", ""],
)
def test_origin_of_another_port_is_refused(server: Wire, origin: str):
    assert discover(server, Origin=origin).status_code == 403


@pytest.mark.parametrize(
    ("name", "own", "foreign"),
    [("Origin", "http://localhost:{port}", "http://evil.example"), ("Sec-Fetch-Site", "same-origin", "cross-site")],
)
def test_a_foreign_value_behind_an_own_one_is_refused(server: Wire, name: str, own: str, foreign: str):
    frame = request(1, "server/discover", modern=True)
    headers = ACCEPT | MODERN_HEADERS | bearer()
    repeated = [*headers.items(), (name, own.format(port=port_of(server))), (name, foreign)]
    assert http.post(url_of(server), json=frame, headers=repeated).status_code == 403


def test_a_refused_host_name_is_answered_with_the_setting_that_allows_it(server: Wire):
    assert "MCP_OLLAMA_HTTP_HOSTS" in discover(server, Host="box.example").text


@pytest.mark.parametrize("origin", ["https://nas.example", "http://nas.example:80", "http://localhost:6274"])
def test_origin_that_the_operator_named_is_accepted(server: Wire, origin: str):
    assert discover(server, Origin=origin).status_code == 200


def test_origin_through_a_tunnel_is_accepted_when_it_equals_host(server: Wire):
    assert discover(server, Origin="http://localhost:9000", Host="localhost:9000").status_code == 200
    assert discover(server, Origin="http://localhost:9000", Host="localhost:9001").status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unknown"])
def test_request_of_another_site_is_refused(server: Wire, site: str):
    assert discover(server, **{"Sec-Fetch-Site": site}).status_code == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_request_of_the_own_page_is_accepted(server: Wire, site: str):
    assert discover(server, **{"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost:port", "localhost:", "127.0.0.1:70000", "127.0.0.1:0", "[::1", "localhost:80@evil.example", ""]
)
def test_host_that_cannot_be_parsed_is_refused(server: Wire, host: str):
    assert discover(server, Host=host).status_code == 421


@pytest.mark.parametrize("path", ["/mcp/", "/", "/other", "/mcp/x"])
def test_every_path_checks_host(server: Wire, path: str):
    answer = discover(server, path, Host="evil.example")
    assert (answer.status_code, "location" in answer.headers) == (421, False)


@pytest.mark.parametrize(("path", "status"), [("/mcp/", 200), ("/mcp//", 404)])
def test_endpoint_with_a_slash_answers_without_a_redirect(server: Wire, path: str, status: int):
    assert discover(server, path).status_code == status


@pytest.mark.parametrize("accept", [None, "*/*"])
@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
def test_request_without_accept_is_answered(server: Wire, accept: str | None, modern: bool):
    frame = request(1, "server/discover", modern=True) if modern else initialize()
    sent = http.build_request(
        "POST", url_of(server), json=frame, headers=bearer() | MODERN_HEADERS if modern else bearer()
    )
    if accept is None:
        del sent.headers["accept"]
    assert http.send(sent).status_code == 200


def post(server: Wire, content: bytes | Iterable[bytes]) -> httpx.Response:
    return http.post(url_of(server), content=content, headers=ACCEPT | bearer() | {"Content-Type": "application/json"})


def test_body_with_too_many_values_is_refused(server: Wire):
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[' + b",".join([b"[]"] * 300_000) + b"]}}"
    assert post(server, body).status_code == 413


def test_body_without_a_length_is_refused_at_4_megabytes(server: Wire):
    assert post(server, (b"x" * 2**20 for _ in range(5))).status_code == 413


@pytest.mark.parametrize("name", [b"\xff", b"\\ud83d"])
def test_text_that_is_not_unicode_is_replaced_in_a_body(server: Wire, name: bytes):
    client = {"name": "NAME", "version": "1"}
    frame = initialize() | {"params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}}
    body = b"\xef\xbb\xbf" + json.dumps(frame).encode().replace(b"NAME", name)
    assert post(server, body).status_code == 200


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"jsonrpc":"2.0","id":5.0,"method":"ping"}', 5),
        (b'{"jsonrpc":"2.0","id":6,"method":"ping","params":{"a":NaN}}', 6),
        (b'{"jsonrpc":"2.0","id":7,"meth', 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None),
        (b"", None),
    ],
)
def test_body_that_is_not_a_message_is_refused_with_its_id(server: Wire, body: bytes, answered: int | None):
    refusal = post(server, body)
    assert (refusal.status_code, refusal.json().get("id")) == (400, answered)
    assert refusal.json()["error"]["message"]


def test_log_holds_no_token_confirmation_or_body_at_debug():
    secret = "s3cret-in-a-body"
    # The log is complete once the process has ended.
    with talkative() as server:
        session = _converse_about(secret, server)
    assert "DEBUG" in server.errors
    assert secret not in server.errors
    assert TOKEN not in server.errors
    assert session not in server.errors


def _converse_about(secret: str, server: Wire) -> str:
    """Send it in a call and in a notification, and return the identifier of the session."""
    opened = http.post(url_of(server), json=initialize(), headers=ACCEPT | bearer())
    session = ACCEPT | bearer() | {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    answer = http.post(url_of(server), json=call(1, "list_models", **{secret: True}), headers=session)
    assert (answer.status_code, secret in answer.text) == (200, True)
    http.post(url_of(server), json={"jsonrpc": "2.0", "method": secret, "params": {"x": secret}}, headers=session)
    return opened.headers["mcp-session-id"]
