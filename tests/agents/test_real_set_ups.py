"""The agent functions in situations of real set-ups."""

import json
from typing import Any

import pytest

from mcp_ollama import (
    OllamaSettings,
    create_ollama_model,
    create_ollama_model_async,
    detect_ollama_model,
    ollama_health_check,
)
from mcp_ollama.simulator import RunningSimulator, Simulator

CLOUD = "gpt-oss:120b-cloud"
BROKEN: dict[str, dict[str, Any]] = {
    "unauthorized": {"status": 401, "body": '{"error": "unauthorized"}'},
    "missing": {"status": 404, "body": "404 page not found"},
    "broken": {"status": 500, "body": '{"error": "x"}'},
    "empty": {"body": "{}"},
}


@pytest.fixture
def settings(running: RunningSimulator) -> OllamaSettings:
    return OllamaSettings(base_url=running.base_url)


def test_model_is_built_with_an_unreadable_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,::1,[::1],fd07::/64")
    assert create_ollama_model("m", OllamaSettings(base_url="http://gpu.example:11434")).model_name == "m"


@pytest.mark.parametrize("how", BROKEN)
async def test_agents_need_no_ps(how: str, simulator: Simulator, settings: OllamaSettings) -> None:
    simulator.install("m", capabilities=("completion", "tools"))
    simulator.respond("/api/ps", **BROKEN[how])
    assert await detect_ollama_model(settings.base_url) == "m:latest"
    assert (await create_ollama_model_async(settings=settings)).model_name == "m:latest"
    assert (await ollama_health_check(settings)).model_id == "m:latest"


@pytest.fixture
def sparse(simulator: Simulator) -> None:
    """A cloud model as some servers list and show it: no `capabilities` in its row, no `model_info`."""
    remote = {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}
    row: dict[str, Any] = {"name": CLOUD, "model": CLOUD, "size": 384, "digest": "a" * 64, "details": {}, **remote}
    simulator.respond("/api/tags", body=json.dumps({"models": [row]}))
    shown: dict[str, Any] = {"capabilities": ["completion", "tools", "thinking"], "details": {}, **remote}
    simulator.respond("/api/show", body=json.dumps(shown))


@pytest.mark.usefixtures("sparse")
async def test_cloud_row_without_capabilities_is_a_chat_model(settings: OllamaSettings) -> None:
    assert await detect_ollama_model(settings.base_url) == CLOUD
    model = await create_ollama_model_async(settings=settings)
    assert (model.model_name, model.profile.get("supports_tools")) == (CLOUD, True)


@pytest.mark.usefixtures("sparse")
async def test_cloud_model_without_a_row_is_a_chat_model(simulator: Simulator, settings: OllamaSettings) -> None:
    simulator.respond("/api/tags", body='{"models": []}')
    assert (await create_ollama_model_async(CLOUD, settings)).model_name == CLOUD
