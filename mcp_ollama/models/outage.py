"""An outage: a time in which an Ollama server answers nothing, because it restarts, updates or is off."""

from collections.abc import Awaitable, Callable

import anyio

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaConnectionError, OllamaError

POLL_SECONDS = 2.0
"""Between two questions; a transfer has to go on within 3 s of the server's return."""
UNTOUCHED_SECONDS = 15.0
"""Limit of an outage before a transfer's first byte: the address is more probably wrong."""


async def wait_for_server(
    is_running: Callable[[], Awaitable[bool]], limit_seconds: float, *, poll_seconds: float = POLL_SECONDS
) -> bool:
    """Wait until a server answers; return False when it has not within the limit.

    Args:
        is_running: Asks the server for its version (`GET /api/version`); never raises.
        limit_seconds: How long an outage may last.
        poll_seconds: Between two questions.
    """
    with anyio.move_on_after(limit_seconds):
        while True:
            asked_at = anyio.current_time()
            if await is_running():
                return True
            await anyio.sleep_until(asked_at + poll_seconds)
    return False


async def is_answering(ollama: OllamaClient, seconds: float) -> bool:
    """Return whether a server answers `GET /api/version` in time, be it with an error; never raises."""
    try:
        with anyio.fail_after(seconds):
            await ollama.get_version()
    except (OllamaConnectionError, TimeoutError):
        return False
    except OllamaError:
        # A proxy answers in its place, or refuses the request: what a transfer says of it is more exact.
        return True
    return True
