"""An Ollama with prepared answers, in its own process: it costs next to nothing, so what is measured is our server.

`python -m bench.backend MODELS` prints its address.
"""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

CONNECTIONS = b"/bench/connections"
"""Path of the number of connections so far."""
LICENSE_BYTES = 90_000
DETAILS = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "8.0B"}


def tags(models: int) -> dict[str, Any]:
    """Make the answer of `/api/tags`."""
    rows = [
        {
            "name": f"model-{number:04}:latest",
            "model": f"model-{number:04}:latest",
            "modified_at": f"2026-11-22T18:{number // 60 % 60:02}:{number % 60:02}.123456789Z",
            "size": 4_920_753_328 + number,
            "digest": f"{number:064x}",
            "details": {"parent_model": "", **DETAILS, "quantization_level": "Q4_K_M"},
        }
        for number in range(models)
    ]
    return {"models": rows}


def show() -> dict[str, Any]:
    """Make the answer of `/api/show`: some 110 KB, as with many real models."""
    tensors = [{"name": f"blk.{number}.attn_k.weight", "type": "Q4_K", "shape": [4096, 1024]} for number in range(200)]
    return {
        "license": "All rights. " * (LICENSE_BYTES // 12),
        "modelfile": "FROM llama\n",
        "parameters": 'stop "<|eot_id|>"\ntemperature 0.7',
        "template": "{{ .Prompt }}",
        "details": {"parent_model": "", **DETAILS, "quantization_level": "Q4_K_M"},
        "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
        "tensors": tensors,
        "capabilities": ["completion", "tools"],
        "modified_at": "2026-11-22T18:00:00Z",
    }


def answers(models: int) -> dict[bytes, bytes]:
    """Make all answers, as they go over the wire."""
    documents: dict[bytes, dict[str, Any]] = {
        b"tags": tags(models),
        b"ps": {"models": []},
        b"version": {"version": "0.33.0"},
        b"show": show(),
        b"status": {"cloud": {"disabled": False}},
    }
    paths = {b"/api/" + name: document for name, document in documents.items()}
    paths[b"/v1/models"] = {"object": "list", "data": []}
    return {path: answer(json.dumps(document).encode()) for path, document in paths.items()}


Reply = Callable[[bytes], Iterable[bytes]]
"""Gives the pieces of the answer for a path."""


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Make an answer as it goes over the wire."""
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def _talk(connection: socket.socket, reply: Reply) -> None:
    received = b""
    # A server that has ended may leave a part of an answer unread.
    with connection, suppress(ConnectionError):
        while True:
            while b"\r\n\r\n" not in received:
                if not (data := connection.recv(65_536)):
                    return
                received += data
            head, _, received = received.partition(b"\r\n\r\n")
            line, *headers = head.lower().split(b"\r\n")
            length = next((int(one[15:]) for one in headers if one.startswith(b"content-length:")), 0)
            while len(received) < length:
                received += connection.recv(65_536)
            received = received[length:]
            for piece in reply(line.split(b" ")[1]):
                connection.sendall(piece)


@contextmanager
def backend(models: int) -> Generator[str]:
    """Run one in a child process; gives its address."""
    command = [sys.executable, "-m", "bench.backend", str(models)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve_forever(
    reply: Reply, announce: Callable[[str], object], connected: Callable[[], object] = lambda: None
) -> None:
    """Serve until killed; `announce` receives the address, `connected` is called for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce(f"http://127.0.0.1:{listener.getsockname()[1]}")
        while True:
            connection, _ = listener.accept()
            connected()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_talk, args=(connection, reply), daemon=True).start()


def count_connections(base_url: str) -> int:
    """Return how many connections a backend has accepted so far, this one left out."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc)
    connection.request("GET", CONNECTIONS.decode())
    count = int(connection.getresponse().read()) - 1
    connection.close()
    return count


def main() -> None:
    """Serve until killed."""
    known = answers(int(sys.argv[1]))
    unknown = answer(b"{}", b"404 Not Found")
    total = 0

    def connected() -> None:
        nonlocal total
        total += 1

    def reply(path: bytes) -> list[bytes]:
        return [answer(b"%d" % total)] if path == CONNECTIONS else [known.get(path, unknown)]

    serve_forever(reply, lambda url: print(url, flush=True), connected)


if __name__ == "__main__":
    main()
