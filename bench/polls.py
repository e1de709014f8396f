"""Cost of a poll of the dashboard: CPU time of the server process, over stdio and HTTP, beside a bare SDK call.

A poll is `list_pulls`, here with 1,000 installed models and a pull in progress, whose own work meanwhile is included.
"""

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from tempfile import TemporaryDirectory

from bench.process import Frame, Server, call, cpu_seconds_of
from bench.turns import median, median_ratio, take_turns
from mcp_ollama.simulator import Simulator, Stall, serve

MODELS = 1_000
POLLS = 100
"""In one measurement."""
START_SECONDS = 30.0
PULLED = "slow:1"
ERA = "2026-07-28"
_META = "io.modelcontextprotocol/"


class HttpServer:
    """A running server on a port, asked as the page asks it: no session, one connection.

    Args:
        process: The server.
        port: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        self._pid = process.pid

    def connect(self) -> None:
        """Wait until the server listens."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(ConnectionRefusedError):
                return self._connection.connect()
            time.sleep(0.05)
        raise TimeoutError(f"The server did not start in {START_SECONDS} s.")

    def ask(self, frame: Frame) -> bytes:
        """Ask, and return the body of the answer."""
        client = {"protocolVersion": ERA, "clientInfo": {"name": "bench", "version": "1"}, "clientCapabilities": {}}
        meta = {f"{_META}{key}": value for key, value in client.items()}
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": ERA,
            "mcp-method": frame["method"],
            "mcp-name": frame["params"]["name"],
        }
        body = json.dumps({**frame, "params": {**frame["params"], "_meta": meta}})
        self._connection.request("POST", "/mcp", body, headers)
        return self._connection.getresponse().read()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return cpu_seconds_of(self._pid)


def polls(rounds: int, bare: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Return a table: CPU of a poll and of a bare call."""
    lines = ["| a poll of the dashboard, CPU | bare SDK call | this server | ratio |", "|---|---|---|---|"]
    for transport, started in {"stdio": _over_stdio, "HTTP": _over_http}.items():
        with ExitStack() as stack:
            state = stack.enter_context(TemporaryDirectory())
            variables = {"MCP_OLLAMA_BASE_URL": stack.enter_context(_ollama()), "MCP_OLLAMA_STATE_DIR": state}
            floor = stack.enter_context(started(bare, variables))
            server = stack.enter_context(started(ours, variables))
            _expect(server, call("p", "pull_model", model=PULLED, wait_seconds=0))
            works = {
                "bare": partial(_poll, floor, call("n", "nothing")),
                "ours": partial(_poll, server, call("l", "list_pulls")),
            }
            take_turns(2, works)
            taken = take_turns(rounds, works)
        bare_call, own = (f"{median(seconds) * 1000:.2f} ms" for seconds in taken.values())
        lines.append(f"| over {transport} | {bare_call} | {own} | {median_ratio(taken['ours'], taken['bare']):.2f} |")
    return lines


def _poll(server: Server | HttpServer, frame: Frame) -> float:
    before = server.cpu_seconds()
    for _ in range(POLLS):
        _expect(server, frame)
    return (server.cpu_seconds() - before) / POLLS


def _expect(server: Server | HttpServer, frame: Frame) -> None:
    answer = server.ask(frame)
    assert not json.loads(answer)["result"].get("isError"), answer[:300]


@contextmanager
def _ollama() -> Generator[str]:
    """Serve many models, and one whose pull stands still at half."""
    simulator = Simulator()
    for number in range(MODELS):
        simulator.install(f"model-{number:04}", size_bytes=1_000 + number, weights=f"weights {number}")
    simulator.registry.publish(PULLED, size_bytes=30_000_000)
    simulator.faults.add(PULLED, Stall(at=0.5))
    with serve(simulator) as running:
        yield running.base_url


@contextmanager
def _over_stdio(command: Sequence[str], variables: Mapping[str, str]) -> Generator[Server]:
    with Server(command, variables) as server:
        yield server


@contextmanager
def _over_http(command: Sequence[str], variables: Mapping[str, str]) -> Generator[HttpServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    serving = [*command, "--http", str(port)]
    environment = dict(os.environ) | dict(variables)
    with subprocess.Popen(serving, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            server = HttpServer(process, port)
            server.connect()
            yield server
        finally:
            process.terminate()
