"""The clients of a search: created on first use, from the settings of the operator."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import respx

from mcp_ollama.models.search.clients import SearchClients
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.huggingface import RequestBudget
from mcp_ollama.sources.registry import Registry


@asynccontextmanager
async def clients(**settings: str) -> AsyncGenerator[SearchClients]:
    made = SearchClients(OllamaSettings(**settings), OllamaClient("http://127.0.0.1:9"), Registry(("ollama.com",)))  # pyright: ignore[reportArgumentType]
    yield made
    await made.aclose()


async def unknown() -> None:
    return None


@pytest.mark.parametrize(
    ("endpoint", "authorization"),
    [("https://huggingface.co", "Bearer hf_secret"), ("https://mirror.example/hf", None)],
)
async def test_token_goes_to_hugging_face_and_to_no_mirror(endpoint: str, authorization: str | None) -> None:
    with respx.mock:
        route = respx.get(f"{endpoint}/api/models").respond(json=[])
        async with clients(hf_endpoint=endpoint, hf_token="hf_secret") as made:
            hub = made.sources(unknown).huggingface
            assert hub
            assert hub is made.sources(unknown).huggingface
            await hub.search("qwen3", RequestBudget(1))
    assert route.calls.last.request.headers.get("authorization") == authorization


async def test_cloud_catalogue_is_asked_on_ollama_com_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    with respx.mock:
        route = respx.get("https://ollama.com/api/tags").respond(json={"models": [{"name": "kimi-k3"}]})
        async with clients() as made:
            ask = made.sources(unknown).cloud_catalogue
            assert ask
            assert await ask() == ["kimi-k3"]
    assert "authorization" not in route.calls.last.request.headers


async def test_clients_without_a_search_have_nothing_to_close() -> None:
    async with clients() as made:
        pass
    assert made.sources(unknown).huggingface
