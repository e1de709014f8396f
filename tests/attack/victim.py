"""The server under attack, which measures itself: `python -m tests.attack.victim FILE [--http]`.

It writes the longest time for which its event loop was blocked into FILE, in seconds; a file beside it with the suffix
`.restart` sets that to zero. The registry of models is the address in ATTACK_REGISTRY.
"""
# ruff: noqa: E402

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from mcp_ollama.transports.std_streams import claim

pipes = claim()

from mcp_ollama.server.server import build_server
from mcp_ollama.settings import REGISTRIES, OllamaSettings
from mcp_ollama.sources.registry import Registry
from mcp_ollama.transports import http, stdio

INTERVAL_SECONDS = 0.02


class WatchedPolicy(asyncio.DefaultEventLoopPolicy):
    """Watches each event loop from a thread: how long a callback waits is how long the loop was blocked."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._restart = file.with_suffix(".restart")
        self._longest = 0.0

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        threading.Thread(target=self._watch, args=(loop,), daemon=True).start()
        return loop

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        answered = threading.Event()
        while not loop.is_closed():
            asked = time.monotonic()
            loop.call_soon_threadsafe(answered.set)
            answered.wait()
            answered.clear()
            self._longest = max(self._longest, time.monotonic() - asked)
            if self._restart.exists():
                self._restart.unlink()
                self._longest = 0.0
            self._file.write_text(f"{self._longest:.3f}", encoding="ascii")
            threading.Event().wait(INTERVAL_SECONDS)


def main() -> int:
    """Serve on stdio, or over HTTP on a free port."""
    asyncio.set_event_loop_policy(WatchedPolicy(Path(sys.argv[1])))  # pyright: ignore[reportDeprecated]
    registry = Registry((), dict.fromkeys(REGISTRIES, os.environ["ATTACK_REGISTRY"]))
    server = build_server(OllamaSettings.load(), registry=registry)
    if "--http" in sys.argv:
        return http.serve(server, http.Address("127.0.0.1", 0))
    return stdio.serve(server, pipes, waiting_tools=frozenset({"pull_model"}))


if __name__ == "__main__":
    sys.exit(main())
