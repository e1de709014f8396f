"""What is told to the world when models come, go or are loaded: which documents are others now."""

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from mcp_ollama.models.job import Job
from mcp_ollama.ollama.names import ModelName

logger = logging.getLogger(__name__)

MODELS, RUNNING, PULLS = "ollama://models", "ollama://running", "ollama://pulls"
AGENT = "ollama://config/pydantic-ai"
MAX_URI_LENGTH = 550
"""Of a document: in a model's name the host has 253 characters at most, says DNS, and each other part has 80."""


def model_uri(name: str) -> str:
    """Give the address of a model's document."""
    return f"{MODELS}/{name}"


class Publish(Protocol):
    """Brings the addresses of changed documents to the hosts, and whether their list has changed, too."""

    async def __call__(self, uris: Sequence[str], *, listed: bool = False) -> None:
        """Publish."""


async def _to_nobody(uris: Sequence[str], *, listed: bool = False) -> None:
    """Publish to nobody."""


class Changes:
    """Announces changes to whoever listens.

    Args:
        publish: Who brings it to the hosts.
    """

    def __init__(self, publish: Publish | None = None) -> None:
        self._publish = publish or _to_nobody

    async def _announce(self, uris: Sequence[str], *, listed: bool = False) -> None:
        try:
            await self._publish(uris, listed=listed)
        except Exception:
            # Whoever has changed something has done so, whether hosts hear of it or not.
            logger.exception("Announcing a change ended in a bug")

    async def model_changed(self, name: ModelName) -> None:
        """Announce that a model has come, gone or become another."""
        await self._announce([MODELS, RUNNING, AGENT, *_documents_of(name.short)], listed=True)

    async def running_changed(self, names: Iterable[str]) -> None:
        """Announce that these models have come into memory, or gone out of it."""
        await self._announce([RUNNING, MODELS, AGENT, *(uri for name in names for uri in _documents_of(name))])

    async def transfer_changed(self, job: Job) -> None:
        """Announce that a transfer has begun or ended."""
        await self._announce([PULLS])
        if job.kind == "pull" and job.state == "done":
            await self.model_changed(job.name)


def _documents_of(name: str) -> tuple[str, str]:
    return model_uri(name), f"{AGENT}/{name}"
