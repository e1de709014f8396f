"""Models of Ollama servers: listing, transfers, memory and search, without MCP or HTTP."""
