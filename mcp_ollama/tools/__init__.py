"""The tools, in the order in which clients list them."""

from mcp_ollama.tools import (
    cleanup,
    create,
    dashboard,
    delete,
    health,
    installed,
    measuring,
    planning,
    running,
    search,
    transfers,
)
from mcp_ollama.tools.spec import ToolSpec

ALL: tuple[ToolSpec, ...] = (
    *installed.TOOLS,
    *planning.TOOLS,
    *search.TOOLS,
    *transfers.TOOLS,
    *running.TOOLS,
    *measuring.TOOLS,
    *create.TOOLS,
    *cleanup.TOOLS,
    *delete.TOOLS,
    *health.TOOLS,
    *dashboard.TOOLS,
)
