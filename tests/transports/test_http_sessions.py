"""Sessions over HTTP: those that never called anything make room for new ones."""

import signal
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.wire import Wire, initialize, request
from tests.transports.test_http import ACCEPT, http, url_of

LIMITED = """
import sys
from mcp_ollama.cli.main import main
from mcp_ollama.transports import http, http_sessions
http.SESSION_LIMIT = http_sessions.SESSION_LIMIT = 5
sys.exit(main(["--http", "0"]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    """A server with at most five sessions."""
    with Wire([sys.executable, "-c", LIMITED], forked=True) as wire:
        yield wire
        wire.signal(signal.SIGTERM)
        assert wire.wait() == 143


def open_session(server: Wire) -> httpx.Response:
    return http.post(url_of(server), json=initialize(), headers=ACCEPT)


def ping(server: Wire, opened: httpx.Response) -> int:
    headers = ACCEPT | {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    return http.post(url_of(server), json=request(1, "ping"), headers=headers).status_code


def test_sessions_without_a_call_make_room_for_new_ones(server: Wire):
    used = open_session(server)
    assert ping(server, used) == 200
    idle = [open_session(server) for _ in range(10)]
    assert {opened.status_code for opened in idle} == {200}
    assert ping(server, used) == 200
    assert ping(server, idle[0]) == 404
    assert [ping(server, opened) for opened in idle[-4:]] == [200] * 4
    # All five have been used by now, so nothing makes room.
    assert open_session(server).status_code == 503
