"""Finding a model to pull: sources, ranking, and the quantization that fits."""
