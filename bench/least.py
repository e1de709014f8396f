"""The least code that does the main job on the SDK and httpx: what a user of both would write in an hour.

Same rows and about the same fields as this server; no filters, pages, checks or errors.
"""

import os
from typing import Any

import httpx
from mcp.server import MCPServer

server = MCPServer("least")
ollama = httpx.AsyncClient(base_url=os.environ.get("MCP_OLLAMA_BASE_URL", "http://127.0.0.1:11434"))


@server.tool()
async def list_models(limit: int = 200) -> dict[str, Any]:
    """List the installed models."""
    answer = (await ollama.get("/api/tags")).json()
    return {"models": [row(model) for model in answer["models"][:limit]], "total_count": len(answer["models"])}


def row(model: dict[str, Any]) -> dict[str, Any]:
    """Return what a user wants to know of a model."""
    return {
        "name": model["name"],
        "size_bytes": model["size"],
        "modified_at": model["modified_at"],
        "digest": model["digest"][:12],
        "family": model["details"]["family"],
        "parameter_size": model["details"]["parameter_size"],
        "quantization": model["details"]["quantization_level"],
    }


@server.tool()
async def show_model(model: str) -> dict[str, Any]:
    """Show one installed model."""
    answer = (await ollama.post("/api/show", json={"model": model})).json()
    wanted = ("parameters", "template", "details", "model_info", "capabilities", "modified_at")
    return {"name": model, **{key: answer[key] for key in wanted}}


if __name__ == "__main__":
    server.run()
