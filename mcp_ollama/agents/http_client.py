"""HTTP client of an agent's model: it sends its key only to one server, and keeps no connections."""

import os
from collections.abc import Mapping
from typing import Any

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.connection import tls_context
from mcp_ollama.ollama.error_messages import unusable_environment
from mcp_ollama.ollama.proxies import read_proxies

_OPENAI_HEADERS = ("OpenAI-Organization", "OpenAI-Project")
_STANDARD_HEADERS = ("host", "content-length", "content-type", "transfer-encoding", "accept", "accept-encoding")


def new_agent_client(base_url: str, headers: Mapping[str, str]) -> Any:
    """Build the HTTP client for the OpenAI client, in its own library (httpx2; httpx in older versions).

    Args:
        base_url: The server.
        headers: Sent with each request; of two spellings of a name the last one.

    Raises:
        OllamaConnectionError: A proxy of the environment cannot be used.
        ImportError: The OpenAI client is not installed.
    """
    from openai import DefaultAsyncHttpxClient  # noqa: PLC0415 - the extra

    sent = {name.lower(): text for name, text in headers.items()}

    async def finish(request: Any) -> None:
        # The OpenAI client adds OPENAI_* headers of the environment, whatever the address.
        for name in (*_OPENAI_HEADERS, *_custom_headers()):
            request.headers.pop(name, None)
        # An idle connection belongs to the event loop of its first request; a script may run several loops.
        request.headers.update({"host": request.url.netloc.decode(), **sent, "connection": "close"})

    try:
        return DefaultAsyncHttpxClient(
            follow_redirects=False,
            trust_env=False,
            proxy=None if is_loopback(base_url) else read_proxies().find(base_url),
            verify=tls_context(base_url),
            event_hooks={"request": [finish]},
        )
    except Exception as error:
        # The errors of an invalid proxy have no common base in httpx2 or httpx.
        raise unusable_environment() from error


def _custom_headers() -> list[str]:
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    names = [line.partition(":")[0].strip() for line in lines]
    return [name for name in names if name.lower() not in _STANDARD_HEADERS]
