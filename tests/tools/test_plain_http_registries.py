"""A registry that the operator names with `http://` works in every tool, without `insecure`."""

import pytest

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.server.server import OllamaServer
from mcp_ollama.simulator import RunningSimulator, Simulator
from tests.support.client import Era, host

MB = 1_000_000


@pytest.fixture
def place(running: RunningSimulator) -> str:
    """Host and port of a registry on plain http."""
    return running.base_url.removeprefix("http://")


@pytest.fixture(params=["http://{}", "HTTP://{}/"])
def server(place: str, request: pytest.FixtureRequest) -> OllamaServer:
    """A server whose operator has named that registry."""
    named = request.param.format(place)
    return build_server(OllamaSettings.load(base_url=f"http://{place}", registries=named, state_dir="off", timeout=5))


async def test_plain_http_registry_is_read_by_plans_and_updates(
    place: str, simulator: Simulator, server: OllamaServer, era: Era
) -> None:
    size = simulator.registry.publish(f"{place}/me/new", size_bytes=MB).size
    simulator.install(f"{place}/me/here", size_bytes=MB)
    async with host(server, era) as caller:
        plan = await caller("plan_pull", model=f"{place}/me/new")
        answer = await caller("check_updates")
    assert (plan["exists"], plan["total_bytes"]) == (True, size)
    assert answer["models"] == [{"model": f"{place}/me/here:latest", "state": "current"}]


async def test_registry_that_is_not_reached_by_https_is_explained(place: str, simulator: Simulator, era: Era) -> None:
    simulator.install(f"{place}/me/here", size_bytes=MB)
    settings = OllamaSettings.load(base_url=f"http://{place}", registries=place, state_dir="off", timeout=5)
    async with host(build_server(settings), era) as caller:
        (row,) = (await caller("check_updates"))["models"]
    assert row["state"] == "unknown"
    assert f"name it in MCP_OLLAMA_REGISTRIES as http://{place}" in row["reason"]


async def test_plain_http_registry_is_pulled_from_without_insecure(
    place: str, simulator: Simulator, server: OllamaServer, era: Era
) -> None:
    simulator.registry.publish(f"{place}/me/new", size_bytes=MB)
    async with host(server, era) as caller:
        assert (await caller("pull_model", model=f"{place}/me/new"))["state"] == "done"
    assert simulator.asked("/api/pull")[0].body == {"model": f"{place}/me/new:latest", "insecure": True}
