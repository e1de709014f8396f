"""Hostile clients: those that write and do not read, that open many sessions, that read slowly."""

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.attack.measure import Victim, start_pull, victim, write_for
from tests.support.wire import MODERN, call, initialize, notification, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
full = pytest.mark.skipif(not os.environ.get("ATTACK"), reason="make attack runs it")

ACCEPT = {"Accept": "application/json, text/event-stream"}
CALL_HEADERS = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call"}
SECONDS = 6.0


@pytest.fixture
def stdio() -> Generator[Victim]:
    with victim() as attacked:
        start_pull(attacked)
        attacked.begin()
        yield attacked


def numbered(build: Callable[[str], list[dict[str, Any]]]) -> bytes:
    return b"".join(json.dumps(frame).encode() + b"\n" for n in range(2000) for frame in build(f"n{n}"))


FLOODS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "tools/list": lambda n: [request(n, "tools/list", modern=True)],
    "handshake and modern": lambda n: [request(n, "tools/list"), request(n, "tools/list", modern=True)],
    "cancelled calls": lambda n: [
        request(n, "tools/list", modern=True),
        notification("notifications/cancelled", requestId=n),
    ],
    "pulls that wait": lambda n: [call(n, "pull_model", model="pulled", wait_seconds=3600, modern=True)],
    "ping": lambda n: [request(n, "ping")],
    "notifications": lambda n: [notification("notifications/cancelled", requestId=n)],
    "streams of changes": lambda n: [request(n, "subscriptions/listen", {"notifications": {}}, modern=True)],
}


@full
@pytest.mark.parametrize("flood", FLOODS)
def test_stdio_flood_without_reading_keeps_memory_and_the_pull(stdio: Victim, flood: str):
    write_for(stdio.wire, numbered(FLOODS[flood]), SECONDS)
    stdio.assert_within_limits(f"stdio flood: {flood}")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("45 MB of []", b",".join([b"[]"] * 15_000_000)),
        ("4 MB of []", b",".join([b"[]"] * 1_390_000)),
        ("4 MB of objects", b",".join([b'{"":0}'] * 590_000)),
        ("4 MB of text", b'"' + b"\\ud83d" * 690_000 + b'"'),
        ("4 MB of digits", b"1" * 4_190_000),
    ],
)
def test_stdio_line_of_many_values_is_answered_at_once(stdio: Victim, name: str, values: bytes):
    line = b'{"jsonrpc":"2.0","id":"big","method":"ping","params":{"a":[' + values + b"]}}"
    stdio.wire.send_lines(line)
    assert stdio.wire.answers("big", timeout=10)
    stdio.assert_within_limits(f"stdio line: {name}")


@contextmanager
def http_victim() -> Generator[tuple[Victim, str]]:
    with victim("--http") as attacked:
        attacked.wire.hear("/mcp\n")
        found = re.search(r"Serving on (http://.*/mcp)\n", attacked.wire.errors)
        assert found
        frame = call("pull", "pull_model", model="pulled", wait_seconds=0, modern=True)
        headers = CALL_HEADERS | {"Mcp-Name": "pull_model"}
        assert httpx.post(found[1], json=frame, headers=headers, timeout=30).status_code == 200
        simulator = attacked.ollama.simulator
        simulator.wait_until(lambda: simulator.in_flight["/api/pull"] == 1, timeout=10)
        attacked.begin()
        yield attacked, found[1]


@full
def test_http_many_sessions_leave_place_for_another():
    with http_victim() as (attacked, url), httpx.Client(timeout=30) as client:
        for _ in range(1100):
            assert client.post(url, json=initialize(), headers=ACCEPT).status_code == 200
        # Each of a thousand sessions is a task with its streams.
        attacked.assert_within_limits("HTTP: 1,100 sessions")


@full
def test_http_slow_readers_do_not_hold_up_others():
    with http_victim() as (attacked, url), ExitStack() as slow:
        address = httpx.URL(url)
        body = json.dumps(request(1, "tools/list", modern=True)).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\nContent-Type: application/json\r\n"
            f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/list\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for _ in range(200):
            reader = slow.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            reader.connect(("127.0.0.1", address.port))
            reader.sendall((head.encode() + body) * 20)
        frame = call("list", "list_models", modern=True)
        headers = CALL_HEADERS | {"Mcp-Name": "list_models"}
        assert httpx.post(url, json=frame, headers=headers, timeout=30).status_code == 200
        attacked.assert_within_limits("HTTP: 200 readers that do not read 4,000 answers")
