"""Clients over HTTP that follow changes and read none of them."""

import json
import socket
import sys
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.attack.measure import slowness
from tests.attack.test_clients import ACCEPT, CALL_HEADERS, full, http_victim
from tests.support.wire import MODERN, call, initialize, notification, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")

URI = "ollama://models"
CHANGES = 400
"""More than the buffers of a connection hold: 100 KB, and two notifications for each change."""
CALL_SECONDS = 2.0


def open_unread(url: str, head: str, body: bytes = b"") -> socket.socket:
    """Send a request whose answer is a stream, which is not read."""
    address = httpx.URL(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.connect((address.host, address.port))
    client.sendall(
        f"{head}\r\nHost: {address.host}:{address.port}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    return client


def subscribe_with_handshake(client: httpx.Client, url: str) -> socket.socket:
    session = client.post(url, json=initialize(), headers=ACCEPT).headers["mcp-session-id"]
    headers = ACCEPT | {"Mcp-Session-Id": session}
    client.post(url, json=notification("notifications/initialized"), headers=headers)
    assert client.post(url, json=request(1, "resources/subscribe", {"uri": URI}), headers=headers).status_code == 200
    return open_unread(url, f"GET /mcp HTTP/1.1\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}")


def listen(url: str) -> socket.socket:
    method = "subscriptions/listen"
    wanted = {"notifications": {"resourceSubscriptions": [URI], "resourcesListChanged": True}}
    head = f"POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nMCP-Protocol-Version: {MODERN}"
    return open_unread(
        url, f"{head}\r\nMcp-Method: {method}", json.dumps(request(1, method, wanted, modern=True)).encode()
    )


@full
def test_http_subscribers_that_do_not_read_hold_up_no_change():
    with http_victim() as (attacked, url), httpx.Client(timeout=60) as client, ExitStack() as unread:
        unread.enter_context(subscribe_with_handshake(client, url))
        unread.enter_context(listen(url))
        frame = call("copy", "copy_model", source="kept", destination="copied", modern=True)
        longest = 0.0
        for _ in range(CHANGES):
            began = time.monotonic()
            answer = client.post(url, json=frame, headers=CALL_HEADERS | {"Mcp-Name": "copy_model"})
            longest = max(longest, time.monotonic() - began)
            assert '"created":true' in answer.text.replace("\\", "")
        assert longest < CALL_SECONDS * slowness()
        attacked.assert_within_limits("HTTP: subscribers that do not read")
