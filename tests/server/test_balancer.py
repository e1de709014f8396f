"""A balancer in front of several servers, found by its answers, with the sentence that names the way out."""

from collections.abc import Generator
from typing import Any

import pytest
from mcp import Client

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.simulator import Fail, FakeSuccess, RunningSimulator, Simulator, serve, serve_balancer
from mcp_ollama.sources.registry import Registry
from tests.conftest import QUICK
from tests.support.client import Host

WAY_OUT = "Name each server behind it in MCP_OLLAMA_HOSTS or MCP_OLLAMA_HOSTS_FILE"


def client_of(base_url: str) -> Client:
    # Without a registry no further requests come between a pull and the list that is to show its model.
    return Client(build_server(OllamaSettings.load(base_url=base_url), registry=Registry(()), timeouts=QUICK))


async def balancer_check(host: Host) -> dict[str, Any] | None:
    report = await host("health")
    return next((check for check in report["checks"] if check["name"] == "balancer"), None)


@pytest.fixture
def members() -> Generator[list[str]]:
    first, second = Simulator(tick=0.002), Simulator(tick=0.002)
    for one in (first, second):
        one.install("qwen3:8b", size_bytes=1_000)
        one.registry.publish("llama3.2:1b", size_bytes=1_000)
    with serve(first) as one, serve(second) as two:
        yield [one.base_url, two.base_url]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("show_model", {"model": "qwen3:8b"}), ("pull_model", {"model": "llama3.2:1b"})],
)
async def test_501_leads_to_naming_each_server(members: list[str], tool: str, arguments: dict[str, Any]) -> None:
    with serve_balancer(members, olla=True) as base_url:
        async with client_of(base_url) as client:
            text = await Host(client).refusal(tool, **arguments)
    assert "is a balancer, which does not do this (501)" in text
    assert WAY_OUT in text


async def test_headers_of_olla_show_in_health(members: list[str]) -> None:
    with serve_balancer(members, olla=True) as base_url:
        async with client_of(base_url) as client:
            check = await balancer_check(Host(client))
    assert check is not None
    assert (check["status"], "headers of Olla" in check["detail"]) == ("warn", True)
    assert WAY_OUT in check["fix"]


async def test_model_of_another_member_is_not_taken_for_damaged(
    simulator: Simulator, running: RunningSimulator
) -> None:
    simulator.install("qwen3:8b")
    simulator.respond("/api/generate", status=404, body='{"error": "model \'qwen3:8b\' not found"}')
    with serve_balancer([running.base_url], olla=True) as base_url:
        async with client_of(base_url) as client:
            host = Host(client)
            report = await host("health")
            refused = [await host.refusal(tool, model="qwen3:8b") for tool in ("load_model", "measure_model")]
    assert next(check["fix"] for check in report["checks"] if check["name"] == "damaged").startswith(WAY_OUT)
    assert [(WAY_OUT in text, "delete_model" in text) for text in refused] == [(True, False)] * 2


async def test_pull_to_another_member_shows_as_a_balancer(members: list[str]) -> None:
    with serve_balancer(members) as base_url:
        async with client_of(base_url) as client:
            host = Host(client)
            assert await balancer_check(host) is None
            text = await host.refusal("pull_model", model="llama3.2:1b")
            check = await balancer_check(host)
    assert "the model is not there" in text
    assert WAY_OUT in text
    assert check is not None
    assert "a model was pulled there and then was not installed" in check["detail"]


async def test_member_without_a_listed_model_shows_none_as_damaged(
    simulator: Simulator, running: RunningSimulator
) -> None:
    simulator.registry.publish("gone")
    simulator.faults.add("gone", FakeSuccess())
    simulator.install("listed")
    simulator.faults.add("listed", Fail(text="model 'listed' not found", status=404), operation="show")
    async with client_of(running.base_url) as client:
        host = Host(client)
        await host.refusal("pull_model", model="gone")
        report = await host("health")
    (check,) = [one for one in report["checks"] if one["name"] == "damaged"]
    assert "listed:latest" in check["detail"]
    assert WAY_OUT in check["fix"]


async def test_health_of_a_single_server_has_no_balancer(members: list[str]) -> None:
    async with client_of(members[0]) as client:
        assert await balancer_check(Host(client)) is None
