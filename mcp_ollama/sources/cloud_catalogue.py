"""The catalogue of the models that run on ollama.com."""

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.sources.expiring_cache import ExpiringCache

TIMEOUT_SECONDS = 5
CACHE_SECONDS = 3600
"""The list has some 20 rows, and changes a few times a month."""


class CloudCatalogue:
    """A client of `GET https://ollama.com/api/tags`; it sends no key and nothing about this machine.

    Args:
        base_url: Address of ollama.com.
    """

    def __init__(self, base_url: str) -> None:
        self._client = OllamaClient(base_url, TIMEOUT_SECONDS)
        self._names: ExpiringCache[str, list[str]] = ExpiringCache(CACHE_SECONDS, 1)

    async def list_names(self) -> list[str]:
        """List the models by the names that ollama.com gives them, without `cloud`; from memory for an hour.

        Raises:
            OllamaError: There is no answer, or not the one that the API promises.
        """
        if names := self._names.get("all"):
            return names
        names = [model.name for model in await self._client.list_models()]
        self._names.put("all", names)
        return names

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
