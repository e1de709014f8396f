"""State of one simulated Ollama server, and the controls of tests and the demo."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from starlette.responses import Response

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.downloads import TICK, Downloads, Pace
from mcp_ollama.simulator.exchange import Recorded
from mcp_ollama.simulator.faults import Faults
from mcp_ollama.simulator.library import Installed, Library
from mcp_ollama.simulator.manifests import Manifest
from mcp_ollama.simulator.recipes import Recipe
from mcp_ollama.simulator.registry import Registry
from mcp_ollama.simulator.runners import DEFAULT_KEEP_ALIVE, Runners
from mcp_ollama.simulator.script import Script


class Simulator:
    """Simulated Ollama server with its registry, to be passed to `serve`.

    Args:
        version: Version that `/api/version` reports.
        rate: Bytes per second of a download, at the real pace of 60 ms per progress line; None is very fast.
        tick: Seconds between two progress lines; a short one sends the same lines faster.
        pause: Seconds of silence while the manifest is fetched, and again while digests are verified.
    """

    def __init__(
        self,
        *,
        version: str = "0.33.0-rc2",
        rate: float | None = None,
        tick: float = TICK,
        pause: float = 0.0,
    ) -> None:
        self.version = version
        self.pause = pause
        self.pace = Pace(rate, tick)
        self.registry = Registry()
        self.library = Library()
        self.runners = Runners(self.now)
        self.downloads = Downloads(self.pace, self.library, self.registry)
        self.faults = Faults()
        self.script = Script()
        self.requests: list[Recorded] = []
        self.in_flight: Counter[str] = Counter()
        """Requests in flight, by path."""
        self.crashed = ""
        """Reason of a crash; empty before one."""
        self.cloud_disabled = False
        self.account: Mapping[str, Any] | None = None
        """Account that is signed in at ollama.com (`/api/me`)."""
        self.recommendations: list[Mapping[str, Any]] = []
        self.canned: dict[str, Response] = {}
        self.delays: dict[str, float] = {}
        self.die: Callable[[str], None] = survive
        self._ahead = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        """Return the server's clock, in seconds since 1970."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Advance the server's clock, so that loaded models expire."""
        self._ahead += seconds

    async def rest(self) -> None:
        """Wait for the configured pause."""
        await asyncio.sleep(self.pause)

    def install(self, name: str, *, modified_at: float | None = None, **recipe: Unpack[Recipe]) -> Installed:
        """Publish a model and install it."""
        manifest = self.registry.publish(name, **recipe)
        return self._add(ModelName.parse(name), manifest, modified_at)

    def copy(self, source: str, destination: str, *, modified_at: float | None = None) -> Installed:
        """Install a model a second time under another name."""
        return self._add(ModelName.parse(destination), self.model(source).manifest, modified_at)

    def add_case_twin(self, source: str, twin: str, *, modified_at: float | None = None) -> Installed:
        """Install a model a second time, under a name that differs only in case."""
        when = self.now() if modified_at is None else modified_at
        self.library.add_twin(ModelName.parse(twin), self.model(source).manifest, when)
        return self.model(twin)

    def _add(self, name: ModelName, manifest: Manifest, modified_at: float | None) -> Installed:
        self.library.add(name, manifest, self.now() if modified_at is None else modified_at)
        return self.model(name.full)

    def model(self, name: str) -> Installed:
        """Return an installed model.

        Raises:
            KeyError: It is not installed.
        """
        found = self.library.find(ModelName.parse(name))
        if found is None:
            raise KeyError(name)
        return found

    def is_installed(self, name: str) -> bool:
        """Return whether a model is installed."""
        return self.library.find(ModelName.parse(name)) is not None

    def load(self, name: str, *, keep_alive: float = DEFAULT_KEEP_ALIVE, context_length: int | None = None) -> None:
        """Load a model at once."""
        self.runners.put(self.model(name), keep_alive, context_length)

    def respond(
        self,
        path: str,
        *,
        status: int = 200,
        body: str | bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Replace the answer of a path until `restore`; `*` is every path."""
        typed = {"content-type": content_type} if content_type else {}
        self.canned[path] = Response(body, status, {**typed, **(headers or {})})

    def lack(self, path: str) -> None:
        """Remove a path, as on an older server."""
        self.respond(path, status=404, body="404 page not found", content_type="text/plain")

    def restore(self, path: str) -> None:
        """Restore the real answer of a path."""
        del self.canned[path]

    def delay(self, path: str, seconds: float) -> None:
        """Delay the answers of a path by seconds."""
        self.delays[path] = seconds

    def asked(self, path: str, method: str = "") -> list[Recorded]:
        """Return the requests for a path so far."""
        return [seen for seen in self.requests if seen.path == path and method in ("", seen.method)]

    def notify(self) -> None:
        """Wake the waiters of `wait_until`."""
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait in another thread until a predicate is true.

        Raises:
            TimeoutError: It is not so in time.
        """
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() >= deadline:
                raise TimeoutError("the simulator did not get there")
            with self._changed:
                # Polled as well: not every state that a predicate can read is followed by `notify`.
                self._changed.wait(0.02)

    async def until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait as `wait_until` does, without blocking the event loop."""
        await asyncio.to_thread(self.wait_until, predicate, timeout)

    def crash(self, reason: str) -> None:
        """Crash: every connection is closed and the port no longer listens."""
        self.die(reason)


def survive(_reason: str) -> None:
    """Ignore a crash: a simulator that is not served, or in shutdown, cannot crash."""
