"""A mocked wire, and a client on it."""

from collections.abc import Iterator

import pytest
import respx

from mcp_ollama.ollama.addresses import API_KEY_VARIABLE, BASE_URL_VARIABLES, SHARED_API_KEY_VARIABLE
from mcp_ollama.ollama.client import OllamaClient
from tests.ollama.endpoints import BASE_URL


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE_URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
def client() -> OllamaClient:
    return OllamaClient(BASE_URL)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*BASE_URL_VARIABLES, API_KEY_VARIABLE, SHARED_API_KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
