"""Fixtures of pulls: one protocol era, and a model that downloads slowly."""

import pytest

from mcp_ollama.simulator import Simulator
from tests.support.client import Era
from tests.support.downloads import downloadable


@pytest.fixture
def era() -> Era:
    """Transfers know nothing of protocol eras; tools are tested in both elsewhere."""
    return "auto"


@pytest.fixture
def simulator() -> Simulator:
    return downloadable()
