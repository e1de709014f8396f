"""The tour on a real server: it leaves installed models alone, ends in one line, and prints words, not Python."""

import os
import re
import runpy
import signal
import socket
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.conftest import QUICK
from tests.support.client import built
from tests.support.wire import Wire

TOUR = Path(__file__).parent.parent / "examples" / "tour.py"
PICTURE = TOUR.parent.parent / "docs" / "tour.svg"
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


def tour(host: str, model: str, *, forked: bool = True) -> Wire:
    """Start the tour over an Ollama server, which is its registry, too."""
    # A job in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = {"DEMO_HOST": host, "DEMO_MODEL": model, "MCP_OLLAMA_REGISTRIES": host.removeprefix("http://")}
    return Wire([sys.executable, str(TOUR)], forked=forked, env=dict(os.environ) | own)


async def is_installed(model: str) -> bool:
    """Ask as the tour does before it pulls a model; an answer that is not clear ends the tour."""
    functions = runpy.run_path(str(TOUR))
    async with Client(built(QUICK)) as client:
        return await functions["is_installed"](client, model, await functions["installed_names"](client))


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_tour_finds_an_installed_model_in_any_spelling(spelling: str, running: RunningSimulator):
    running.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    assert await is_installed(spelling)


async def test_tour_finds_an_installed_model_that_cannot_be_shown(running: RunningSimulator):
    running.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    running.simulator.respond("/api/show", status=404, body='{"error": "model not found"}')
    assert await is_installed("nomic-embed-text")


async def test_tour_finds_no_model_that_is_not_installed(running: RunningSimulator):
    running.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    assert not await is_installed("nomic-embed-text:v1.5")


@pytest.mark.parametrize(
    ("model", "reason"), [("nomic-embed-text", "Ollama answered 500"), ("not a name!", "not a name!")]
)
async def test_tour_ends_when_the_answer_is_not_clear(model: str, reason: str, running: RunningSimulator):
    running.simulator.install("nomic-embed-text:latest", capabilities=("embedding",))
    running.simulator.respond("/api/show", status=500, body='{"error": "model not found"}')
    with pytest.RaisesGroup(pytest.RaisesExc(SystemExit, match=reason), flatten_subgroups=True):
        await is_installed(model)


def test_tour_that_cannot_start_ends_in_one_line(ollama: RunningSimulator, nowhere: str):
    ollama.simulator.install("llama3.2:3b")
    # A tour that does not look would pull it again, and end with deleting it.
    ollama.simulator.registry.publish("llama3.2:3b")
    ended = {
        nowhere: f"Nothing answers at {nowhere}. ",
        "ftp://x": "mcp-ollama-manager: MCP_OLLAMA_BASE_URL: An Ollama address begins with http:// or https://, ",
        ollama.base_url: "llama3.2:3b is installed already: ",
    }
    with ExitStack() as tours:
        started = {host: tours.enter_context(tour(host, "llama3.2:3b")) for host in ended}
        for host, wire in started.items():
            assert wire.wait() == 1
            assert wire.errors.startswith(ended[host])
            assert wire.errors.count("\n") == 1
    assert ollama.simulator.is_installed("llama3.2:3b")
    assert ollama.simulator.asked("/api/pull") == ollama.simulator.asked("/api/delete") == []


def test_interrupted_tour_ends_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with tour(host, "llama3.2:3b", forked=False) as wire:
            with silent.accept()[0]:
                wire.signal(signal.SIGINT)
                assert wire.wait() == 130
            assert wire.errors == "Interrupted: the part of llama3.2:3b that was downloaded is kept.\n"


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


@pytest.mark.parametrize(("size", "remote", "shown"), [(0, True, "in the cloud"), (1_321_082_688, False, "1.3 GB")])
def test_tour_shows_a_model_as_one_line(size: int, remote: bool, shown: str):
    model = {"name": "a:1", "size_bytes": size, "remote": remote, "capabilities": ["completion", "tools"]}
    assert runpy.run_path(str(TOUR))["row"](model).split(maxsplit=1) == ["a:1", f"{shown}   completion, tools"]


def test_tour_leaves_out_what_says_nothing():
    card: dict[str, object] = {
        "name": "a:1",
        "size_bytes": 512,
        "parameters": {},
        "shared_with": [],
        "digest": "0" * 64,
        "loaded": False,
    }
    assert runpy.run_path(str(TOUR))["format_fields"](card) == "  name: a:1\n  size: 1 KB\n  loaded: no"


def test_picture_of_the_tour_is_small_and_shows_its_calls():
    drawn = {text.text for text in ET.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text")}
    model = "llama3.2:1b"
    assert {"list_models", f"pull_model {model}", f"show_model {model}", f"delete_model {model}"} <= drawn
    assert PICTURE.stat().st_size < 30_000


def test_picture_of_the_tour_shows_no_python_values():
    picture = PICTURE.read_text(encoding="utf-8")
    assert not re.search(r"\['|&#x27;\]|: (False|True|None|\{\})<|_bytes|0\.00 GB|\d,\d{3} MB", picture)
