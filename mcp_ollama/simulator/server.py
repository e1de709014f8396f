"""Simulator served on a real socket, in its own thread."""

import asyncio
import socket
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope

from mcp_ollama.simulator.api import App
from mcp_ollama.simulator.simulator import Simulator, survive

_TIMEOUT_SECONDS = 10.0
_ADDRESS = "127.0.0.1"
_TURNS_TO_ACCEPT = 4
"""Turns of the event loop after which a connection accepted just before shutdown is registered and can be closed."""
_CONFIG: Mapping[str, Any] = {
    "http": "h11",
    "ws": "none",
    "loop": "asyncio",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
}


class ThreadedServer(uvicorn.Server):
    """Uvicorn in a thread, with an immediate shutdown that closes open connections.

    Args:
        app: The ASGI application.
        port: Where it listens on loopback; 0 is a free port.

    Raises:
        TimeoutError: It does not start in time.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        super().__init__(uvicorn.Config(app, **_CONFIG))
        # Rebuilt from its descriptor, the socket knows its protocol; else asyncio skips TCP_NODELAY (+40 ms).
        listener = socket.socket(fileno=socket.create_server((_ADDRESS, port)).detach())
        self.port: int = listener.getsockname()[1]
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._end = asyncio.Event()
        work = self.serve(sockets=[listener])
        self._thread = threading.Thread(target=asyncio.run, args=(work,), name="simulator", daemon=True)
        self._thread.start()
        self._loop.result(_TIMEOUT_SECONDS)

    async def main_loop(self) -> None:
        """Run until `end`."""
        await self.on_tick(0)
        self._loop.set_result(asyncio.get_running_loop())
        await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Close the listener and cut every connection."""
        for listener in (one for server in self.servers for one in server.sockets):
            # CPython 3.11 loses a connection that it accepts while it closes the server. Windows has no add_reader.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        # The listener closes first, so that a client whose connection was closed cannot reconnect.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_TIMEOUT_SECONDS)

    @property
    def base_url(self) -> str:
        """Address for clients."""
        return f"http://{_ADDRESS}:{self.port}"

    def end(self) -> None:
        """Start the shutdown, from any thread."""
        # The loop is already closed after an earlier shutdown.
        with suppress(RuntimeError):
            self._loop.result().call_soon_threadsafe(self._end.set)

    def join(self) -> None:
        """Wait until the server has stopped."""
        self._thread.join(_TIMEOUT_SECONDS)

    def cut(self, scope: Scope) -> None:
        """Close the connection of a request after flushing what was sent."""
        for connection in list(self.server_state.connections):
            if connection.transport.get_extra_info("peername") == scope["client"]:
                connection.transport.close()


class RunningSimulator:
    """Simulator being served; it can be stopped and restarted on the same port."""

    def __init__(self, simulator: Simulator, port: int = 0) -> None:
        self.simulator = simulator
        self._port = port
        self._server = self._launch()

    @property
    def base_url(self) -> str:
        """Address for clients."""
        return self._server.base_url

    @property
    def open_connections(self) -> int:
        """Number of connections, including idle ones."""
        return len(self._server.server_state.connections)

    def start(self) -> None:
        """Start again on the same port.

        Raises:
            TimeoutError: It does not start in time.
        """
        self._server.join()
        self._server = self._launch()

    def stop(self, *, keep: float = 1.0) -> None:
        """Stop as a process does on SIGTERM: streams break, downloaded bytes stay on the disk.

        Args:
            keep: The part of unfinished downloads that the disk still has afterwards.
        """
        self.simulator.die = survive
        self._server.end()
        self._server.join()
        partials = self.simulator.library.partials
        partials.update({digest: int(count * keep) for digest, count in partials.items()})
        self.simulator.runners.clear()

    def _launch(self) -> ThreadedServer:
        self.simulator.die = self._die
        server = ThreadedServer(App(self.simulator, lambda scope: self._server.cut(scope)), self._port)
        self._port = server.port
        return server

    def _die(self, reason: str) -> None:
        self.simulator.crashed = reason
        self.simulator.die = survive
        self._server.end()


@contextmanager
def serve(simulator: Simulator, *, port: int = 0) -> Generator[RunningSimulator]:
    """Serve a simulator on loopback; port 0 picks a free port."""
    running = RunningSimulator(simulator, port)
    try:
        yield running
    finally:
        running.stop()
