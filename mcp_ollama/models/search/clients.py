"""The clients of a search: an Ollama server, the registries, Hugging Face and the catalogue of ollama.com."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Manifest
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.expiring_cache import ExpiringCache
from mcp_ollama.sources.registry import Registry

if TYPE_CHECKING:
    from mcp_ollama.models.search.search import SearchSources
    from mcp_ollama.sources.cloud_catalogue import CloudCatalogue
    from mcp_ollama.sources.huggingface import HuggingFace

MANIFEST_SECONDS = 600
_MANIFESTS = 64


class SearchClients:
    """The clients of a search with what they remember; those that only a search needs are created on first use.

    Args:
        settings: Where Hugging Face is, and whether anything but Ollama and the registries may be asked.
        ollama: The Ollama server.
        registry: The registries.
    """

    def __init__(self, settings: OllamaSettings, ollama: OllamaClient, registry: Registry) -> None:
        self._settings = settings
        self._ollama = ollama
        self._registry = registry
        self._manifests: ExpiringCache[str, Manifest] = ExpiringCache(MANIFEST_SECONDS, _MANIFESTS)
        self._huggingface: HuggingFace | None = None
        self._catalogue: CloudCatalogue | None = None

    def sources(self, available_memory: Callable[[], Awaitable[int | None]]) -> "SearchSources":
        """Return the sources that the settings allow.

        Args:
            available_memory: Returns the bytes that a model can take on the server, None when unknown.
        """
        from mcp_ollama.models.search.search import SearchSources  # noqa: PLC0415 - 40 ms that the start need not pay

        may_ask_others = self._settings.search == "on"
        return SearchSources(
            look_up=self._look_up,
            recommendations=self._ollama.list_recommendations,
            installed_names=self._installed_names,
            available_memory=available_memory,
            may_use_cloud=self._may_use_cloud,
            cloud_catalogue=self._cloud_catalogue if may_ask_others else None,
            huggingface=self._hub() if may_ask_others else None,
        )

    async def aclose(self) -> None:
        """Close the connections of the clients that were created here."""
        for client in (self._huggingface, self._catalogue):
            if client is not None:
                await client.aclose()

    def _hub(self) -> "HuggingFace":
        if self._huggingface is None:
            from mcp_ollama.sources.huggingface import HuggingFace  # noqa: PLC0415 - see sources

            token = self._settings.hf_token
            self._huggingface = HuggingFace(
                self._settings.hf_endpoint,
                token=token.get_secret_value() if token else None,
                offline=self._settings.hf_hub_offline,
            )
        return self._huggingface

    async def _look_up(self, name: ModelName) -> Manifest:
        """Fetch a manifest, or take it from memory: a search may be up to ten minutes late, a plan may not."""
        if manifest := self._manifests.get(name.key):
            return manifest
        manifest = await self._registry.get_manifest(name)
        self._manifests.put(name.key, manifest)
        return manifest

    async def _installed_names(self) -> list[str]:
        return [model.name for model in await self._ollama.list_models()]

    async def _may_use_cloud(self) -> bool:
        try:
            if await self._ollama.is_cloud_disabled():
                return False
        except OllamaStatusError as error:
            # A server without this endpoint cannot disable them.
            if error.status_code != 404:
                raise
        return await self._ollama.is_signed_in()

    async def _cloud_catalogue(self) -> list[str]:
        if self._catalogue is None:
            from mcp_ollama.sources.cloud_catalogue import CloudCatalogue  # noqa: PLC0415 - see sources

            self._catalogue = CloudCatalogue(self._registry.base_url("ollama.com"))
        return await self._catalogue.list_names()
