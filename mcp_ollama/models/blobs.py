"""Blobs of a manifest: which of them an Ollama server has, and their bytes."""

from collections.abc import Collection
from contextlib import suppress

from mcp_ollama.models.concurrency import for_each
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import Manifest

MAX_LOOKUPS = 64
"""Blobs of one manifest that are looked up; safetensors models have thousands."""


async def present_blobs(ollama: OllamaClient, manifest: Manifest) -> set[str] | None:
    """Return the blobs of a manifest that an Ollama server has; None when they are too many or a look-up fails.

    The config, half a kilobyte that a pull fetches last, is looked up only when all layers are present.
    """
    if len(manifest.blobs) > MAX_LOOKUPS:
        return None
    layers = manifest.layer_digests
    present = await _look_up(ollama, layers)
    if present is None or present != layers:
        return present
    config = await _look_up(ollama, {manifest.config.digest})
    return None if config is None else present | config


def bytes_of(manifest: Manifest, digests: set[str]) -> int:
    """Sum the sizes of some blobs of a manifest."""
    return sum(layer.size for digest, layer in manifest.blobs.items() if digest in digests)


async def _look_up(ollama: OllamaClient, digests: Collection[str]) -> set[str] | None:
    found: dict[str, bool] = {}

    async def ask(digest: str) -> None:
        with suppress(OllamaError):
            found[digest] = await ollama.has_blob(digest)

    await for_each(digests, ask, at_once=MAX_LOOKUPS)
    return {digest for digest in found if found[digest]} if len(found) == len(digests) else None
