"""A simulator on a real socket, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import Scope

from mcp_ollama.simulator.api import App
from mcp_ollama.simulator.simulator import Simulator

_PATIENCE = 10.0
_ADDRESS = "127.0.0.1"
_TURNS_TO_ACCEPT = 4
"""Of the event loop, after which a connection that came just before the end is among those that can be cut."""
_CONFIG: Mapping[str, Any] = {
    "http": "h11",
    "ws": "none",
    "loop": "asyncio",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
}


class _Server(uvicorn.Server):
    """Uvicorn in a thread, and without its waits: it ends at once, and cuts what is open."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._end = asyncio.Event()
        work = self.serve(sockets=[listener])
        self._thread = threading.Thread(target=asyncio.run, args=(work,), name="simulator", daemon=True)
        self._thread.start()
        self._loop.result(_PATIENCE)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop.set_result(asyncio.get_running_loop())
        await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for listener in (one for server in self.servers for one in server.sockets):
            # CPython 3.11 loses a connection that it accepts while it closes the server. Windows knows no readers.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        # Who sees a connection cut finds that nobody listens any more.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_PATIENCE)

    def end(self) -> None:
        """Begin to end, from whatever thread."""
        # The loop is closed when the server has ended before.
        with suppress(RuntimeError):
            self._loop.result().call_soon_threadsafe(self._end.set)

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(_PATIENCE)

    def cut(self, scope: Scope) -> None:
        """Close the connection of a request after what was sent already."""
        for connection in list(self.server_state.connections):
            if connection.transport.get_extra_info("peername") == scope["client"]:
                connection.transport.close()


class RunningSimulator:
    """A simulator that is being served; it can be stopped, and started again on the same port."""

    def __init__(self, simulator: Simulator, port: int = 0) -> None:
        self.simulator = simulator
        self._port = port
        self._server = self._launch()

    @property
    def base_url(self) -> str:
        """The address that clients use."""
        return f"http://{_ADDRESS}:{self._port}"

    @property
    def open_connections(self) -> int:
        """Number of connections, idle ones too."""
        return len(self._server.server_state.connections)

    def start(self) -> None:
        """Listen again, on the port of before.

        Raises:
            TimeoutError: It does not start in time.
        """
        self._server.join()
        self._server = self._launch()

    def stop(self, *, keep: float = 1.0) -> None:
        """End as a process does on SIGTERM: streams break off, what was downloaded stays on the disk.

        Args:
            keep: The part of unfinished downloads that the disk still has afterwards.
        """
        self.simulator.die = _ignore
        self._server.end()
        self._server.join()
        partials = self.simulator.library.partials
        partials.update({digest: int(count * keep) for digest, count in partials.items()})
        self.simulator.runners.clear()

    def _launch(self) -> _Server:
        # Found anew, the socket knows its protocol: else asyncio sets no TCP_NODELAY, and answers wait 40 ms.
        listener = socket.socket(fileno=socket.create_server((_ADDRESS, self._port)).detach())
        self._port = listener.getsockname()[1]
        self.simulator.die = self._die
        app = App(self.simulator, lambda scope: self._server.cut(scope))
        return _Server(uvicorn.Config(app, **_CONFIG), listener)

    def _die(self, reason: str) -> None:
        self.simulator.crashed = reason
        self.simulator.die = _ignore
        self._server.end()


def _ignore(_reason: str) -> None:
    """A server that ends already does not die again."""


@contextmanager
def serve(simulator: Simulator, *, port: int = 0) -> Generator[RunningSimulator]:
    """Serve a simulator on loopback, on a free port unless told otherwise."""
    running = RunningSimulator(simulator, port)
    try:
        yield running
    finally:
        running.stop()
