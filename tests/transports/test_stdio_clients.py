"""The real command over stdio, against a simulated Ollama on a socket, in both protocol eras."""

import os
import sys
from collections.abc import Iterator
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from mcp_ollama.simulator import RunningSimulator, Simulator, Stall, serve
from tests.support.wire import Wire, call, request

COMMAND = [sys.executable, "-m", "mcp_ollama"]


@pytest.fixture
def ollama() -> Iterator[RunningSimulator]:
    simulator = Simulator(tick=0.002, rate=50_000_000)
    simulator.install("llama3.2:3b", size_bytes=2_000_000_000, capabilities=("completion", "tools"))
    with serve(simulator) as running:
        port = running.base_url.rpartition(":")[2]
        simulator.registry.publish(f"127.0.0.1:{port}/library/tiny:latest", size_bytes=30_000_000)
        yield running


def environment(ollama: RunningSimulator) -> dict[str, str]:
    """Build the environment that a client gives its server, with the variables that coverage needs."""
    own = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH", "SYSTEMROOT"))}
    registry = ollama.base_url.removeprefix("http://")
    return own | {"MCP_OLLAMA_BASE_URL": ollama.base_url, "MCP_OLLAMA_REGISTRIES": registry}


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_host_lists_pulls_shows_and_deletes_and_sees_the_health(
    ollama: RunningSimulator, era: Literal["auto", "legacy"]
):
    tiny = f"{ollama.base_url.removeprefix('http://')}/library/tiny"
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environment(ollama))
    steps: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    with anyio.fail_after(30):
        async with Client(stdio_client(parameters), mode=era) as client:

            async def use(tool: str, **arguments: Any) -> dict[str, Any]:
                result = await client.call_tool(tool, arguments, progress_callback=note)
                assert not result.is_error, result.content
                return result.structured_content or {}

            assert (await use("health"))["status"] == "ok"
            assert [model["name"] for model in (await use("list_models"))["models"]] == ["llama3.2:3b"]
            assert (await use("pull_model", model=tiny, insecure=True))["state"] == "done"
            assert steps == sorted(set(steps))
            assert steps[-1] == ollama.simulator.model(tiny).manifest.size
            assert (await use("show_model", model=tiny))["name"] == f"{tiny}:latest"
            question = await use("delete_model", model=tiny)
            assert (await use("delete_model", model=tiny, confirm=question["confirmation"]))["deleted"]
            assert [model["name"] for model in (await use("list_models"))["models"]] == ["llama3.2:3b"]


def test_both_eras_are_answered_and_nothing_else_reaches_stdout(ollama: RunningSimulator):
    with Wire(COMMAND, env=environment(ollama) | {"MCP_OLLAMA_LOG_LEVEL": "DEBUG"}) as wire:
        assert wire.ask(request("d", "server/discover", modern=True))["result"]["supportedVersions"]
        assert wire.shake_hands()["serverInfo"]["name"] == "ollama"
        old, new = (wire.ask(call(era, "list_models", modern=era == "new"))["result"] for era in ("old", "new"))
        assert old["structuredContent"] == new["structuredContent"]
        wire.close_input()
        assert wire.rest() == []
        assert wire.wait() == 0


def test_download_in_progress_is_closed_cleanly_at_the_end_of_input(ollama: RunningSimulator):
    tiny = f"{ollama.base_url.removeprefix('http://')}/library/tiny"
    ollama.simulator.faults.add(f"{tiny}:latest", Stall(at=0.5))
    with Wire(COMMAND, forked=True, env=environment(ollama)) as wire:
        wire.shake_hands()
        begun = wire.ask(call(1, "pull_model", model=tiny, insecure=True, wait_seconds=0))
        assert "continues by itself" in begun["result"]["structuredContent"]["next_step"]
        ollama.simulator.wait_until(lambda: ollama.simulator.in_flight["/api/pull"] == 1, timeout=5)
        wire.close_input()
        assert wire.wait() == 0
        ollama.simulator.wait_until(lambda: ollama.simulator.in_flight["/api/pull"] == 0, timeout=5)
        assert "to go on where it stopped" in wire.errors
