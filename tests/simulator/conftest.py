"""A simulator on a socket, quick enough for tests, and a plain client for it."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from mcp_ollama.simulator import RunningSimulator, Simulator, serve

Read = Callable[[], Any]


class Client(httpx.Client):
    """A client that knows how progress lines are read."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url=base_url, trust_env=False, verify=False, timeout=10)

    def ask(self, path: str, **fields: Any) -> httpx.Response:
        """Post a JSON object."""
        return self.post(path, json=fields)

    def lines(self, path: str, **fields: Any) -> list[Any]:
        """Read a streamed answer to its end."""
        return [json.loads(line) for line in self.ask(path, **fields).text.splitlines()]

    def pull(self, model: str) -> list[Any]:
        return self.lines("/api/pull", model=model)

    @contextmanager
    def begin(self, model: str) -> Generator[Read]:
        """Begin a pull; what is yielded reads its next line, None at the end."""
        with self.stream("POST", "/api/pull", json={"model": model}) as response:
            lines = response.iter_lines()
            yield lambda: json.loads(next(lines, "null"))


def drain(read: Read) -> Any:
    """Read to the end; the last line."""
    last = None
    while line := read():
        last = line
    return last


@pytest.fixture
def simulator() -> Simulator:
    """A server with nothing installed, at 20 MB per second on a clock thirty times as fast."""
    return Simulator(rate=20_000_000, tick=0.002)


@pytest.fixture
def running(simulator: Simulator) -> Generator[RunningSimulator]:
    with serve(simulator) as served:
        yield served


@pytest.fixture
def client(running: RunningSimulator) -> Generator[Client]:
    with Client(running.base_url) as made:
        yield made
