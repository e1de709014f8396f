"""The tools, in the order in which hosts list them."""

from mcp_ollama.tools import deleting, health, library, making, planning, pulls, runtime
from mcp_ollama.tools.spec import ToolSpec

ALL: tuple[ToolSpec, ...] = (
    *library.TOOLS,
    *planning.TOOLS,
    *pulls.TOOLS,
    *runtime.TOOLS,
    *making.TOOLS,
    *deleting.TOOLS,
    *health.TOOLS,
)
