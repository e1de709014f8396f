"""Loaded models: one runner per weights blob, with an expiry."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcp_ollama.simulator.documents import details
from mcp_ollama.simulator.library import Installed
from mcp_ollama.simulator.wire import timestamp

DEFAULT_KEEP_ALIVE = 300.0
_BYTES_PER_TOKEN = 131_072


@dataclass(slots=True)
class Runner:
    """Loaded model, listed under the name that loaded it; `loaded` is set once its load has ended or was cancelled."""

    model: Installed
    context_length: int
    size: int
    size_vram: int
    keep_alive: float = DEFAULT_KEEP_ALIVE
    expires_at: float = 0.0
    loaded: asyncio.Event = field(default_factory=asyncio.Event)


class Runners:
    """Runners of a server, by the digest of their weights."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runners: dict[str, Runner] = {}
        self.load_seconds = 0.0
        """Seconds that a load takes."""
        self.default_context = 4096
        self.vram_share = 1.0
        self.prompt_tokens_per_second = 800.0
        self.tokens_per_second = 40.0
        self.memory: dict[tuple[str, int], int] = {}
        """Known sizes in memory, by weights digest and context length."""

    async def load(self, model: Installed, keep_alive: float | None, context_length: int | None) -> None:
        """Load a model or extend its expiry; another context length reloads it."""
        key = _key(model)
        context = self._limited(model, context_length) if context_length else self._context(model)
        # Of those that wait for a load that is cancelled, one starts the next.
        while (runner := self._runners.get(key)) and not runner.loaded.is_set():
            await runner.loaded.wait()
        if runner is None or runner.context_length != context:
            runner = await self._start(key, model, context)
        runner.keep_alive = runner.keep_alive if keep_alive is None else keep_alive
        runner.expires_at = self._clock() + runner.keep_alive

    async def _start(self, key: str, model: Installed, context: int) -> Runner:
        runner = self._runners[key] = self._runner(key, model, context)
        try:
            await asyncio.sleep(self.load_seconds)
        except asyncio.CancelledError:
            del self._runners[key]
            raise
        finally:
            runner.loaded.set()
        return runner

    def put(self, model: Installed, keep_alive: float, context_length: int | None) -> None:
        """Add a loaded model at once."""
        runner = self._runner(_key(model), model, context_length or self._context(model))
        runner.keep_alive = keep_alive
        runner.loaded.set()
        runner.expires_at = self._clock() + keep_alive
        self._runners[_key(model)] = runner

    def unload(self, model: Installed) -> None:
        """Unload the runner of the model's weights, unless it is still loading."""
        runner = self._runners.get(_key(model))
        if runner and runner.loaded.is_set():
            del self._runners[_key(model)]

    def _runner(self, key: str, model: Installed, context: int) -> Runner:
        weights_size = model.manifest.model.size if model.manifest.model else 0
        size = self.memory.get((key, context), weights_size + context * _BYTES_PER_TOKEN)
        return Runner(model, context, size, int(size * self.vram_share))

    def _context(self, model: Installed) -> int:
        weights = model.manifest.model and model.manifest.model.weights
        return min(self.default_context, weights.context_length if weights else self.default_context)

    def _limited(self, model: Installed, asked: int) -> int:
        """Return the context that Ollama loads for a `num_ctx` (server/sched.go and llm/server.go)."""
        weights = model.manifest.model and model.manifest.model.weights
        raised = max(asked, 2048 if weights and "vision" in weights.capabilities else 4)
        return min(raised, weights.context_length) if weights else raised

    def clear(self) -> None:
        """Unload all models, as a shutdown does."""
        self._runners.clear()

    def listed(self) -> dict[str, Any]:
        """Build the answer of `/api/ps`: ready and unexpired runners, latest expiry first."""
        now = self._clock()
        self._runners = {
            key: run for key, run in self._runners.items() if not run.loaded.is_set() or run.expires_at > now
        }
        ready = [runner for runner in self._runners.values() if runner.loaded.is_set()]
        ready.sort(key=lambda runner: runner.expires_at, reverse=True)
        return {"models": [_entry(runner) for runner in ready]}


def _key(model: Installed) -> str:
    return model.manifest.model.digest if model.manifest.model else model.manifest.digest


def _entry(runner: Runner) -> dict[str, Any]:
    name = runner.model.name.short
    return {
        "name": name,
        "model": name,
        "size": runner.size,
        "digest": runner.model.manifest.digest,
        # Only /api/tags reports a parent.
        "details": details(runner.model.manifest) | {"parent_model": ""},
        "expires_at": timestamp(runner.expires_at),
        "size_vram": runner.size_vram,
        "context_length": runner.context_length,
    }
