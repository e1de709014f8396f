"""The tour on a real server: it never pulls over or deletes what is installed, and prints words, not Python."""

import os
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.support.wire import Wire

TOUR = Path(__file__).parent.parent / "examples" / "tour.py"
SPELLINGS = (
    "nomic-embed-text",
    "Nomic-Embed-Text:LATEST",
    "library/nomic-embed-text",
    "registry.ollama.ai/library/nomic-embed-text:latest",
)


@pytest.fixture
def ollama() -> Iterator[RunningSimulator]:
    with serve(Simulator(tick=0.002, rate=50_000_000)) as running:
        yield running


def tour(ollama: RunningSimulator, model: str) -> Wire:
    own = {"DEMO_HOST": ollama.base_url, "DEMO_MODEL": model, "MCP_OLLAMA_REGISTRIES": registry_of(ollama)}
    return Wire([sys.executable, str(TOUR)], forked=True, env=dict(os.environ) | own)


def registry_of(ollama: RunningSimulator) -> str:
    return ollama.base_url.removeprefix("http://")


def test_tour_leaves_an_installed_model_alone_in_any_spelling(ollama: RunningSimulator):
    ollama.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    with ExitStack() as tours:
        for wire in [tours.enter_context(tour(ollama, spelling)) for spelling in SPELLINGS]:
            assert wire.wait() == 1
            assert "is installed already" in wire.errors
    assert ollama.simulator.is_installed("nomic-embed-text:latest")
    assert ollama.simulator.asked("/api/pull") == ollama.simulator.asked("/api/delete") == []


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "Ollama answered 500"), (404, "nomic-embed-text is installed already")]
)
def test_tour_leaves_a_model_alone_that_cannot_be_shown(status: int, reason: str, ollama: RunningSimulator):
    ollama.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    ollama.simulator.respond("/api/show", status=status, body='{"error": "model not found"}')
    with tour(ollama, "nomic-embed-text") as wire:
        assert wire.wait() == 1
        assert reason in wire.errors
    assert ollama.simulator.asked("/api/pull") == ollama.simulator.asked("/api/delete") == []


def test_tour_ends_when_a_name_is_not_valid(ollama: RunningSimulator):
    with tour(ollama, "not a name!") as wire:
        assert wire.wait() == 1
        assert "not a name!" in wire.errors
    assert ollama.simulator.asked("/api/pull") == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("capabilities", ["completion", "tools"], "completion, tools"),
        ("loaded", False, "no"),
        ("size_bytes", 1_321_083_262, "1.3 GB"),
        ("size_bytes", 274_290_656, "274 MB"),
        ("size_bytes", 512, "1 KB"),
        ("context_length", 131_072, "131,072"),
        ("parameters", {"temperature": 0.6, "stop": ["a", "b"]}, "temperature 0.6, stop a, b"),
        ("family", "llama", "llama"),
    ],
)
def test_tour_formats_values_for_people(name: str, value: Any, text: str):
    assert runpy.run_path(str(TOUR))["format_value"](name, value) == text


def test_picture_of_the_tour_shows_no_python_values():
    picture = (TOUR.parent.parent / "docs" / "tour.svg").read_text(encoding="utf-8")
    assert not re.search(r"\['|&#x27;\]|: (False|True|None|\{\})<|_bytes|0\.00 GB", picture)
