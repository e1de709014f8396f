"""Recorded shapes of Hugging Face's API, put on a mocked wire."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.sources.hub_answers import RepositoryContent, RepositoryPage
from mcp_ollama.sources.huggingface import ENDPOINT, HuggingFace, RequestBudget

API = f"{ENDPOINT}/api/models"
REPOSITORY = "bartowski/Llama-3.2-1B-Instruct-GGUF"
FOLDER = Path(__file__).parents[1] / "data" / "finding"


def exchanges(name: str) -> list[dict[str, Any]]:
    """Read the exchanges of one file."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["exchanges"]


def reply(exchange: dict[str, Any]) -> httpx.Response:
    """Build the response of an exchange."""
    recorded = exchange["response"]
    body = recorded["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    return httpx.Response(recorded["status"], headers=recorded["headers"], text=text)


def noted(name: str, start: str) -> httpx.Response:
    """Build the response of the exchange whose note starts in a certain way."""
    return reply(next(one for one in exchanges(name) if one.get("note", "").startswith(start)))


class Clock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def search(hub: HuggingFace, words: str = "qwen", requests: int = 7) -> RepositoryPage:
    """Search within a bounded time."""
    with anyio.fail_after(10):
        return await hub.search(words, RequestBudget(requests))


async def content_of(hub: HuggingFace, repository: str = REPOSITORY, requests: int = 7) -> RepositoryContent:
    """Read a repository within a bounded time."""
    with anyio.fail_after(10):
        return await hub.get_repository(repository, RequestBudget(requests))


async def failure(hub: HuggingFace, repository: str = "") -> OllamaError:
    """Return the error of a search, or of reading a repository."""
    with pytest.raises(OllamaError) as caught:
        await (content_of(hub, repository) if repository else search(hub))
    return caught.value


def requests(wire: respx.MockRouter) -> list[httpx.Request]:
    """Return the requests that were sent."""
    calls: list[respx.models.Call] = list(wire.calls)
    return [call.request for call in calls]
