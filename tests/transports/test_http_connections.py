"""Clients over HTTP that open more connections than the process has file descriptors."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice

import pytest

from tests.support.wire import Wire
from tests.transports.test_http import http, url_of

DESCRIPTORS = 512
CROWDED = f"""
import resource, sys
from mcp_ollama.cli.main import main
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
sys.exit(main(["--http", "0", "--base-url", "http://127.0.0.1:9"]))
"""
HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
UNFINISHED = b"", HEAD, HEAD + b"\r\n{"


@pytest.fixture
def server() -> Iterator[Wire]:
    with Wire([sys.executable, "-c", CROWDED], forked=True) as wire:
        yield wire


def test_more_connections_than_descriptors_leave_the_server_usable(server: Wire):
    url = url_of(server)
    page = url.removesuffix("mcp")
    place = page.removeprefix("http://").removesuffix("/").split(":")
    with ExitStack() as crowd:
        for sent in islice(cycle(UNFINISHED), DESCRIPTORS + 50):
            one = crowd.enter_context(socket.create_connection((place[0], int(place[1])), timeout=10))
            one.sendall(sent)
        assert http.get(page, timeout=10).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM
    assert "Too many open files" not in server.errors
    assert "Traceback" not in server.errors
