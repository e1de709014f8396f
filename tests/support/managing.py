"""A conversation with a server over a simulator that the test itself has furnished."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Simulator, serve
from tests.support.client import Era, Host, built, host, own_port

QUICK = Timeouts(progress_interval=0.01, progress_keepalive=0.05)
GB = 1_000_000_000


@asynccontextmanager
async def hosting(simulator: Simulator, era: Era, *, timeouts: Timeouts = QUICK) -> AsyncGenerator[Host]:
    """Serve a simulator, and talk to the MCP server over it."""
    with serve(simulator, port=own_port()):
        async with host(built(timeouts), era) as call:
            yield call
