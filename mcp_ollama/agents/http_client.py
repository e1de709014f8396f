"""The HTTP client under an agent's model: what it sends goes to one server alone, and outlives no event loop."""

import os
from collections.abc import Mapping
from typing import Any

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.connection import tls_context
from mcp_ollama.ollama.error_messages import unusable_environment

_OF_OPENAI = ("OpenAI-Organization", "OpenAI-Project")
_OF_EACH_REQUEST = ("host", "content-length", "content-type", "transfer-encoding", "accept", "accept-encoding")


def new_agent_client(base_url: str, headers: Mapping[str, str]) -> Any:
    """Make a client to give to the OpenAI client, whose kind it is (httpx2; httpx in older ones).

    Args:
        base_url: The server.
        headers: Sent with each request.

    Raises:
        OllamaConnectionError: A proxy that the environment names cannot be used.
        ImportError: The OpenAI client is not installed.
    """
    from openai import DefaultAsyncHttpxClient  # noqa: PLC0415 - the extra

    async def finish(request: Any) -> None:
        # The OpenAI client adds what the environment holds for OpenAI, whatever the address is.
        for name in (*_OF_OPENAI, *_custom_headers()):
            request.headers.pop(name, None)
        # A connection that is kept belongs to the event loop of its first request; a script makes a new one each time.
        request.headers.update({"Host": request.url.netloc.decode(), **headers, "Connection": "close"})

    try:
        return DefaultAsyncHttpxClient(
            follow_redirects=False,
            trust_env=not is_loopback(base_url),
            verify=tls_context(base_url),
            event_hooks={"request": [finish]},
        )
    except Exception as error:
        # What the environment can do wrong has no common base in httpx2, nor in httpx.
        raise unusable_environment() from error


def _custom_headers() -> list[str]:
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    names = [line.partition(":")[0].strip() for line in lines]
    return [name for name in names if name.lower() not in _OF_EACH_REQUEST]
