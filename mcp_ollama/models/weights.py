"""Weights of a model: which files of it need memory, by its manifest."""

from dataclasses import dataclass

from mcp_ollama.ollama.schemas import Layer, Manifest

WEIGHTS_ONLY = {
    "tensor": "Only the weights can be estimated: the model is in safetensors, which Ollama runs with MLX.",
    "split": "Only the weights can be estimated: they are split over several files.",
    "adapter": "Only the weights can be estimated: the model has an adapter (LoRA).",
    "draft": "Only the weights can be estimated: the model has a draft model for speculative decoding.",
    "none": "The model has no weights of its own: it is a reference to one that runs elsewhere.",
}
"""Why only the weights of a model can be estimated, by the shape in which it has them."""
_WEIGHTS_KINDS = ("model", "tensor", "adapter", "draft")


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of a model that are loaded into memory.

    Attributes:
        layer: The one GGUF file with the weights; None when the model is made in another way.
        size_bytes: Size of all weights.
        projector_bytes: Size of the projectors for images and audio.
        reason: Why only the weights can be estimated, a sentence; empty when `layer` suffices.
    """

    layer: Layer | None
    size_bytes: int
    projector_bytes: int = 0
    reason: str = ""


def read_weights(manifest: Manifest) -> Weights:
    """Find the weights of a model among the layers of its manifest."""
    layers = {layer.digest: layer for layer in manifest.layers}.values()
    models = [layer for layer in layers if layer.kind == "model"]
    kinds = {layer.kind for layer in layers}
    shape = next((kind for kind in ("tensor", "adapter", "draft") if kind in kinds), "")
    shape = shape or ("split" if len(models) > 1 else "" if models else "none")
    return Weights(
        layer=None if shape else models[0],
        size_bytes=sum(layer.size for layer in layers if layer.kind in _WEIGHTS_KINDS),
        projector_bytes=sum(layer.size for layer in layers if layer.kind == "projector"),
        reason=WEIGHTS_ONLY.get(shape, ""),
    )
