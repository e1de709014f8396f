"""Models on their way into memory and out of it: a load belongs to the server, not to the call that asked for it."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio

from mcp_ollama.models.lookup import identity
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError, OllamaTimeoutError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import RunningModel

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 4
"""Each holds a connection for as long as it lasts, and Ollama loads one after the other anyway."""
UNTOLD_SECONDS = 600
"""How long a failure that nobody was waiting for is kept for the next call."""

KeepAlive = str | float | None


class Load:
    """One model on its way into memory."""

    def __init__(self, name: ModelName, keep_alive: KeepAlive) -> None:
        self.name = name
        self.keep_alive = keep_alive
        self.over = anyio.Event()
        self.error: OllamaError | None = None
        self._listeners = 0
        self._scope = anyio.CancelScope()
        self._began = time.monotonic()
        self._ended_at: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken, so far or in all."""
        return round((self._ended_at or time.monotonic()) - self._began, 2)

    @property
    def has_unreported_error(self) -> bool:
        """Whether it failed a short while ago with nobody there to hear of it."""
        fresh = time.monotonic() - (self._ended_at or 0) < UNTOLD_SECONDS
        return self.error is not None and not self._listeners and fresh

    @contextmanager
    def awaited(self) -> Generator[None]:
        """Note that somebody listens for its end."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    def stop(self) -> None:
        """Abort it: Ollama gives a load up when its client leaves."""
        self._scope.cancel()

    async def run(self, ollama: OllamaClient, longest: float) -> None:
        """Load, until the last wish for how long it shall stay has been heard."""
        with self._scope:
            try:
                with anyio.fail_after(longest):
                    await self._ask(ollama)
            except TimeoutError:
                self.error = OllamaTimeoutError(
                    f"{self.name} was not loaded within {longest:g} s.", "Look at the server's log; health may help."
                )
            except OllamaError as error:
                self.error = error
            except Exception:
                # A bug in one load must not end all others, nor the server.
                logger.exception("The load of %s ended in a bug", self.name)
                problem = f"An internal error ended the load of {self.name}."
                self.error = OllamaError(problem, "The log of this server says more.")
        if self._scope.cancelled_caught:
            self.error = OllamaError(f"The load of {self.name} was stopped.", "Call load_model to start it again.")
        self._ended_at = time.monotonic()
        self.over.set()

    async def _ask(self, ollama: OllamaClient) -> None:
        heard: list[KeepAlive] = []
        while heard[-1:] != [self.keep_alive]:
            # Another call may attach meanwhile with a wish of its own: told to a loaded model, that takes no time.
            heard.append(self.keep_alive)
            await ollama.load_model(self.name.short, heard[-1])


class Loads:
    """All loads that this process has asked one Ollama server for.

    Args:
        ollama: The server.
        longest: Seconds after which a load counts as lost; a server gives one up by itself long before.
        changed: Is told of the models that may have come into memory, or gone out of it.
    """

    def __init__(
        self, ollama: OllamaClient, *, changed: Callable[[Iterable[str]], Awaitable[None]], longest: float = 3600
    ) -> None:
        self._ollama = ollama
        self._changed = changed
        self._longest = longest
        self._loads: dict[str, Load] = {}
        self._group = anyio.create_task_group()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Take loads until the end of the block; what is not loaded by then is given up."""
        async with self._group:
            try:
                yield
            finally:
                self._group.cancel_scope.cancel()

    def start(self, name: ModelName, keep_alive: KeepAlive = None) -> Load:
        """Start a load, or find the one under way; a failure that nobody has heard of is given once.

        Raises:
            OllamaError: Too many are under way.
        """
        load = self._loads.get(name.key)
        if load and not load.over.is_set():
            load.keep_alive = load.keep_alive if keep_alive is None else keep_alive
            return load
        if load and load.has_unreported_error:
            return self._loads.pop(name.key)
        if len(self._under_way()) >= MAX_AT_ONCE:
            raise OllamaError(f"{MAX_AT_ONCE} models are being loaded already.", "Call again when one of them is done.")
        load = self._loads[name.key] = Load(name, keep_alive)
        self._group.start_soon(self._run, load)
        return load

    async def stop(self, keys: Collection[str] | None = None) -> list[str]:
        """Abort the loads of these models, of all when None; gives their names."""
        stopped = [load for load in self._under_way() if keys is None or load.name.key in keys]
        for load in stopped:
            load.stop()
        for load in stopped:
            await load.over.wait()
        return [load.name.short for load in stopped]

    async def unload(self, models: Collection[RunningModel], seconds: float) -> list[RunningModel]:
        """Ask the server to drop running models, and wait so long until they are gone; gives those that stay."""
        wanted = {identity(model) for model in models}
        left = list(models)
        with anyio.move_on_after(seconds):
            for model in models:
                # What cannot be unloaded by its name (deleted, or made anew) stays in the list looked at below.
                with suppress(ModelNotFoundError, InvalidModelName):
                    await self._ollama.unload_model(model.name)
            while left:
                running = await self._ollama.list_running_models()
                left = [one for one in running if identity(one) in wanted]
                await anyio.sleep(0.1 if left else 0)
        if models:
            await self._changed({model.name for model in models})
        return left

    def _under_way(self) -> list[Load]:
        return [load for load in self._loads.values() if not load.over.is_set()]

    async def _run(self, load: Load) -> None:
        await load.run(self._ollama, self._longest)
        logger.info("The load of %s has ended: %s", load.name, load.error or "loaded")
        if self._loads.get(load.name.key) is load and not load.has_unreported_error:
            del self._loads[load.name.key]
        await self._changed([load.name.short])
