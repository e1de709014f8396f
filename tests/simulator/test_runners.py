"""Models in memory: loading, expiry, shared runners."""

import threading
from typing import Any

import httpx
import pytest

from mcp_ollama.simulator import Simulator
from tests.simulator.conftest import Client


@pytest.fixture(autouse=True)
def installed(simulator: Simulator) -> None:
    simulator.install("a", size_bytes=1000)


def _listed(client: Client) -> list[Any]:
    return [model["name"] for model in client.get("/api/ps").json()["models"]]


def test_a_loading_model_is_not_listed_and_cannot_be_unloaded(simulator: Simulator, client: Client) -> None:
    simulator.runners.load_seconds = 0.5
    first = threading.Thread(target=client.ask, args=("/api/generate",), kwargs={"model": "a"})
    first.start()
    simulator.wait_until(lambda: simulator.in_flight["/api/generate"] == 1)
    assert _listed(client) == []
    assert client.ask("/api/generate", model="a", keep_alive=0).json()["done_reason"] == "unload"
    assert client.ask("/api/generate", model="a").json()["done_reason"] == "load"
    assert _listed(client) == ["a:latest"]
    first.join(5)


def test_closing_the_connection_aborts_a_load(simulator: Simulator, client: Client) -> None:
    simulator.runners.load_seconds = 60
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/generate", json={"model": "a"}, timeout=0.05)
    simulator.wait_until(lambda: not simulator.in_flight["/api/generate"])
    simulator.runners.load_seconds = 0
    assert client.ask("/api/generate", model="a").status_code == 200


def test_a_model_leaves_when_its_time_is_over(simulator: Simulator, client: Client) -> None:
    client.ask("/api/generate", model="a", keep_alive="1h30m")
    client.ask("/api/generate", model="a")
    simulator.advance(5399)
    assert _listed(client) == ["a:latest"]
    simulator.advance(2)
    assert _listed(client) == []


@pytest.mark.parametrize(
    ("keep_alive", "stays"), [(-1, True), ("-1m", True), (1e12, False), (30.5, True), ("0", False), ("90.5s", True)]
)
def test_keep_alive_is_read_as_go_does(client: Client, keep_alive: object, stays: bool) -> None:
    client.ask("/api/generate", model="a", keep_alive=keep_alive)
    assert _listed(client) == (["a:latest"] if stays else [])


@pytest.mark.parametrize(
    ("keep_alive", "error"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("5y", 'time: unknown unit "y" in duration "5y"'),
        ("5m!", 'time: invalid duration "5m!"'),
        (True, "Unsupported type: 'bool'"),
    ],
)
def test_a_bad_keep_alive_is_refused(client: Client, keep_alive: object, error: str) -> None:
    answer = client.ask("/api/generate", model="a", keep_alive=keep_alive)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_another_context_length_loads_again(simulator: Simulator, client: Client) -> None:
    simulator.load("a")
    for options, wanted in (({"num_ctx": 64}, 64), (None, 4096)):
        client.ask("/api/generate", model="a", options=options)
        (listed,) = client.get("/api/ps").json()["models"]
        assert listed["context_length"] == wanted
    simulator.install("b", parameters={"num_ctx": 128})
    client.ask("/api/generate", model="b")
    assert {model["context_length"] for model in client.get("/api/ps").json()["models"]} == {128, 4096}


def test_a_stub_is_loaded_without_weights(simulator: Simulator, client: Client) -> None:
    simulator.install("stub", remote_host="https://ollama.com:443")
    assert client.ask("/api/generate", model="stub").json()["done_reason"] == "load"
