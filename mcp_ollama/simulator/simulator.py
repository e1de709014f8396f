"""The state of one Ollama server, and the knobs that tests and the demo turn."""

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
    """One Ollama server with the registry behind it; give it to `serve`.

    Args:
        version: What `/api/version` tells.
        rate: Bytes per second of a download, at the real pace of 60 ms per progress line; None is very fast.
        tick: Seconds between two progress lines; a short one plays the same lines faster.
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
        """Requests being answered, by path."""
        self.crashed = ""
        """Why the server died, when it did."""
        self.cloud_disabled = False
        self.account: Mapping[str, Any] | None = None
        """Who is signed in at ollama.com, as `/api/me` tells."""
        self.recommendations: list[Mapping[str, Any]] = []
        self.canned: dict[str, Response] = {}
        self.delays: dict[str, float] = {}
        self.die: Callable[[str], None] = _survive
        self._ahead = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the server's clock forward, so that loaded models expire."""
        self._ahead += seconds

    async def rest(self) -> None:
        """Be silent for the configured pause."""
        await asyncio.sleep(self.pause)

    def install(self, name: str, *, modified_at: float | None = None, **recipe: Unpack[Recipe]) -> Installed:
        """Publish a model and have it installed."""
        manifest = self.registry.publish(name, **recipe)
        return self._add(ModelName.parse(name), manifest, modified_at)

    def copy(self, source: str, destination: str, *, modified_at: float | None = None) -> Installed:
        """Install a model a second time under another name."""
        return self._add(ModelName.parse(destination), self.model(source).manifest, modified_at)

    def _add(self, name: ModelName, manifest: Manifest, modified_at: float | None) -> Installed:
        self.library.add(name, manifest, self.now() if modified_at is None else modified_at)
        return self.library.models[name.key]

    def model(self, name: str) -> Installed:
        """The installed model of that name; a KeyError when there is none."""
        return self.library.models[ModelName.parse(name).key]

    def is_installed(self, name: str) -> bool:
        """Whether there is such a model on the server."""
        return ModelName.parse(name).key in self.library.models

    def load(self, name: str, *, keep_alive: float = DEFAULT_KEEP_ALIVE, context_length: int | None = None) -> None:
        """Have a model in memory."""
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
        """Answer a path in another way than Ollama would, until `restore`; `*` is every path."""
        typed = {"content-type": content_type} if content_type else {}
        self.canned[path] = Response(body, status, {**typed, **(headers or {})})

    def lack(self, path: str) -> None:
        """Be an older server that does not know a path."""
        self.respond(path, status=404, body="404 page not found", content_type="text/plain")

    def restore(self, path: str) -> None:
        """Answer a path truly again."""
        del self.canned[path]

    def delay(self, path: str, seconds: float) -> None:
        """Answer a path only after some seconds."""
        self.delays[path] = seconds

    def asked(self, path: str, method: str = "") -> list[Recorded]:
        """The requests for a path so far."""
        return [seen for seen in self.requests if seen.path == path and method in ("", seen.method)]

    def notify(self) -> None:
        """Wake those who wait for something to happen."""
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait, in another thread than the server's, until something is so.

        Raises:
            TimeoutError: It is not so in time.
        """
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() >= deadline:
                raise TimeoutError("the simulator did not get there")
            with self._changed:
                # Looked at now and then, too: not everything that a predicate may ask for is told.
                self._changed.wait(0.02)

    async def until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait as `wait_until` does, without holding up the caller's event loop."""
        await asyncio.to_thread(self.wait_until, predicate, timeout)

    def crash(self, reason: str) -> None:
        """Die as a crashing process does: every connection is cut, nothing listens any more."""
        self.die(reason)


def _survive(_reason: str) -> None:
    """What a simulator that is not served does when it should die."""
