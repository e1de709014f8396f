"""The recordings of a real server, and the models that it had: all digests come out as recorded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import Layer, Manifest, Simulator, Weights
from mcp_ollama.simulator.library import Blob
from mcp_ollama.simulator.recipes import config_of, text_layers

FOLDER = Path(__file__).parent.parent / "data" / "recordings"
TINY_FILE = "sha256:18a2f2288ca3073e9fa6e5854976059e72bb16fcedb6945c021dbbfff453a7a3"
TRUNCATED_FILE = "sha256:58f74a14c926d5d3e7f89468f1b578cea03feab1a83f312195fd6ba122c90b82"
JUNK_FILE = "sha256:184e869ae8dfece5f8c0c15a100cae9f1a25b06f2f34b38a0ce73e4a36694e18"
BIG_FILE = "sha256:7b45824994209099e1ac5917ba693d6ae85433a69dac8c75a06cc68f0ea54f09"
BIG = "localhost:5055/test/big"
TINY = "localhost:5055/test/tiny"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One exchange: what was asked, and what the real server answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: str
    ended: str
    """Empty when the answer is whole; else who broke it off."""
    started: float


def load(name: str) -> list[Recorded]:
    """The exchanges of a recording, in its order."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [_exchange(each) for each in document.get("exchanges", [document]) if "request" in each]


def _exchange(document: Mapping[str, Any]) -> Recorded:
    request, response = document["request"], document["response"]
    kept = ("Host", "Origin", "Content-Type")
    return Recorded(
        request["method"],
        request["path"],
        {key: value for key, value in request["headers"].items() if key in kept},
        (request["body"] or "").encode(),
        response["status"],
        {key.lower(): value for key, value in response["headers"]},
        response["body"],
        response.get("ended", ""),
        datetime.fromisoformat(document["started"]).timestamp(),
    )


def names() -> list[str]:
    """All recordings."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def _answer_of(name: str) -> dict[str, Any]:
    return json.loads(load(name)[0].answer)


def _weights(show: str, digest: str, size: int, quantization: str) -> Layer:
    """Make the weights layer from what `/api/show` (verbose, where it was recorded) returned."""
    answer = _answer_of(show)
    info = dict(answer["model_info"])
    if info["tokenizer.ggml.tokens"] is None:
        info |= {key: [] for key, value in info.items() if value is None}
    weights = Weights(
        parameter_size=answer["details"]["parameter_size"],
        quantization=quantization,
        context_length=512,
        embedding_length=64,
        chat_template=answer["template"],
        info=info,
        tensors=[(tensor["name"], tensor["type"], tensor["shape"]) for tensor in answer["tensors"]],
    )
    return Layer(kind="model", digest=f"sha256:{digest}", size=size, weights=weights)


def tiny_weights() -> Layer:
    return _weights("show_verbose", "b3720ab7a1bca49675e2f69a3f8e5205379fffce203f6aa99a4ad3460e67457c", 158080, "F16")


def big_weights() -> Layer:
    return _weights(
        "pull_ok_show", "7bc54c9a74d06e67b4c39c21525a5c73badaeef178e341d8b5508c31d9d60eba", 209916544, "unknown"
    )


def quantized_weights() -> Layer:
    weights = tiny_weights().weights
    assert weights
    return Layer(
        kind="model",
        digest="sha256:3ae867d978120267596c458fd20885e058e193e757817892a543966f7c55185d",
        size=70816,
        weights=replace(weights, quantization="Q4_K_M"),
    )


def _build(model: Layer, recipe: Mapping[str, Any], *, created: bool = True, parent: str = "") -> Manifest:
    assert model.weights
    layers = (replace(model, parent=parent), *text_layers(recipe))
    return Manifest.build(layers, config_of(model.weights), created=created)


@cache
def manifests() -> dict[str, Manifest]:
    """Every model of the recordings, by the first digits of its digest."""
    tiny, big, quantized = tiny_weights(), big_weights(), quantized_weights()
    full = {
        "template": "{{ .System }} {{ .Prompt }}",
        "system": "You are a dummy.",
        "license": "MIT License\n\nDummy.",
        "parameters": {"temperature": 0.5, "stop": ["a", "b"], "num_ctx": 256},
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
    }
    in_registry = {"system": "in registry"}
    built = [
        _build(tiny, {}),
        _build(tiny, full),
        _build(tiny, {"system": "derived 2"}, parent="tiny:latest"),
        _build(tiny, in_registry, parent="tiny:latest"),
        _build(tiny, in_registry, parent="tiny:latest", created=False),
        _build(tiny, {"parameters": {"nonsense": 1}}, parent="tiny:latest"),
        _build(quantized, {}),
        _build(big, {"system": "big one"}),
        _build(big, {"system": "big one"}, created=False),
    ]
    by_digest = {manifest.digest[:12]: manifest for manifest in built}
    # The system text of this version was not recorded, only its length.
    unknown = _build(tiny, {"system": "8 bytes."}, parent="tiny:latest", created=False)
    return {**by_digest, "2d2060934caf": unknown}


def simulator(tags: str = "", *, without: tuple[str, ...] = (), rate: float | None = None) -> Simulator:
    """A server with the models that a recorded `/api/tags` listed, and the published ones in its registry."""
    made = Simulator(tick=0.001, rate=rate)
    made.runners.vram_share = 0.0
    made.cloud_disabled = True
    known = manifests()
    made.runners.memory = {
        (tiny_weights().digest, 512): 1730149,
        (tiny_weights().digest, 256): 807402,
        (quantized_weights().digest, 512): 1646263,
        (big_weights().digest, 512): 214507191,
    }
    for name, digest in ((BIG, "beddb9997c38"), (TINY, "e09d01306d18")):
        made.registry.store(ModelName.parse(name), known[digest])
    made.registry.refusing_hosts.add("localhost:5999")
    for entry in _listed(tags):
        if entry["name"] not in without:
            at = datetime.fromisoformat(entry["modified_at"]).timestamp()
            made.library.add(ModelName.parse(entry["name"]), known[entry["digest"][:12]], at)
    made.library.blobs |= _uploads()
    return made


def _listed(tags: str) -> list[dict[str, Any]]:
    if not tags:
        return []
    answers = [recorded.answer for recorded in load(tags) if recorded.path == "/api/tags"]
    return json.loads(answers[0])["models"]


def _uploads() -> dict[str, Blob]:
    tiny, big = tiny_weights(), big_weights()
    return {
        TINY_FILE: Blob(size=158048, weights=tiny.weights, converted_digest=tiny.digest, converted_size=tiny.size),
        BIG_FILE: Blob(size=209916512, weights=big.weights, converted_digest=big.digest, converted_size=big.size),
        JUNK_FILE: Blob(size=2200, error="supplied file was not in GGUF format"),
        TRUNCATED_FILE: Blob(size=3000, error="unexpected EOF"),
    }
