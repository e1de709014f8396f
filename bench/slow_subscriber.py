"""A client over HTTP that subscribes to changes, and does not read them."""

import http.client
import json
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from bench.process import INITIALIZE, INITIALIZED, Frame, request

FOLLOWED = ("ollama://models", "ollama://pulls")
TIMEOUT_SECONDS = 30.0
BUFFER_BYTES = 1024  # a system makes a little more of it, and else keeps megabytes for a slow client
_HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class SlowSubscriber:
    """The connection on which the notifications come."""

    stream: socket.socket

    def is_attached(self) -> bool:
        """Read what has waited, and return whether the server has kept the connection open."""
        self.stream.settimeout(1)
        try:
            while self.stream.recv(65_536):
                pass
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        return False


@contextmanager
def slow_subscriber(url: str) -> Generator[SlowSubscriber]:
    """Open a session, subscribe, and open the stream of the session, of which only the status is read.

    Args:
        url: The endpoint of the server.
    """
    address = urlsplit(url)
    headers = _HEADERS | {"Mcp-Session-Id": _post(address, INITIALIZE, _HEADERS), "MCP-Protocol-Version": "2025-11-25"}
    for frame in (INITIALIZED, *(request(uri, "resources/subscribe", uri=uri) for uri in FOLLOWED)):
        _post(address, frame, headers)
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        stream.settimeout(TIMEOUT_SECONDS)
        stream.connect((address.hostname, address.port))
        stream.sendall(f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n{lines}\r\n".encode())
        status = stream.recv(12)
        if status != b"HTTP/1.1 200":
            raise ConnectionError(f"The stream of notifications was refused: {status!r}.")
        yield SlowSubscriber(stream)


def _post(address: SplitResult, frame: Frame, headers: Mapping[str, str]) -> str:
    """Post a message, and return the id of the session."""
    connection = http.client.HTTPConnection(address.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", address.path, json.dumps(frame), dict(headers))
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    if response.status not in (200, 202):
        raise ConnectionError(f"{frame['method']} was refused: {response.status}.")
    return response.headers["Mcp-Session-Id"] or ""
