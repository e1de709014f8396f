"""Where models come from: registries, the heads of weights files, Hugging Face."""
