"""Loads into memory and unloads: a load belongs to the server, not to the call that asked for it."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress

import anyio
from pydantic import BaseModel

from mcp_ollama.models.background import BackgroundTask, error_of
from mcp_ollama.models.catalog import damaged
from mcp_ollama.models.errors import FailedError, RefusedError
from mcp_ollama.models.holds import Holds
from mcp_ollama.models.lookup import find_running, identity, key_of
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError, OllamaTimeoutError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 4
"""Each holds a connection for as long as it lasts, and Ollama loads one after the other anyway."""
UNREPORTED_SECONDS = 600
"""How long a failure that no call waited for is kept for the next call."""
FORMER_SECONDS = 1.0
"""Enough for a server to drop a model that no request uses."""

KeepAlive = str | float | None


class Load(BackgroundTask):
    """One model being loaded into memory."""

    def __init__(self, name: ModelName, keep_alive: KeepAlive, context_length: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.keep_alive = keep_alive
        self.context_length = context_length
        self._scope = anyio.CancelScope()

    @property
    def seconds(self) -> float:
        """How long it has taken, so far or in all."""
        return round(self.elapsed_seconds, 2)

    def stop(self) -> None:
        """Abort it: Ollama gives a load up when its client disconnects."""
        self._scope.cancel()

    async def run(self, ollama: OllamaClient, longest: float) -> None:
        """Load the model; repeat while another caller has changed `keep_alive` meanwhile."""
        error: OllamaError | None = None
        with self._scope:
            try:
                with anyio.fail_after(longest):
                    error = await error_of(self._ask(ollama), f"the load of {self.name}")
            except TimeoutError:
                error = OllamaTimeoutError(
                    f"{self.name} was not loaded within {longest:g} s.", "Look at the server's log; health may help."
                )
        if self._scope.cancelled_caught:
            error = OllamaError(f"The load of {self.name} was stopped.", "Call load_model to start it again.")
        self.end(error)

    async def _ask(self, ollama: OllamaClient) -> None:
        sent: list[KeepAlive] = []
        while sent[-1:] != [self.keep_alive]:
            # Sent to a model that is loaded already, a changed keep_alive takes no time.
            sent.append(self.keep_alive)
            await ollama.load_model(self.name, sent[-1], self.context_length)


class Loads:
    """All loads that this process has asked one Ollama server for.

    Args:
        ollama: The server.
        longest: Seconds after which a load counts as lost; a server gives one up by itself long before.
        changed: Called with the models that may have entered or left memory.
        holds: The names that are being changed now.
    """

    def __init__(
        self,
        ollama: OllamaClient,
        *,
        changed: Callable[[Iterable[str]], Awaitable[None]],
        longest: float,
        holds: Holds,
    ) -> None:
        self._ollama = ollama
        self._changed = changed
        self._longest = longest
        self._holds = holds
        self._loads: dict[str, Load] = {}
        self._group = anyio.create_task_group()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Accept loads until the end of the block; what is not loaded by then is aborted."""
        async with self._group:
            try:
                yield
            finally:
                self._group.cancel_scope.cancel()

    def start(self, name: ModelName, keep_alive: KeepAlive = None, context_length: int | None = None) -> Load:
        """Start a load, or join the one in progress; a failure that was not reported yet is returned once.

        Args:
            name: The model.
            keep_alive: Time until it is unloaded after its last use; None is the server's setting.
            context_length: Tokens of context of a load that starts now; None is the model's or the server's setting.

        Raises:
            OllamaError: Too many are in progress, or the model is being changed.
        """
        self._holds.ensure_free(name)
        self._loads = {key: load for key, load in self._loads.items() if _is_kept(load)}
        load = self._loads.get(name.key)
        if load and not load.finished.is_set():
            load.keep_alive = load.keep_alive if keep_alive is None else keep_alive
            return load
        if load:
            return self._loads.pop(name.key)
        if len(self._in_progress()) >= MAX_AT_ONCE:
            raise OllamaError(f"{MAX_AT_ONCE} models are being loaded already.", "Call again when one of them is done.")
        load = self._loads[name.key] = Load(name, keep_alive, context_length)
        self._group.start_soon(self._run, load)
        return load

    async def stop(self, keys: Collection[str] | None = None) -> list[str]:
        """Abort the loads of these models, of all when None; return their names.

        Only who waits for one of them learns of it: the next call starts a new load.
        """
        stopped = [load for load in self._in_progress() if keys is None or load.name.key in keys]
        for load in stopped:
            load.stop()
        for load in stopped:
            await load.finished.wait()
        self._loads = {key: load for key, load in self._loads.items() if load not in stopped}
        return [load.name.short for load in stopped]

    async def unload(self, models: Collection[RunningModel], seconds: float) -> list[RunningModel]:
        """Ask the server to drop running models, and wait until they are gone; return those still loaded."""
        wanted = {identity(model) for model in models}
        left = list(models)
        with anyio.move_on_after(seconds):
            for model in models:
                # A deleted or replaced model cannot be unloaded by its name; it stays in the list read below.
                with suppress(ModelNotFoundError, InvalidModelName):
                    await self._ollama.unload_model(model.name)
            while left:
                running = await self._ollama.list_running_models()
                left = [one for one in running if identity(one) in wanted]
                await anyio.sleep(0.1 if left else 0)
        if models:
            await self._changed({model.name for model in models})
        return left

    async def unload_before_change(self, model: InstalledModel, seconds: float, *, before: str = "deleted") -> None:
        """Unload a model before it is deleted or overwritten: afterwards it has no name to unload it by.

        What was loaded under its name before an update has no name already, and does not prevent the change.

        Raises:
            RefusedError: It is in use.
        """
        key = key_of(model.name)
        await self.stop([key])
        running = await self._ollama.list_running_models()
        if await self.unload(find_running(model, running), seconds):
            raise RefusedError(
                f"{model.name} is in use and could not be unloaded within {seconds:g} s, so it was not {before}.",
                "Let the request that uses it end, then call again.",
            )
        former = [one for one in running if key_of(one.name) == key and one.digest != model.digest]
        # Ollama may list another model with the same weights under this name.
        await self.unload(former, min(seconds, FORMER_SECONDS))

    def _in_progress(self) -> list[Load]:
        return [load for load in self._loads.values() if not load.finished.is_set()]

    async def _run(self, load: Load) -> None:
        await load.run(self._ollama, self._longest)
        logger.info("The load of %s has ended: %s", load.name, load.error or "loaded")
        await self._changed([load.name.short])


def check_loaded(load: Load, model: InstalledModel, outcome: BaseModel, balancer_sign: str) -> None:
    """Check that a load has not failed.

    Args:
        load: The load.
        model: Its model.
        outcome: The answer of the call so far, for programs.
        balancer_sign: How a balancer showed; empty when none did.

    Raises:
        FailedError: It has.
    """
    if error := load.error:
        error = damaged(model, balancer_sign) if isinstance(error, ModelNotFoundError) else error
        raise FailedError(f"{model.name} could not be loaded. {error.problem}", error.next_step, outcome)


def _is_kept(load: Load) -> bool:
    return not load.finished.is_set() or (load.has_unreported_error and load.seconds_since_end < UNREPORTED_SECONDS)
