"""Parts of a model: layers, the config, and the manifest that lists them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

_DOCKER = "application/vnd.docker"
_OLLAMA = "application/vnd.ollama.image."
Tensor = tuple[str, str, Sequence[int]]
"""Name, type and shape of a tensor."""


def sha256(data: bytes | str) -> str:
    """Return the digest of bytes or text as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Metadata of a weights file."""

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
    head: bytes = b""
    """Start of the file; empty: written from `info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Blob of a model; `parent` is the model that it was taken from (Ollama's `from`)."""

    kind: str
    digest: str
    size: int
    text: str = ""
    weights: Weights | None = None
    parent: str = ""

    @classmethod
    def of_text(cls, kind: str, text: str) -> Self:
        """Build a small layer from its text."""
        return cls(kind=kind, digest=sha256(text), size=len(text.encode()), text=text)

    @property
    def descriptor(self) -> dict[str, object]:
        """Return the entry of the layer in a manifest."""
        media_type = f"{_DOCKER}.container.image.v1+json" if self.kind == "config" else _OLLAMA + self.kind
        entry: dict[str, object] = {"mediaType": media_type, "digest": self.digest, "size": self.size}
        return {**entry, "from": self.parent} if self.parent else entry


@dataclass(frozen=True)
class Manifest:
    """Manifest of a model, with the exact bytes that its digest is computed from."""

    layers: tuple[Layer, ...]
    config: Layer
    body: bytes

    @classmethod
    def build(cls, layers: Iterable[Layer], config: Mapping[str, Any], *, created: bool = False) -> Self:
        """Build the manifest; one `created` on the server ends in a newline, a registry's does not."""
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
        """Build the manifest that Ollama reads from `{}`, as a captive portal may send it."""
        return cls((), Layer(kind="config", digest="", size=0, text="{}"), b"{}")

    def published(self) -> Self:
        """Return the manifest as a push sends it."""
        return replace(self, body=self.body.rstrip(b"\n"))

    @cached_property
    def digest(self) -> str:
        """Digest as in `/api/tags`, without a prefix."""
        return sha256(self.body).removeprefix("sha256:")

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """All blobs of a pull, in its order."""
        return (*self.layers, self.config) if self.config.digest else self.layers

    @cached_property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(layer.size for layer in self.blobs)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Content of the config blob."""
        return json.loads(self.config.text)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the model."""
        return json.loads(self.text("params") or "{}")

    @cached_property
    def model(self) -> Layer | None:
        """Layer with the weights; None for the stub of a remote model."""
        return next((layer for layer in self.layers if layer.weights), None)

    @property
    def is_safetensors(self) -> bool:
        """Whether the weights are many tensor blobs, which Ollama pulls differently."""
        return any(layer.kind == "tensor" for layer in self.layers)

    def text(self, kind: str) -> str:
        """Return the text of the layer of a kind, empty when there is none."""
        return next((layer.text for layer in self.layers if layer.kind == kind), "")


def compact(document: object) -> str:
    """Write JSON without spaces."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
