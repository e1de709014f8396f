"""The tool that opens the dashboard, and its page as a resource."""

import json
from typing import Any, Literal

import pytest

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.models.overview import MAX_CHARACTERS
from mcp_ollama.server.dashboard import MIME_TYPE
from mcp_ollama.simulator import RunningSimulator
from tests.conftest import Connect
from tests.support.client import Era
from tests.support.client import host as open_host

URI = "ui://ollama/dashboard"
CHANGING = ["load_model", "unload_model", "pull_model", "cancel_pull", "delete_model"]


async def test_open_dashboard_names_the_largest_models_memory_and_actions(running: RunningSimulator, connect: Connect):
    running.simulator.install("small:1b", size_bytes=1_000_000_000)
    running.simulator.install("large:8b", size_bytes=5_000_000_000)
    async with connect() as client:
        await client("load_model", model="small:1b")
        overview = await client("open_dashboard")
    assert [(one["name"], one["loaded"]) for one in overview["models"]] == [("large:8b", False), ("small:1b", True)]
    assert [one["name"] for one in overview["running"]] == ["small:1b"]
    assert overview["summary"] == "2 models, 6.0 GB on disk; 1 in memory."
    assert (overview["transfers"], overview["actions"]) == ([], CHANGING)
    assert overview["base_url"] == running.base_url


@pytest.mark.parametrize(("access", "allowed"), [("no-delete", CHANGING[:-1]), ("read-only", [])])
async def test_open_dashboard_actions_follow_the_access_tier(
    running: RunningSimulator, connect: Connect, access: Literal["no-delete", "read-only"], allowed: list[str]
):
    async with connect(access=access) as client:
        overview = await client("open_dashboard")
    assert overview["actions"] == allowed
    assert overview["summary"] == "No model is installed yet."


async def test_open_dashboard_without_ollama_says_why(connect: Connect, nowhere: str):
    async with connect(base_url=nowhere) as client:
        overview = await client("open_dashboard")
    assert overview["summary"] == "Ollama is unreachable."
    assert nowhere in overview["error"]
    assert (overview["models"], overview["actions"]) == ([], CHANGING)


async def test_open_dashboard_without_running_models_lists_the_installed(running: RunningSimulator, connect: Connect):
    running.simulator.install("one:1b")
    running.simulator.respond("/api/ps", status=404, body="404 page not found")
    async with connect() as client:
        overview = await client("open_dashboard")
    assert [one["name"] for one in overview["models"]] == ["one:1b"]
    assert overview["running"] == []


async def test_open_dashboard_of_many_models_stays_short(running: RunningSimulator, connect: Connect):
    for number in range(30):
        running.simulator.install(
            f"hf.co/{'organisation' * 5}/{'model' * 14}-{number}:latest", size_bytes=1_000 + number
        )
    async with connect() as client:
        overview = await client("open_dashboard")
    assert 3 < len(overview["models"]) < 20
    assert len(json.dumps(overview, separators=(",", ":"))) <= MAX_CHARACTERS


async def test_open_dashboard_of_twelve_hosts_stays_short(running: RunningSimulator, nowhere: str, era: Era):
    for number in range(20):
        running.simulator.install(f"hf.co/organisation/{'model' * 10}-{number}:latest", size_bytes=1_000 + number)
    hosts = {"desk": running.base_url} | {f"gpu-{number}": f"{nowhere}/{number}" for number in range(11)}
    settings = OllamaSettings.load(hosts=json.dumps(hosts), state_dir="off")
    async with open_host(build_server(settings), era) as client:
        overview = await client("open_dashboard")
    assert (len(overview["hosts"]), overview["models"][0]["size_bytes"]) == (12, 1_170)
    assert len(json.dumps(overview, separators=(",", ":"))) <= MAX_CHARACTERS + len('"host":"desk",')


async def test_open_dashboard_refers_to_its_page_under_both_keys(running: RunningSimulator, connect: Connect):
    async with connect() as client:
        (tool,) = [one for one in (await client.client.list_tools()).tools if one.name == "open_dashboard"]
        listed = {str(one.uri): one for one in (await client.client.list_resources()).resources}
        (content,) = (await client.client.read_resource(URI)).contents
    meta: dict[str, Any] = tool.meta or {}
    assert meta["ui"] == {"resourceUri": URI}
    assert meta["ui/resourceUri"] == URI
    assert (listed[URI].mime_type, content.mime_type) == (MIME_TYPE, MIME_TYPE)
    assert listed[URI].meta == content.meta == {"ui": {"prefersBorder": True}}
    assert getattr(content, "text", "").startswith("<!doctype html>")
