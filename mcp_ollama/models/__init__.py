"""Models of an Ollama server: what is known about them and what is done with them."""
