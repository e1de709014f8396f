"""A server under measurement: a child process on stdio, asked in raw lines."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

Frame = dict[str, Any]

INITIALIZE: Frame = {
    "jsonrpc": "2.0",
    "id": "init",
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}
INITIALIZED: Frame = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def request(request_id: object, method: str, **params: Any) -> Frame:
    """Build a request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def call(request_id: object, tool: str, **arguments: Any) -> Frame:
    """Build a call of a tool."""
    return request(request_id, "tools/call", name=tool, arguments=arguments)


class Server:
    """A running server after its handshake."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        self._started = time.perf_counter()
        self._process = subprocess.Popen[bytes](
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ) | dict(variables or {}),
        )
        self.ask(INITIALIZE)
        self.first_answer_seconds = time.perf_counter() - self._started
        self._put(INITIALIZED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def age_seconds(self) -> float:
        """The time since the start."""
        return time.perf_counter() - self._started

    def ask(self, frame: Frame) -> bytes:
        """Ask, and return the line that answers."""
        self._put(frame)
        return self._answer()

    def time(self, frame: Frame) -> float:
        """Ask something that succeeds, and return the seconds."""
        began = time.perf_counter()
        line = self.ask(frame)
        taken = time.perf_counter() - began
        _check(line)
        return taken

    def time_pipelined(self, frames: Sequence[Frame]) -> float:
        """Ask all at once, and return the seconds to the last answer, of which none may be missing."""
        began = time.perf_counter()
        writer = threading.Thread(target=self._put, args=frames)
        writer.start()
        lines = [self._answer() for _ in frames]
        writer.join()
        taken = time.perf_counter() - began
        assert {_check(line)["id"] for line in lines} == {frame["id"] for frame in frames}
        return taken

    def resident_megabytes(self) -> float:
        """Return the memory in use now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, by all threads."""
        return cpu_seconds_of(self._process.pid)

    def end(self) -> float:
        """Close its input, and return the seconds to the exit."""
        assert self._process.stdin
        assert self._process.stdout
        began = time.perf_counter()
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        return time.perf_counter() - began

    def _put(self, *frames: Frame) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))
        self._process.stdin.flush()

    def _answer(self) -> bytes:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            if b'"method"' not in line[:200]:
                return line
        raise AssertionError("the server has ended")


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time that the threads of a process have used so far."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def _check(line: bytes) -> Frame:
    answer: Frame = json.loads(line)
    assert not answer["result"].get("isError"), line[:300]
    return answer


@dataclass(frozen=True, slots=True)
class Start:
    """Cost of a start: seconds (CPU and memory up to `tools/list`)."""

    first_answer: float
    tools_list: float
    cpu: float
    megabytes: float
    exit: float
    tools_list_bytes: int


def start(command: Sequence[str]) -> Start:
    """Start a server, ask for its tools, and end it."""
    server = Server(command, {"MCP_OLLAMA_BASE_URL": "http://127.0.0.1:9"})
    tools = server.ask(request("list", "tools/list"))
    age, cpu, megabytes = server.age_seconds, server.cpu_seconds(), server.resident_megabytes()
    return Start(server.first_answer_seconds, age, cpu, megabytes, server.end(), len(tools))


def median_start(starts: Sequence[Start]) -> Start:
    """Return the median of each figure."""
    columns = zip(*map(astuple, starts), strict=True)
    return Start(*(sorted(column)[len(starts) // 2] for column in columns))
