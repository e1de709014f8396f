"""Hostile clients over HTTP: those that open many sessions, that do not read answers, that do not read changes."""

import json
import os
import socket
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mcp_ollama.models.events import Change
from mcp_ollama.server.resources import changed_uris
from tests.attack.measure import ANSWER_SECONDS, Record, Victim, url_of, victim
from tests.support.wire import HANDSHAKE, MODERN, call, initialize, notification, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
full = pytest.mark.skipif(not os.environ.get("ATTACK"), reason="make attack runs it")

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SESSIONS = 1_100
COPY = "copy:latest"
FOLLOWED = changed_uris(Change("installed", (COPY,)))
CHANGES = 350
"""Each is six notifications; some 500 fill the buffers of a connection, and 1,024 the queue."""


class HttpVictim:
    """A server over HTTP, in which a pull is in progress, and a client that reads."""

    def __init__(self, attacked: Victim, client: httpx.Client) -> None:
        self.attacked = attacked
        self.url = url_of(attacked)
        self._client = client
        self.call("pull_model", model="pulled", wait_seconds=0)
        attacked.begin()

    def post(self, frame: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        """Post a message, which has to be accepted."""
        return self._client.post(self.url, json=frame, headers=ACCEPT | dict(headers)).raise_for_status()

    def call(self, tool: str, **arguments: object) -> str:
        """Call a tool in the era of 2026-07-28, and return the text of the answer."""
        headers = modern_headers("tools/call", tool)
        answer = self.post(call("call", tool, modern=True, **arguments), headers).text
        assert '"isError":true' not in answer, answer
        return answer

    def open_session(self) -> dict[str, str]:
        """Open a session of the handshake era, and return its headers."""
        opened = self.post(initialize(), {})
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": HANDSHAKE}
        self.post(notification("notifications/initialized"), session)
        return session

    def connect_without_reading(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", times: int = 1
    ) -> socket.socket:
        """Send a request over a connection of its own, read no more than its status, and return the socket."""
        address = httpx.URL(self.url)
        lines = ACCEPT | dict(headers) | {"Host": f"{address.host}:{address.port}", "Content-Length": str(len(body))}
        head = f"{method} {address.path} HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        connected = socket.socket()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connected.settimeout(ANSWER_SECONDS)
        connected.connect((address.host, address.port))
        connected.sendall((head.encode() + b"\r\n" + body) * times)
        assert connected.recv(12) == b"HTTP/1.1 200"
        return connected


def modern_headers(method: str, name: str = "") -> dict[str, str]:
    return {"MCP-Protocol-Version": MODERN, "Mcp-Method": method} | ({"Mcp-Name": name} if name else {})


@pytest.fixture
def http(record_property: Record) -> Generator[HttpVictim]:
    with victim(record_property, "--http") as attacked, httpx.Client(timeout=ANSWER_SECONDS) as client:
        yield HttpVictim(attacked, client)


@full
def test_http_many_sessions_leave_place_for_another(http: HttpVictim):
    for _ in range(SESSIONS):
        http.post(initialize(), {})
    http.call("list_models")
    http.attacked.assert_within_limits(f"HTTP: {SESSIONS:,} sessions")


@full
def test_http_slow_readers_do_not_hold_up_others(http: HttpVictim):
    body = json.dumps(request(1, "tools/list", modern=True)).encode()
    with ExitStack() as slow:
        for _ in range(100):
            slow.enter_context(http.connect_without_reading("POST", modern_headers("tools/list"), body, times=20))
        http.call("list_models")
        http.attacked.assert_within_limits("HTTP: 100 clients that do not read 20 answers each")


@full
def test_http_session_that_does_not_read_its_changes_holds_up_no_call(http: HttpVictim):
    session = http.open_session()
    for uri in FOLLOWED:
        http.post(request(uri, "resources/subscribe", {"uri": uri}), session)
    with http.connect_without_reading("GET", session):
        _change_again_and_again(http)
        http.attacked.wire.hear("A client does not read: a change notification is dropped", timeout=ANSWER_SECONDS)
        http.attacked.assert_within_limits(f"HTTP: {CHANGES:,} changes to a session that does not read")


@full
def test_http_listen_stream_that_is_not_read_holds_up_no_call(http: HttpVictim):
    filters = {"notifications": {"resourceSubscriptions": FOLLOWED, "resourcesListChanged": True}}
    body = json.dumps(request("stream", "subscriptions/listen", filters, modern=True)).encode()
    with http.connect_without_reading("POST", modern_headers("subscriptions/listen"), body):
        _change_again_and_again(http)
        http.attacked.wire.hear("backlog full; ending the stream", timeout=ANSWER_SECONDS)
        http.attacked.assert_within_limits(f"HTTP: {CHANGES:,} changes to a stream that is not read")


def _change_again_and_again(http: HttpVictim) -> None:
    """Make changes, of which none may take long."""
    longest = 0.0
    for number in range(CHANGES):
        began = time.monotonic()
        if number % 2:
            http.call("delete_model", model=COPY)
        else:
            http.call("copy_model", source="kept", destination=COPY)
        longest = max(longest, time.monotonic() - began)
    # Where a call waited for its subscribers, it waited for 40 s.
    assert longest < 10
