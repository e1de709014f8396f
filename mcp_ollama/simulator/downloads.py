"""Downloads of blobs: one per digest, shared by all pulls of that digest."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp_ollama.simulator.library import Blob, Library
from mcp_ollama.simulator.manifests import Layer
from mcp_ollama.simulator.registry import Registry

TICK = 0.06
"""Seconds between two progress lines of the real server."""
_UNLIMITED_RATE = 1_100_000_000


class Pace:
    """Simulated speed: bytes per real tick of 60 ms, and the seconds that a tick takes here."""

    def __init__(self, rate: float | None, tick: float) -> None:
        self.rate = rate
        self.tick = tick
        self.first_byte = 0
        """Ticks before the first byte of each blob."""

    @property
    def step(self) -> int:
        """Bytes per tick."""
        return max(1, round((self.rate or _UNLIMITED_RATE) * TICK))

    async def wait(self) -> None:
        """Wait for one tick."""
        await asyncio.sleep(self.tick)


class Download:
    """Download of one blob; `prepared` once its size is known."""

    def __init__(self, layer: Layer, completed: int, delay: int) -> None:
        self.digest = layer.digest
        self.size = layer.size
        self.completed = completed
        self.prepared = True
        self.delay = delay
        self.waiters = 0
        self.limits: dict[object, int] = {}
        """Per pull, the byte at which its next fault stops the download."""
        self._beat = asyncio.Event()

    @property
    def done(self) -> bool:
        """Whether all bytes are there."""
        return self.completed >= self.size

    async def next(self) -> None:
        """Wait for the next tick of the download."""
        await self._beat.wait()

    def beat(self) -> None:
        """Wake every waiter of the tick."""
        beat, self._beat = self._beat, asyncio.Event()
        beat.set()


class Downloads:
    """All active downloads."""

    def __init__(self, pace: Pace, library: Library, registry: Registry) -> None:
        self._pace = pace
        self._library = library
        self._registry = registry
        self._active: dict[str, Download] = {}

    @asynccontextmanager
    async def join(self, layer: Layer) -> AsyncGenerator[Download]:
        """Join the download of a blob; when the last pull leaves, it stops and keeps its bytes."""
        download = self._active.get(layer.digest)
        if download is None:
            download = Download(layer, self._library.partials.pop(layer.digest, 0), self._pace.first_byte)
            self._active[layer.digest] = download
            pump = asyncio.create_task(self._pump(download))
            pump.add_done_callback(lambda _: None)
        download.waiters += 1
        try:
            yield download
        finally:
            download.waiters -= 1
            if not download.waiters:
                self._leave(download)

    def _leave(self, download: Download) -> None:
        self._active.pop(download.digest, None)
        if download.done:
            self._library.blobs[download.digest] = Blob(size=download.size)
        elif download.completed:
            self._library.partials[download.digest] = download.completed

    async def _pump(self, download: Download) -> None:
        while not download.done:
            await self._pace.wait()
            if not download.waiters:
                return
            self._grow(download)
            download.beat()

    def _grow(self, download: Download) -> None:
        if download.delay:
            download.delay -= 1
        elif download.prepared:
            goal = min(download.completed + self._pace.step, download.size, *download.limits.values())
            # A limit may be less than an earlier pull has already downloaded.
            self.count_served(download.digest, max(0, goal - download.completed))
            download.completed = max(goal, download.completed)

    def count_served(self, digest: str, count: int) -> None:
        """Count bytes that the registry has sent."""
        self._registry.bytes_served[digest] += count
