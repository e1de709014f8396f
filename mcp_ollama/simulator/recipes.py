"""Builds whole models (weights, layers, manifest) from a few keywords."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypedDict

from mcp_ollama.simulator.manifests import Layer, Manifest, Tensor, Weights, compact, sha256

_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15}
_MULTIPLIERS = {"K": 10**3, "M": 10**6, "B": 10**9}


class Recipe(TypedDict, total=False):
    """Keywords that describe a model; all have defaults."""

    layers: Sequence[Layer]
    """Further layers, or all of them when one has weights."""
    size_bytes: int
    """Size of the weights."""
    weights: str
    """Seed of the weights' digest: models with equal seed and size share one blob."""
    family: str
    families: Sequence[str]
    parameter_size: str
    quantization: str
    context_length: int
    embedding_length: int
    capabilities: Sequence[str]
    """As `/api/show` reports them; `/api/tags` misses those of the chat template inside the weights."""
    chat_template: str
    template: str
    system: str
    license: str
    parameters: Mapping[str, Any]
    messages: Sequence[Mapping[str, str]]
    shape: Mapping[str, Any]
    """Keys of the made-up `model_info`, without the family before them."""
    model_info: Mapping[str, Any]
    """Replaces the generated one; lists are shown only by `verbose`."""
    tensors: Sequence[Tensor]
    head: bytes
    """Start of the weights file, in the place of one that states `model_info`."""
    remote_host: str
    """Makes the model a stub without weights for a model that runs there."""
    remote_model: str
    requires: str
    published: Mapping[str, Any]
    """Keys of the config blob that differ from the weights' own metadata, such as a rounded `model_type`."""
    lists_capabilities: bool
    """False for a stub of an older server: its row in `/api/tags` has no capabilities, its details have them."""
    safetensors: bool
    tensor_count: int
    """Number of blobs of a safetensors model."""


def build_manifest(name: str, recipe: Recipe) -> Manifest:
    """Build the model that a registry would hold."""
    layers = (*_weights_layers(name, recipe), *recipe.get("layers", ()), *text_layers(recipe))
    return Manifest.build(layers, _config(recipe, layers))


def text_layers(recipe: Mapping[str, Any]) -> Iterator[Layer]:
    """Build the small layers in the order in which Ollama writes them."""
    for kind in ("template", "system", "license"):
        if text := recipe.get(kind):
            yield Layer.of_text(kind, text)
    if parameters := recipe.get("parameters"):
        yield Layer.of_text("params", compact(dict(sorted(parameters.items()))) + "\n")
    if messages := recipe.get("messages"):
        yield Layer.of_text("messages", compact(messages) + "\n")


def _weights_layers(name: str, recipe: Recipe) -> Iterator[Layer]:
    if "remote_host" in recipe or any(layer.weights for layer in recipe.get("layers", ())):
        return
    size, weights = recipe.get("size_bytes", 1_000_000), _weights(recipe)
    seed = f"{recipe.get('weights', name)} {size}"
    if not recipe.get("safetensors"):
        yield Layer(kind="model", digest=sha256(seed), size=size, weights=weights)
        return
    count = recipe.get("tensor_count", 4)
    for number in range(count):
        part = size // count + (size % count if number == 0 else 0)
        digest = sha256(f"{seed} {number}")
        yield Layer(kind="tensor", digest=digest, size=part, weights=None if number else weights)


def _weights(recipe: Recipe) -> Weights:
    given: dict[str, Any] = {field.name: recipe[field.name] for field in fields(Weights) if field.name in recipe}
    weights = Weights(**given)
    return replace(weights, info=recipe.get("model_info", _model_info(weights, recipe.get("shape", {}))))


def _model_info(weights: Weights, shape: Mapping[str, Any]) -> dict[str, Any]:
    family = weights.family
    # Ahead of the tokenizer, as converters write them.
    stated = {f"{family}.{key}": value for key, value in shape.items()}
    info: dict[str, Any] = {
        "general.architecture": family,
        "general.file_type": _FILE_TYPES.get(weights.quantization, 0),
        "general.parameter_count": _count(weights.parameter_size),
        "general.quantization_version": 2,
        f"{family}.attention.head_count": 32,
        f"{family}.attention.head_count_kv": 8,
        f"{family}.block_count": 28,
        f"{family}.context_length": weights.context_length,
        f"{family}.embedding_length": weights.embedding_length,
        **stated,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [f"<{number}>" for number in range(256)],
    }
    pooling = {f"{family}.pooling_type": 1} if "embedding" in weights.capabilities else {}
    return info | pooling


def _count(parameter_size: str) -> int:
    found = re.fullmatch(r"([\d.]+)([KMB])", parameter_size)
    return int(float(found[1]) * _MULTIPLIERS[found[2]]) if found else 0


def _config(recipe: Recipe, layers: Sequence[Layer]) -> dict[str, Any]:
    weights = next((layer.weights for layer in layers if layer.weights), None) or _weights(recipe)
    config = config_of(weights, "safetensors" if recipe.get("safetensors") else "gguf")
    if requires := recipe.get("requires"):
        config["requires"] = requires
    if host := recipe.get("remote_host"):
        config |= stub_of(weights, host, recipe.get("remote_model", ""))
        if not recipe.get("lists_capabilities", True):
            config["unlisted_capabilities"] = True
    return config | dict(recipe.get("published", {}))


def config_of(weights: Weights, model_format: str = "gguf") -> dict[str, Any]:
    """Build the content of the config blob for a model with these weights."""
    return {
        "model_format": model_format,
        "model_family": weights.family,
        "model_families": list(weights.families or (weights.family,)),
        "model_type": weights.parameter_size,
        "file_type": weights.quantization,
        "architecture": "amd64",
        "os": "linux",
    }


def stub_of(weights: Weights, host: str, model: str) -> dict[str, Any]:
    """Build the config fields of a remote model without weights here."""
    return {
        "model_format": "",
        "remote_host": host,
        "remote_model": model,
        "capabilities": list(weights.capabilities),
        "context_length": weights.context_length,
        "embedding_length": weights.embedding_length,
    }
