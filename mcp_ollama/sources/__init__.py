"""Where models come from: registries and the files in them."""
