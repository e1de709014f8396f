"""The checks of `health` that look further than whether the server answers."""

import pytest

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Drop, Fail, RunningSimulator, Simulator
from mcp_ollama.sources.registry import Registry
from tests.conftest import Connect
from tests.support.client import Era, Host, host

MANIFEST = "/v2/library/llama3.2/manifests/latest"
MB = 1_000_000


async def checked(host: Host) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in (await host("health"))["checks"]}


@pytest.fixture(autouse=True)
def _furnished(simulator: Simulator) -> None:
    simulator.install("llama3.2:3b", size_bytes=20 * MB, context_length=131_072)
    simulator.install("qwen3:8b", size_bytes=50 * MB, context_length=40_960)


async def test_models_on_the_cpu_and_with_a_short_context_are_warned_of(simulator: Simulator, connect: Connect):
    async with connect() as host:
        checks = await checked(host)
        assert (checks["memory"]["status"], checks["context"]["status"]) == ("ok", "ok")
        simulator.load("qwen3:8b", context_length=32_768)
        simulator.runners.vram_share = 0.5
        simulator.load("llama3.2:3b")
        checks = await checked(host)
        report = await host("health")
    assert report["status"] == "degraded"
    assert checks["memory"]["detail"].startswith("On the CPU, and so slow: llama3.2:3b (partly). ")
    assert "llama3.2:3b (4,096 of 131,072 tokens)." in checks["context"]["detail"]
    assert "num_ctx" in checks["context"]["fix"]


async def test_what_cannot_be_known_of_a_running_model_is_no_warning(simulator: Simulator, connect: Connect):
    simulator.respond(
        "/api/ps", body='{"models":[{"name":"a b","context_length":9},{"name":"gone:1","context_length":9}]}'
    )
    async with connect() as host:
        checks = await checked(host)
    assert (checks["memory"]["status"], checks["context"]["status"]) == ("ok", "ok")


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (403, "let the proxy"),
        (404, "update Ollama"),
        (405, "update Ollama"),
        (429, "Wait a minute"),
        (502, "Check that Ollama runs behind it"),
    ],
)
async def test_refused_details_are_no_sign_of_damage(simulator: Simulator, connect: Connect, status: int, fix: str):
    simulator.install("good")
    simulator.respond("/api/show", status=status, body="no", content_type="text/plain")
    async with connect() as host:
        check = (await checked(host))["damaged"]
    assert check["status"] == "warn"
    assert check["detail"].startswith("Whether models are damaged is unknown: ")
    assert fix in check["fix"]
    assert "delete_model" not in check["fix"]


async def test_connection_lost_while_models_are_shown_leaves_damage_unknown(simulator: Simulator, connect: Connect):
    simulator.install("a")
    simulator.install("b")
    simulator.faults.add("*", Drop(), operation="show")
    async with connect() as host:
        check = (await checked(host))["damaged"]
    assert check["status"] == "warn"
    assert check["detail"].startswith("Whether models are damaged is unknown: The connection to ")


async def test_model_that_ollama_fails_to_show_is_damaged(simulator: Simulator, connect: Connect):
    simulator.install("bad")
    simulator.faults.add("bad", Fail(text="unexpected EOF"), operation="show")
    async with connect() as host:
        check = (await checked(host))["damaged"]
    assert check["detail"].endswith("looked at: bad:latest.")
    assert "delete_model removes it" in check["fix"]


async def test_damaged_name_of_a_model_that_another_name_shows_counts_once(simulator: Simulator, connect: Connect):
    simulator.install("a")
    simulator.copy("a", "b")
    simulator.faults.add("a", Fail(text="model 'a' not found", status=404), operation="show")
    async with connect() as host:
        check = (await checked(host))["damaged"]
    assert check["detail"] == "Listed, but not usable, 4 of 4 looked at: a:latest."


async def test_damaged_models_are_named(simulator: Simulator, connect: Connect):
    for number in range(7):
        simulator.install(f"broken:{number}", size_bytes=MB)
        simulator.faults.add(f"broken:{number}", Fail(text="model 'broken' not found", status=404), operation="show")
    async with connect() as host:
        check = (await checked(host))["damaged"]
        assert check["status"] == "warn"
        assert check["detail"].startswith("Listed, but not usable, 8 of 9 looked at: broken:0, broken:1, ")
        assert check["detail"].endswith(" and 2 more.")
        simulator.faults.clear()
        assert (await checked(host))["damaged"]["status"] == "ok"


async def test_cloud_models_on_a_server_without_cloud_are_warned_of(simulator: Simulator, connect: Connect):
    async with connect() as host:
        assert (await checked(host))["cloud"]["detail"] == "Cloud models are enabled."
        simulator.cloud_disabled = True
        assert (await checked(host))["cloud"]["detail"] == "Cloud models are disabled."
        simulator.install("gpt-oss:120b-cloud", remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
        check = (await checked(host))["cloud"]
        assert (check["status"], "gpt-oss:120b-cloud" in check["detail"]) == ("warn", True)
        simulator.lack("/api/status")
        assert (await checked(host))["cloud"]["fix"] == "Update Ollama to 0.16.2 or later."
        simulator.respond("/api/status", status=500, body='{"error":"broken"}')
        assert "broken" in (await checked(host))["cloud"]["fix"]
        simulator.respond("/api/status", body="<html>")
        assert (await checked(host))["cloud"]["status"] == "unknown"


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_registry_that_answers_is_reachable_and_asked_once(status: int, simulator: Simulator, connect: Connect):
    simulator.respond(MANIFEST, status=status, body="no")
    async with connect() as host:
        for _ in range(2):
            assert (await checked(host))["registry"]["detail"] == "registry.ollama.ai answers."
    assert len(simulator.asked(MANIFEST)) == 1


async def test_a_registry_that_is_silent_leaves_the_server_well(simulator: Simulator, nowhere: str, connect: Connect):
    simulator.delay(MANIFEST, 5)
    simulator.delay("/api/status", 5)
    simulator.delay("/api/show", 5)
    async with connect(timeouts=Timeouts(health_extra=0.3)) as host:
        report = await host("health")
    states = {check["name"]: check["status"] for check in report["checks"]}
    assert report["status"] == "ok"
    assert [states[name] for name in ("registry", "cloud", "damaged")] == ["unknown"] * 3


async def test_a_registry_out_of_reach_is_unknown_since_the_server_may_reach_it(
    running: RunningSimulator, nowhere: str, era: Era
):
    registry = Registry((), {"registry.ollama.ai": nowhere})
    async with host(build_server(OllamaSettings(base_url=running.base_url), registry=registry), era) as call:
        check = (await checked(call))["registry"]
    assert check["status"] == "unknown"
    assert "The server itself may reach it" in check["detail"]
