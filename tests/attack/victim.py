"""The server under attack, which watches its own event loop: `python -m tests.attack.victim SOCKET [--http]`.

Whenever a byte comes over the Unix socket, it sends the longest block of its event loop so far, in seconds, and begins
to measure again. The registry of models is the address in ATTACK_REGISTRY.

A block is the time for which a callback waits, counted in CPU time of this process: a busy machine makes the callback
wait, too, and would fail the test by chance. It includes the CPU time of other threads, which may hold the interpreter.
"""
# ruff: noqa: E402

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mcp_ollama.transports.std_streams import claim

pipes = claim()

from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.server.server import build_server
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry
from mcp_ollama.transports import http, stdio

INTERVAL_SECONDS = 0.02
SEND_BUFFER_BYTES = 4096


class WatchedPolicy(asyncio.DefaultEventLoopPolicy):
    """Watches each event loop from a thread.

    Args:
        gauge: Where the longest block is asked for.
    """

    def __init__(self, gauge: socket.socket) -> None:
        super().__init__()
        self._gauge = gauge
        self._ran = threading.Event()
        self._ran_at = (0.0, 0.0)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        threading.Thread(target=self._watch, args=(loop,), daemon=True).start()
        return loop

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        longest = 0.0
        while not loop.is_closed():
            longest = max(longest, self._block(loop))
            if self._is_asked():
                self._gauge.sendall(f"{longest:.3f}\n".encode())
                longest = 0.0

    def _block(self, loop: asyncio.AbstractEventLoop) -> float:
        asked_at = _now()
        loop.call_soon_threadsafe(self._note)
        self._ran.wait()
        self._ran.clear()
        # Two threads that do not hold the interpreter use more CPU time than passes.
        return min(ran - asked for ran, asked in zip(self._ran_at, asked_at, strict=True))

    def _note(self) -> None:
        self._ran_at = _now()
        self._ran.set()

    def _is_asked(self) -> bool:
        try:
            return bool(self._gauge.recv(1))
        except TimeoutError:
            return False


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _listen(create_server: Callable[..., socket.socket], *place: Any, **options: Any) -> socket.socket:
    """Listen with small buffers, which accepted sockets inherit: Linux would keep megabytes for a slow client."""
    listener = create_server(*place, **options)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def main() -> int:
    """Serve on stdio, or over HTTP on a free port."""
    with socket.socket(socket.AF_UNIX) as gauge:
        gauge.settimeout(INTERVAL_SECONDS)
        gauge.connect(sys.argv[1])
        asyncio.set_event_loop_policy(WatchedPolicy(gauge))  # pyright: ignore[reportDeprecated]
        registry = Registry((), dict.fromkeys(REGISTRIES, os.environ["ATTACK_REGISTRY"]))
        server = build_server(OllamaSettings.load(), registry=registry)
        if "--http" in sys.argv:
            socket.create_server = partial(_listen, socket.create_server)
            return http.serve(server, http.Address("127.0.0.1", 0))
        return stdio.serve(server, pipes, waiting_tools=frozenset({"pull_model"}))


if __name__ == "__main__":
    sys.exit(main())
