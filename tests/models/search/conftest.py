"""A search over a simulator."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.searching import Searching, searching


@pytest.fixture
async def find() -> AsyncGenerator[Searching]:
    async with searching() as made:
        yield made
