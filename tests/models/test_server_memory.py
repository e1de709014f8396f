"""Memory that a search takes for granted: seen or stated, within a few seconds."""

from pathlib import Path

import pytest

from mcp_ollama.models.app import open_app
from mcp_ollama.models.server_memory import read_available_memory
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import RunningSimulator
from tests.tools.test_memory import add_nvidia, place_blob

GB = 1024**3


@pytest.mark.parametrize(
    ("statement", "available"),
    [("24GB,24GB", 48 * GB), ("gpu:6GB ram:64GB", 6 * GB), (None, None)],
)
async def test_statement_of_the_operator_counts_gpus(statement: str | None, available: int | None) -> None:
    # Another machine, where nothing can be seen.
    settings = OllamaSettings(base_url="http://192.0.2.1:11434", memory=statement, timeout=0.05)
    async with open_app(settings) as app:
        assert await read_available_memory(app) == available


async def test_statement_counts_when_nothing_is_seen_in_time(running: RunningSimulator) -> None:
    running.simulator.delay("/api/tags", 5)
    settings = OllamaSettings(base_url=running.base_url, memory="ram:32GB")
    async with open_app(settings) as app:
        stated = await read_available_memory(app, seconds=0.05)
    assert stated is not None
    assert 30 * GB < stated < 32 * GB


async def test_loaded_models_of_this_machine_count_as_available(
    running: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_nvidia(tmp_path, monkeypatch)
    place_blob(running.simulator, tmp_path)
    running.simulator.load("here:1", context_length=8192)
    async with open_app(OllamaSettings(base_url=running.base_url)) as app:
        (loaded,) = await app.ollama.list_running_models()
        assert await read_available_memory(app) == 20 * GB + loaded.size_vram
