"""Changes of models, published when one is added, removed, loaded or transferred."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mcp_ollama.models.job import Job
from mcp_ollama.ollama.names import ModelName

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Event that concerns some models, or the transfers.

    Args:
        kind: `installed`: models were added, replaced or removed; `running`: loaded or unloaded; `transfers`: a
            pull or push began or ended.
        names: The models, as Ollama lists them; of `transfers`, none.
    """

    kind: Literal["installed", "running", "transfers"]
    names: tuple[str, ...] = ()


Publish = Callable[[Change], Awaitable[None]]


async def _discard(_: Change) -> None:
    """Publish to no subscriber."""


class Changes:
    """Publishes changes to the subscribers.

    Args:
        publish: Sends a change to all of them.
    """

    def __init__(self, publish: Publish | None = None) -> None:
        self._send = publish or _discard

    async def _publish(self, change: Change) -> None:
        try:
            await self._send(change)
        except Exception:
            # A failed notification must not fail the change itself.
            logger.exception("Could not send a change notification")

    async def model_changed(self, name: ModelName) -> None:
        """Publish that a model was added, replaced or removed."""
        await self._publish(Change("installed", (name.short,)))

    async def running_changed(self, names: Iterable[str]) -> None:
        """Publish that these models may have entered or left memory."""
        await self._publish(Change("running", tuple(names)))

    async def transfer_changed(self, job: Job) -> None:
        """Publish that a transfer has begun or ended."""
        await self._publish(Change("transfers"))
        if job.kind == "pull" and job.state == "done":
            await self.model_changed(job.name)
