"""The state of the Ollama server."""

from mcp_ollama.models.health import Health, examine
from mcp_ollama.tools.spec import Call, ToolSpec


async def health(call: Call) -> Health:
    """Check the Ollama server: reachable, really Ollama, its version and models; with a fix for each problem.

    Use it when another tool fails.
    """
    return await examine(call.app)


TOOLS = (
    ToolSpec(
        run=health,
        title="Check the Ollama server",
        read_only=True,
        idempotent=True,
        open_world=True,
        search_hint="is Ollama running, diagnose, connection, version",
        always_load=True,
        rows="",
    ),
)
