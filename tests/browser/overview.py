"""A stand-in for the result of `open_dashboard`, made from the other tools of the same server."""

from typing import Any

from mcp import Client

CHANGING = ("load_model", "unload_model", "pull_model", "cancel_pull", "delete_model")


async def overview(client: Client) -> dict[str, Any]:
    """Return the whole result as a client passes it on to the page."""
    tools = {tool.name for tool in (await client.list_tools()).tools}
    actions = [name for name in CHANGING if name in tools]
    data: dict[str, Any] = {"base_url": "http://127.0.0.1:11434", "actions": actions}
    listed = await client.call_tool("list_models", {"limit": 20, "sort": "size"})
    if listed.is_error:
        text = getattr(listed.content[0], "text", "")
        data |= {"summary": "Ollama is not reachable", "models": [], "running": [], "transfers": [], "error": text}
    else:
        running: dict[str, Any] = (await client.call_tool("list_running_models")).structured_content or {}
        transfers: dict[str, Any] = (await client.call_tool("list_pulls")).structured_content or {}
        models: dict[str, Any] = listed.structured_content or {}
        rows = [{name: row[name] for name in ("name", "size_bytes", "loaded")} for row in models["models"]]
        summary = f"{models['total_count']} models"
        data |= {"summary": summary, "models": rows, "running": running["models"], **transfers}
    return {"content": [{"type": "text", "text": data["summary"]}], "structuredContent": data}
