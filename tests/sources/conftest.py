"""A mocked wire, a clock that only tests move, and a client of Hugging Face on both."""

from collections.abc import AsyncGenerator, Iterator

import pytest
import respx

from mcp_ollama.sources.huggingface import HuggingFace
from tests.sources.hub import Clock


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hub(clock: Clock) -> AsyncGenerator[HuggingFace]:
    client = HuggingFace(clock=clock)
    yield client
    await client.aclose()
