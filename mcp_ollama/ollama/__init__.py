"""Ollama's HTTP API, usable alone; nothing here knows of MCP."""
