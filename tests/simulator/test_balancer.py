"""A balancer in front of two simulators: where requests go, and what Olla refuses."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.simulator import Simulator, serve, serve_balancer
from tests.simulator.conftest import Client

OLLA = json.loads((Path(__file__).parents[1] / "data/hosts/balancer.json").read_text(encoding="utf-8"))
REFUSED = [one for one in OLLA["exchanges"] if one["response"]["status"] == 501]


@pytest.fixture
def members() -> Generator[tuple[Simulator, Simulator, list[str]]]:
    first, second = Simulator(tick=0.002), Simulator(tick=0.002, version="0.24.0")
    first.install("qwen3:8b")
    second.install("gemma4")
    with serve(first) as one, serve(second) as two:
        yield first, second, [one.base_url, two.base_url]


def names(answer: Any) -> list[str]:
    return [model["name"] for model in answer.json()["models"]]


def test_round_robin_sends_each_request_to_the_next(members: tuple[Simulator, Simulator, list[str]]) -> None:
    *simulators, addresses = members
    with serve_balancer(addresses) as base_url, Client(base_url) as client:
        assert [names(client.get("/api/tags")) for _ in range(3)] == [["qwen3:8b"], ["gemma4:latest"], ["qwen3:8b"]]
    assert [len(one.asked("/api/tags")) for one in simulators] == [2, 1]


def test_round_robin_streams_a_pull_and_keeps_statuses(members: tuple[Simulator, Simulator, list[str]]) -> None:
    first, second, addresses = members
    first.registry.publish("llama3.2:1b", size_bytes=1000)
    with serve_balancer(addresses) as base_url, Client(base_url) as client:
        assert client.pull("llama3.2:1b")[-1] == {"status": "success"}
        missing = client.ask("/api/show", model="llama3.2:1b")
    assert (missing.status_code, missing.json()["error"]) == (404, "model 'llama3.2:1b' not found")
    assert (first.is_installed("llama3.2:1b"), second.is_installed("llama3.2:1b")) == (True, False)


@pytest.mark.parametrize("exchange", REFUSED, ids=lambda one: one["request"]["url"].rpartition("/")[2])
def test_olla_refuses_management_as_recorded(
    members: tuple[Simulator, Simulator, list[str]], exchange: dict[str, Any]
) -> None:
    request, recorded = exchange["request"], exchange["response"]
    with serve_balancer(members[2], olla=True) as base_url, Client(base_url) as client:
        path = request["url"].partition("/olla/ollama")[2]
        answer = client.request(request["method"], path, json=exchange.get("request_body"))
    assert (answer.status_code, answer.text) == (501, recorded["body"])
    assert answer.headers["content-type"] == recorded["headers"]["content-type"]


def test_olla_merges_the_lists_and_names_itself(members: tuple[Simulator, Simulator, list[str]]) -> None:
    with serve_balancer(members[2], olla=True) as base_url, Client(base_url) as client:
        tags, versions = client.get("/api/tags"), [client.get("/api/version") for _ in range(2)]
    assert sorted(names(tags)) == ["gemma4:latest", "qwen3:8b"]
    assert [one.json()["version"] for one in versions] == ["0.33.0-rc2", "0.24.0"]
    assert all("x-olla-endpoint" in one.headers for one in (tags, *versions))
