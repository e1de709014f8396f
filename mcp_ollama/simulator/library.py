"""Disk of the simulated server: installed models, blobs, and partial blobs."""

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.manifests import Manifest, Weights

MODELS_PATH = "/models"
"""Model directory that the server reports."""


@dataclass(frozen=True, slots=True, eq=False)
class Installed:
    """Installed model; `modified_at` in seconds since 1970."""

    name: ModelName
    manifest: Manifest
    modified_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Blob on the disk; the other fields describe what `create` makes of an uploaded GGUF file."""

    size: int
    error: str = ""
    weights: Weights | None = None
    converted_digest: str = ""
    converted_size: int = 0


class Library:
    """Models and blobs of one server."""

    def __init__(self) -> None:
        self.models: dict[str, Installed] = {}
        self.blobs: dict[str, Blob] = {}
        self.entries: dict[Installed, bytes] = {}
        """Cached row of `/api/tags` per model."""
        self.partials: dict[str, int] = {}
        """Saved bytes of unfinished downloads, by digest."""

    def find(self, name: ModelName) -> Installed | None:
        """Find a model by its exact name, else ignoring case."""
        key = name.key
        variants = (model for full, model in self.models.items() if full.lower() == key)
        return self.models.get(name.full) or next(variants, None)

    def spelled(self, name: ModelName) -> ModelName:
        """Return the name with each part spelled as in an installed model, as Ollama does (`getExistingName`)."""
        parts = [name.host, name.namespace, name.model, name.tag]
        for installed in self.models.values():
            known = installed.name
            pairs = zip(parts, (known.host, known.namespace, known.model, known.tag), strict=True)
            parts = [theirs if theirs.lower() == ours.lower() else ours for ours, theirs in pairs]
        return ModelName(*parts)

    def write(self, name: ModelName, manifest: Manifest, modified_at: float) -> None:
        """Write a manifest; it replaces a model whose name differs only in case, whose layers stay."""
        if before := self.find(name):
            del self.models[before.name.full]
        self.models[name.full] = Installed(name, manifest, modified_at)

    def add_twin(self, name: ModelName, manifest: Manifest, modified_at: float) -> None:
        """Write a manifest beside a model whose name differs only in case, as older servers did."""
        self.models[name.full] = Installed(name, manifest, modified_at)

    def add(self, name: ModelName, manifest: Manifest, modified_at: float) -> bool:
        """Write a manifest with all its blobs; return whether layers of a replaced one became unused."""
        before = self.find(name)
        self.write(name, manifest, modified_at)
        for layer in manifest.blobs:
            self.blobs.setdefault(layer.digest, Blob(size=layer.size))
        return before is not None and self._discard(layer.digest for layer in before.manifest.blobs)

    def remove(self, installed: Installed) -> None:
        """Delete a model and its unshared blobs."""
        del self.models[installed.name.full]
        self._discard(layer.digest for layer in installed.manifest.blobs)

    def _discard(self, digests: Iterable[str]) -> bool:
        used = {layer.digest for model in self.models.values() for layer in model.manifest.blobs}
        unused = set(digests) - used
        for digest in unused:
            self.blobs.pop(digest, None)
        return bool(unused)
