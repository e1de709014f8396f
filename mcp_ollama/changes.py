"""What is told to the world when models come, go or are loaded: which documents are others now."""

from collections.abc import Awaitable, Callable, Sequence

from mcp_ollama.ollama.names import ModelName

Publish = Callable[[Sequence[str]], Awaitable[None]]
"""Takes the addresses of changed documents; a model's own may be new, or gone."""

MODELS, RUNNING, PULLS = "ollama://models", "ollama://running", "ollama://pulls"
AGENT = "ollama://config/pydantic-ai"


def model_uri(name: str) -> str:
    """Give the address of a model's document."""
    return f"{MODELS}/{name}"


async def _nobody(_uris: Sequence[str]) -> None:
    """Publish to nobody."""


class Changes:
    """Announces changes to whoever listens.

    Args:
        publish: Who brings it to the hosts.
    """

    def __init__(self, publish: Publish | None = None) -> None:
        self._publish = publish or _nobody

    async def of_model(self, name: ModelName) -> None:
        """Announce that a model has come, gone or become another."""
        short = name.short
        await self._publish([MODELS, model_uri(short), RUNNING, PULLS, AGENT, f"{AGENT}/{short}"])

    async def of_memory(self) -> None:
        """Announce that other models are in memory."""
        await self._publish([RUNNING, MODELS])
