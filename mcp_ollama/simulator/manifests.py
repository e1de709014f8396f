"""What a model is made of: layers, the config, and the manifest that names them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

_DOCKER = "application/vnd.docker"
_OLLAMA = "application/vnd.ollama.image."
Tensor = tuple[str, str, Sequence[int]]
"""A tensor's name, type and shape."""


def sha256(data: bytes | str) -> str:
    """Digest of bytes or text, in the `sha256:<hex>` form."""
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a weights file says about itself."""

    family: str = "llama"
    families: Sequence[str] = ()
    parameter_size: str = "1.2B"
    quantization: str = "Q4_K_M"
    context_length: int = 8192
    embedding_length: int = 2048
    capabilities: Sequence[str] = ("completion",)
    chat_template: str = ""
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tensors: Sequence[Tensor] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One blob of a model; `parent` is the model it was taken from (Ollama's `from`)."""

    kind: str
    digest: str
    size: int
    text: str = ""
    weights: Weights | None = None
    parent: str = ""

    @classmethod
    def of_text(cls, kind: str, text: str) -> Self:
        """Make a small layer that is its own text."""
        return cls(kind=kind, digest=sha256(text), size=len(text.encode()), text=text)

    @property
    def descriptor(self) -> dict[str, object]:
        """The layer's entry in a manifest."""
        media_type = f"{_DOCKER}.container.image.v1+json" if self.kind == "config" else _OLLAMA + self.kind
        entry: dict[str, object] = {"mediaType": media_type, "digest": self.digest, "size": self.size}
        return {**entry, "from": self.parent} if self.parent else entry


@dataclass(frozen=True)
class Manifest:
    """A model's manifest with the very bytes that its digest is taken from."""

    layers: tuple[Layer, ...]
    config: Layer
    body: bytes

    @classmethod
    def build(cls, layers: Iterable[Layer], config: Mapping[str, Any], *, created: bool = False) -> Self:
        """Write the manifest; one `created` on the server ends in a newline, a registry's does not."""
        layers = tuple(layers)
        config_layer = Layer.of_text("config", compact(config) + "\n")
        document = {
            "schemaVersion": 2,
            "mediaType": f"{_DOCKER}.distribution.manifest.v2+json",
            "config": config_layer.descriptor,
            "layers": [layer.descriptor for layer in layers],
        }
        return cls(layers, config_layer, (compact(document) + "\n" * created).encode())

    @classmethod
    def empty(cls) -> Self:
        """The manifest that Ollama makes of `{}`, as a captive portal may send it."""
        return cls((), Layer(kind="config", digest="", size=0, text="{}"), b"{}")

    def published(self) -> Self:
        """The manifest as a push sends it."""
        return replace(self, body=self.body.rstrip(b"\n"))

    @cached_property
    def digest(self) -> str:
        """The digest as `/api/tags` shows it: no prefix."""
        return sha256(self.body).removeprefix("sha256:")

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Everything that a pull downloads, in its order."""
        return (*self.layers, self.config) if self.config.digest else self.layers

    @cached_property
    def size(self) -> int:
        """Sum of all blobs."""
        return sum(layer.size for layer in self.blobs)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config blob's content."""
        return json.loads(self.config.text)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The model's own parameters."""
        return json.loads(self.text("params") or "{}")

    @cached_property
    def model(self) -> Layer | None:
        """The layer with the weights; a stub for a remote model has none."""
        return next((layer for layer in self.layers if layer.weights), None)

    @property
    def is_safetensors(self) -> bool:
        """Whether the weights come as many tensor blobs, pulled in another way."""
        return any(layer.kind == "tensor" for layer in self.layers)

    def text(self, kind: str) -> str:
        """The text of the layer of a kind, empty when there is none."""
        return next((layer.text for layer in self.layers if layer.kind == kind), "")


def compact(document: object) -> str:
    """Write JSON without spaces."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
