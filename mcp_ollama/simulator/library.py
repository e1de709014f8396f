"""What lies on the simulated server's disk: installed models, blobs, and parts of blobs."""

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.manifests import Manifest, Weights

MODELS_PATH = "/models"
"""Where the server pretends to keep its models."""


@dataclass(frozen=True, slots=True, eq=False)
class Installed:
    """A model on the server; `modified_at` in seconds since 1970."""

    name: ModelName
    manifest: Manifest
    modified_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A blob on the disk; the other fields tell what `create` makes of an uploaded GGUF file."""

    size: int
    error: str = ""
    weights: Weights | None = None
    converted_digest: str = ""
    converted_size: int = 0


class Library:
    """The models and blobs of one server."""

    def __init__(self) -> None:
        self.models: dict[str, Installed] = {}
        self.blobs: dict[str, Blob] = {}
        self.entries: dict[Installed, bytes] = {}
        """Each model as `/api/tags` lists it."""
        self.partials: dict[str, int] = {}
        """Bytes kept of unfinished downloads, by digest."""

    def find(self, name: ModelName) -> Installed | None:
        """Look a model up, in any spelling."""
        return self.models.get(name.key)

    def spelled(self, name: ModelName) -> ModelName:
        """Spell each part of a name as some installed model does, as Ollama's look-ups do."""
        parts = [name.host, name.namespace, name.model, name.tag]
        for installed in self.models.values():
            known = installed.name
            pairs = zip(parts, (known.host, known.namespace, known.model, known.tag), strict=True)
            parts = [theirs if theirs.lower() == ours.lower() else ours for ours, theirs in pairs]
        return ModelName(*parts)

    def write(self, name: ModelName, manifest: Manifest, modified_at: float) -> None:
        """Write a manifest over the one before, whose layers stay."""
        self.models[name.key] = Installed(name, manifest, modified_at)

    def add(self, name: ModelName, manifest: Manifest, modified_at: float) -> bool:
        """Write a manifest with all its blobs; tell whether layers of the one before became unused."""
        before = self.models.get(name.key)
        self.write(name, manifest, modified_at)
        for layer in manifest.blobs:
            self.blobs.setdefault(layer.digest, Blob(size=layer.size))
        return before is not None and self._discard(layer.digest for layer in before.manifest.blobs)

    def remove(self, installed: Installed) -> None:
        """Delete a model, and those of its blobs that no other one uses."""
        del self.models[installed.name.key]
        self._discard(layer.digest for layer in installed.manifest.blobs)

    def _discard(self, digests: Iterable[str]) -> bool:
        used = {layer.digest for model in self.models.values() for layer in model.manifest.blobs}
        unused = set(digests) - used
        for digest in unused:
            self.blobs.pop(digest, None)
        return bool(unused)
