"""State of a simulator that tests read."""

import pytest

from mcp_ollama.simulator import Simulator


def test_model_that_is_not_installed_is_a_key_error():
    with pytest.raises(KeyError, match="gone"):
        Simulator().model("gone")
