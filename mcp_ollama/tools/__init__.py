"""The tools, in the order in which hosts list them."""

from mcp_ollama.tools import health, library, pulls
from mcp_ollama.tools.spec import ToolSpec

ALL: tuple[ToolSpec, ...] = (*library.READING, *pulls.TOOLS, *library.CHANGING, *health.TOOLS)
