"""Job of `POST /api/create`, from its base to `success`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.exchange import Stream
from mcp_ollama.simulator.library import MODELS_PATH, Blob
from mcp_ollama.simulator.manifests import Layer, Manifest, Weights, sha256
from mcp_ollama.simulator.pulls import Pull
from mcp_ollama.simulator.recipes import config_of, stub_of, text_layers
from mcp_ollama.simulator.references import to_use
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.wire import Refusal

DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_QUANTIZATIONS = ("F32", "F16", "Q4_K_S", "Q4_K_M", "Q8_0")
_GGUF_HEADER = 24


class Creation:
    """One creation of a model for one client."""

    def __init__(self, simulator: Simulator, name: ModelName, request: Mapping[str, Any], stream: Stream) -> None:
        self._simulator = simulator
        self._library = simulator.library
        self._name = name
        self._request = request
        self._stream = stream

    def check(self) -> None:
        """Check the request before anything is sent.

        Raises:
            Refusal: A file path is absolute or leaves its directory.
        """
        for path in self._request.get("files") or ():
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise Refusal("file path must be relative", 400)

    async def run(self) -> None:
        """Send all lines; the model is installed at the end.

        Raises:
            Refusal: The model cannot be created.
        """
        base = await self._base()
        template = self._request.get("template", "")
        if template.count("{{") > template.count("}}"):
            raise Refusal("template error: template: :1: unclosed action", 400)
        added = list(text_layers({**self._request, **self._parameters(base)}))
        replaced = {layer.kind for layer in added}
        layers = [*(layer for layer in base.layers if layer.kind not in replaced), *added]
        for layer in layers:
            verb = "using existing" if layer.digest in self._library.blobs else "creating new"
            await self._stream.line(status=f"{verb} layer {layer.digest}")
        await self._stream.line(status="writing manifest")
        manifest = Manifest.build(layers, base.settings | _recomputed(base) | self._changes(), created=True)
        self._library.add(self._name, manifest, self._simulator.now())
        await self._stream.line(status="success")

    def _parameters(self, base: Manifest) -> dict[str, Any]:
        """Return the parameters of the base, overridden by those of the request."""
        given = self._request.get("parameters")
        return {"parameters": base.parameters | given} if given else {}

    def _changes(self) -> dict[str, Any]:
        return {"requires": self._request["requires"]} if self._request.get("requires") else {}

    async def _base(self) -> Manifest:
        if self._request.get("from"):
            return await self._from_model()
        if not self._request.get("files"):
            raise Refusal("neither 'from' or 'files' was specified", 400)
        return await self._from_file(next(iter(self._request["files"].values())))

    async def _from_model(self) -> Manifest:
        reference = to_use(self._request["from"], Refusal("invalid model name", 400))
        if reference.is_cloud or self._request.get("remote_host"):
            return self._stub(reference.text)
        if self._library.find(reference.name) is None:
            await Pull(self._simulator, reference.name, self._stream, insecure=False).run()
        parent = self._simulator.model(reference.name.full)
        layers = (replace(layer, parent=parent.name.short) for layer in parent.manifest.layers)
        return Manifest.build(layers, parent.manifest.settings)

    def _stub(self, remote: str) -> Manifest:
        host = self._request.get("remote_host") or "https://ollama.com:443"
        weights = Weights(family="", capabilities=("completion",))
        model = remote.removesuffix("-cloud").removesuffix(":cloud")
        return Manifest.build((), config_of(weights) | stub_of(weights, host, model))

    async def _from_file(self, digest: str) -> Manifest:
        await self._stream.line(status="parsing GGUF")
        blob = self._uploaded(digest)
        weights = blob.weights or Weights(quantization="F16")
        converted, size = blob.converted_digest or sha256(f"converted {digest}"), blob.converted_size or blob.size
        if wanted := self._request.get("quantize", "").upper():
            if wanted not in _QUANTIZATIONS:
                known = ", ".join(_QUANTIZATIONS)
                raise Refusal(f"unsupported quantization type {wanted} - supported types are {known}")
            weights = replace(weights, quantization=wanted)
            converted, size = sha256(f"{converted} {wanted}"), size // 2
        await self._stream.line(status="verifying conversion")
        layer = Layer(kind="model", digest=converted, size=size, weights=weights)
        return Manifest.build((layer,), config_of(weights))

    def _uploaded(self, digest: str) -> Blob:
        found = DIGEST.fullmatch(digest)
        if not found:
            raise Refusal("invalid digest format")
        blob = self._library.blobs.get(f"sha256:{found[1]}")
        if blob is None:
            path = f"{MODELS_PATH}/blobs/sha256-{found[1]}"
            raise Refusal(f"open {path}: no such file or directory")
        if blob.error:
            raise Refusal(blob.error)
        return blob


def _recomputed(base: Manifest) -> dict[str, Any]:
    """Return the config fields that Ollama reads again from the weights, whatever the config of the base states."""
    if base.model is None or base.model.weights is None or base.is_safetensors:
        return {}
    computed = config_of(base.model.weights)
    return {key: computed[key] for key in ("model_family", "model_families", "model_type", "file_type")}


def read_upload(data: bytes) -> Blob:
    """Build the blob of an uploaded file; only a GGUF file can become a model."""
    if not data.startswith(b"GGUF"):
        return Blob(size=len(data), error="supplied file was not in GGUF format")
    return Blob(size=len(data), error="" if len(data) > _GGUF_HEADER else "unexpected EOF")
