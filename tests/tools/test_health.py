"""`health`: it never fails, and reports what is wrong with its fix."""

import socket
import sys
from collections.abc import Generator
from typing import Any

import pytest

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Simulator
from tests.conftest import Connect
from tests.support.client import Host, own_port

NAMES = frozenset(
    [
        "address",
        "reachable",
        "is_ollama",
        "version",
        "models",
        "openai_api",
        "registry",
        "memory",
        "context",
        "cloud",
        "damaged",
        "journal",
    ]
)
PAGE = "<!DOCTYPE html><html><body>Welcome to nginx!</body></html>"

Checks = dict[str, dict[str, str]]


async def examined(host: Host) -> tuple[dict[str, Any], Checks]:
    report = await host("health")
    checks = {check["name"]: check for check in report["checks"]}
    assert len(checks) == len(report["checks"])
    assert checks.keys() <= NAMES
    for check in checks.values():
        assert "fix" in check or check["status"] == "ok"
    return report, checks


def states(checks: Checks) -> dict[str, str]:
    return {name: check["status"] for name, check in checks.items()}


@pytest.fixture(scope="module")
def hung() -> Generator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_good_server_is_ok(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.install("b")
    simulator.load("b", context_length=32_768)
    async with connect() as host:
        report, checks = await examined(host)
    assert (report["status"], report["version"], report["installed"], report["loaded"]) == ("ok", "0.33.0-rc2", 2, 1)
    assert report["base_url"] == f"http://127.0.0.1:{own_port()}"
    assert 0 < report["latency_ms"] < 30_000
    assert {"address", "reachable", "is_ollama", "version", "models", "openai_api"} <= checks.keys()
    assert set(states(checks).values()) == {"ok"}
    assert checks["models"]["detail"] == "2 installed, 1 loaded."


async def test_a_secret_on_this_machine_is_nothing_to_warn_of(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    async with connect(api_key="sk-distinctive") as host:
        _, checks = await examined(host)
    assert checks["address"]["status"] == "ok"


async def test_an_address_with_v1_is_as_good(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    async with connect(base_url=f"http://127.0.0.1:{own_port()}/v1/") as host:
        report, _ = await examined(host)
    assert (report["status"], report["base_url"]) == ("ok", f"http://127.0.0.1:{own_port()}")


async def test_no_server_is_reported_with_how_to_start_it(nowhere: str, connect: Connect) -> None:
    async with connect(base_url=nowhere) as host:
        report, checks = await examined(host)
    assert report.keys() == {"status", "base_url", "checks"}
    assert (report["status"], report["base_url"]) == ("down", nowhere)
    assert states(checks) == {"address": "ok", "reachable": "fail"}
    assert checks["reachable"]["detail"] == f"Nothing answers at {nowhere}."
    start = {"linux": "sudo systemctl start ollama", "darwin": "the Ollama app", "win32": "from the Start menu"}
    assert start[sys.platform] in checks["reachable"]["fix"]
    assert "`ollama serve`" in checks["reachable"]["fix"]


async def test_no_server_on_another_machine_is_reported_with_how_to_open_it(
    nowhere: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The proxy keeps the test on this machine.
    monkeypatch.setenv("http_proxy", nowhere)
    async with connect(base_url="http://models.example") as host:
        report, checks = await examined(host)
    assert report["status"] == "down"
    assert "OLLAMA_HOST=0.0.0.0" in checks["reachable"]["fix"]


@pytest.mark.parametrize("secret", [{"api_key": "sk-distinctive"}, {"headers": '{"X-Key": "sk-distinctive"}'}])
async def test_a_secret_in_clear_text_over_the_network_is_warned_of(
    secret: dict[str, Any], nowhere: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", nowhere)
    async with connect(base_url="http://models.example", **secret) as host:
        _, checks = await examined(host)
    assert checks["address"]["status"] == "warn"
    assert "in clear text" in checks["address"]["detail"]
    assert "https" in checks["address"]["fix"]


@pytest.mark.parametrize("settings", [{}, {"timeout": 0.1}], ids=["health's own limit", "the operator's limit"])
async def test_health_of_a_silent_server_is_reported_in_time(
    settings: dict[str, Any], hung: str, connect: Connect
) -> None:
    async with connect(base_url=hung, timeouts=Timeouts(check=0.1 if not settings else 8), **settings) as host:
        report, checks = await examined(host)
    assert report["status"] == "down"
    assert states(checks) == {"address": "ok", "reachable": "fail"}
    assert f"{hung} did not answer within 0.1 s" in checks["reachable"]["detail"]


async def test_a_server_that_hangs_on_running_models_is_degraded(simulator: Simulator, connect: Connect) -> None:
    simulator.delay("/api/ps", 30)
    async with connect(timeouts=Timeouts(check=0.6)) as host:
        report, checks = await examined(host)
    assert (report["status"], report["installed"], "loaded" in report) == ("degraded", 0, False)
    assert (checks["models"]["status"], checks["openai_api"]["status"]) == ("warn", "ok")


@pytest.mark.parametrize(
    ("answer", "detail", "fix"),
    [
        ({"body": PAGE, "content_type": "text/html"}, "returned a web page.", "not a web interface"),
        ({"body": '{"hello":"world"}'}, "returned JSON that does not match Ollama's API.", "is an Ollama server"),
        ({"body": "pong"}, "returned something that is not JSON.", "is an Ollama server"),
        ({"body": ""}, "returned an empty response.", "is an Ollama server"),
        ({"status": 404, "body": "404 page not found"}, "does not know /api/version", "Check the address"),
        ({"status": 301, "headers": {"location": "/elsewhere"}}, "redirects (301)", "the final address"),
        ({"status": 403}, "refuses the request (403) without a reason.", "OLLAMA_HOST=0.0.0.0"),
        ({"status": 401, "body": '{"error":"unauthorized"}'}, "(401): unauthorized.", "MCP_OLLAMA_API_KEY"),
        ({"status": 502, "body": PAGE}, "does not reach Ollama (502)", "Check that Ollama runs behind it"),
    ],
    ids=["web page", "other JSON", "no JSON", "empty", "404", "redirect", "403", "401", "502"],
)
async def test_unusable_server_is_reported_with_its_kind(
    answer: dict[str, Any], detail: str, fix: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.respond("*", **answer)
    async with connect() as host:
        report, checks = await examined(host)
    assert report["status"] == "down"
    assert states(checks) == {"address": "ok", "reachable": "ok", "is_ollama": "fail"}
    assert detail in checks["is_ollama"]["detail"]
    assert fix in checks["is_ollama"]["fix"]


async def test_wrong_path_is_reported_with_the_address_that_works(simulator: Simulator, connect: Connect) -> None:
    root = f"http://127.0.0.1:{own_port()}"
    async with connect(base_url=f"{root}/nonsense/v1") as host:
        report, checks = await examined(host)
        assert (report["status"], report["base_url"]) == ("down", f"{root}/nonsense")
        assert f"Set MCP_OLLAMA_BASE_URL to {root}:" in checks["is_ollama"]["fix"]
        simulator.respond("/nonsense/api/version", status=401, body='{"error":"unauthorized"}')
        _, checks = await examined(host)
        assert "MCP_OLLAMA_API_KEY" in checks["is_ollama"]["fix"]
        simulator.respond("*", status=404, body="404 page not found")
        simulator.restore("/nonsense/api/version")
        _, checks = await examined(host)
    assert "MCP_OLLAMA_BASE_URL" not in checks["is_ollama"]["fix"]


@pytest.mark.parametrize(
    ("version", "status", "detail"),
    [
        ("0.5.13", "warn", "0.5.13 is too old to report what its models can do: that began with 0.6.4."),
        ("0.6.3", "warn", "0.6.3 is too old"),
        ("0.6.4", "ok", "0.6.4"),
        ("0.10.0", "ok", "0.10.0"),
        ("1.0.0-rc1", "ok", "1.0.0-rc1"),
        ("0.0.0", "ok", "0.0.0: a development build."),
        ("main-3f2a", "ok", "main-3f2a: a development build."),
    ],
)
async def test_a_version_is_judged(
    version: str, status: str, detail: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.version = version
    simulator.install("a")
    async with connect() as host:
        report, checks = await examined(host)
    assert report["status"] == ("ok" if status == "ok" else "degraded")
    assert report["version"] == version
    assert checks["version"]["status"] == status
    assert checks["version"]["detail"].startswith(detail)


async def test_a_server_without_models_is_degraded(connect: Connect) -> None:
    async with connect() as host:
        report, checks = await examined(host)
    assert (report["status"], report["installed"]) == ("degraded", 0)
    assert checks["models"]["status"] == "warn"
    assert "pull_model" in checks["models"]["fix"]


async def test_a_server_without_its_openai_side_is_degraded(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.lack("/v1/models")
    async with connect() as host:
        report, checks = await examined(host)
    assert report["status"] == "degraded"
    assert checks["openai_api"]["status"] == "warn"
    assert "/v1" in checks["openai_api"]["fix"]


async def test_a_server_whose_models_cannot_be_read_is_down(simulator: Simulator, connect: Connect) -> None:
    simulator.respond("/api/tags", status=400, body='{"error":"disk on fire"}')
    async with connect() as host:
        report, checks = await examined(host)
    assert report["status"] == "down"
    assert checks["models"]["detail"] == "Ollama answered 400: disk on fire."
