"""A missing `/api/ps` never spoils the main answer; health stays cheap and true."""

from typing import Any

import pytest

from mcp_ollama.models import catalog
from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Fail, Simulator
from tests.conftest import Connect
from tests.support.client import text_of

BROKEN: dict[str, dict[str, Any]] = {
    "missing": {"status": 404, "body": "404 page not found"},
    "refused": {"status": 401, "body": '{"error":"unauthorized"}'},
    "broken": {"status": 500, "body": '{"error":"broken"}'},
    "empty": {"body": "{}"},
}


@pytest.mark.parametrize("how", BROKEN)
async def test_lists_cards_and_loads_answer_without_ps(how: str, simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.respond("/api/ps", **BROKEN[how])
    async with connect() as host:
        (row,) = (await host("list_models"))["models"]
        card = await host("show_model", model="a", include=["pydantic_ai"])
        loaded = await host("load_model", model="a")
        resources = await host.client.read_resource("ollama://models")
    assert (row["name"], "loaded" in row, "loaded" in card) == ("a:latest", False, False)
    assert loaded["state"] == "loaded"
    assert "running" not in loaded
    assert resources.contents


async def test_slow_ps_holds_up_no_list_card_or_plan(
    simulator: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "OPTIONAL_SECONDS", 0.05)
    simulator.install("a")
    simulator.delay("/api/ps", 30)
    async with connect(timeouts=Timeouts(call=10)) as host:
        answers = [await host(tool, model="a") for tool in ("show_model", "plan_pull")]
        answers.append(await host("list_models"))
    assert [answer.get("loaded") for answer in answers] == [None] * 3


@pytest.mark.parametrize("how", BROKEN)
async def test_a_server_without_ps_is_degraded_and_not_down(how: str, simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.respond("/api/ps", **BROKEN[how])
    async with connect() as host:
        report = await host("health")
    checks = {check["name"]: check for check in report["checks"]}
    assert report["status"] == "degraded"
    assert (checks["models"]["status"], checks["memory"]["status"]) == ("warn", "unknown")


async def test_a_model_on_the_cpu_does_not_degrade_the_server(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.runners.vram_share = 0.0
    simulator.load("a", context_length=131_072)
    async with connect() as host:
        report = await host("health")
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["memory"]["status"] == "warn"
    assert report["status"] == "ok"


async def test_health_asks_about_eight_new_models_per_call(simulator: Simulator, connect: Connect) -> None:
    for number in range(20):
        simulator.install(f"m{number}", weights=str(number))
    async with connect() as host:
        said: list[str] = []
        for _ in range(3):
            report = await host("health")
            said.append(next(check["detail"] for check in report["checks"] if check["name"] == "damaged"))
    assert said == [f"Every model can be shown, {count} of 20 looked at." for count in (8, 16, 20)]
    assert len(simulator.asked("/api/show")) == 20


async def test_a_context_above_the_trained_one_is_said(simulator: Simulator, connect: Connect) -> None:
    simulator.install("tiny", context_length=2048)
    async with connect() as host:
        made = await host("create_model", model="big", from_model="tiny", parameters={"num_ctx": 32768})
        card = await host("show_model", model="big")
        inherited = await host("create_model", model="bigger", from_model="big", system="Be brief.")
        fine = await host("create_model", model="small", from_model="tiny", parameters={"num_ctx": 1024})
    assert made["configured_context_length"] == card["configured_context_length"] == 2048
    assert inherited["configured_context_length"] == 2048
    assert (
        made["next_step"]
        == inherited["next_step"]
        == ("num_ctx 32768 is above the 2048 tokens that the model was trained for: Ollama loads it with 2048.")
    )
    assert (fine["configured_context_length"], "next_step" in fine) == (1024, False)


async def test_default_lists_stay_under_nine_thousand_characters(simulator: Simulator, connect: Connect) -> None:
    for number in range(60):
        simulator.install(f"{'n' * 70}/{'m' * 70}{number}:{'t' * 70}", weights=str(number))
    async with connect() as host:
        page = await host.result("list_models")
        listed: dict[str, Any] = page.structured_content or {}
        rest = await host("list_models", offset=listed["next_offset"], limit=200)
        updates = await host.result("check_updates")
    for answer in (page, updates):
        assert len(text_of(answer)) < 9_000
    assert len(listed["models"]) + len(rest["models"]) == 60
    assert "more rows are left out" in text_of(updates)


async def test_the_configuration_layer_is_named_config(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a")
    async with connect() as host:
        plan = await host("plan_pull", model="a")
    kinds = {layer["kind"] for layer in plan["layers"]}
    assert "config" in kinds
    assert "v1" not in kinds


CLOUD: dict[str, Any] = {
    "remote_host": "https://ollama.com:443",
    "capabilities": ("completion", "tools"),
    "lists_capabilities": False,
}


async def test_cloud_row_without_capabilities_is_shown_for_them(simulator: Simulator, connect: Connect) -> None:
    simulator.install("big:20b-cloud", **CLOUD)
    async with connect() as host:
        (row,) = (await host("list_models", capability="tools"))["models"]
        document = await host.client.read_resource("ollama://config/pydantic-ai")
    assert (row["name"], row["capabilities"]) == ("big:20b-cloud", ["completion", "tools"])
    assert "ollama:big:20b-cloud" in document.model_dump_json()


async def test_cloud_model_that_needs_no_pull_is_usable_without_a_row(simulator: Simulator, connect: Connect) -> None:
    simulator.install("big:20b-cloud", **CLOUD)
    simulator.respond("/api/tags", body='{"models":[]}', content_type="application/json")
    async with connect() as host:
        card = await host("show_model", model="big:20b-cloud", include=["pydantic_ai"])
        loads = [await host.refusal(tool, model="big:20b-cloud") for tool in ("load_model", "measure_model")]
        missing = await host.refusal("show_model", model="other:20b-cloud")
    assert (card["remote"], card["capabilities"]) == (True, ["completion", "tools"])
    assert card["texts"]["pydantic_ai"]
    assert all("runs on https://ollama.com:443" in text for text in loads)
    assert "other:20b-cloud is not installed" in missing


@pytest.mark.parametrize("how", BROKEN)
async def test_overview_without_ps_leaves_loaded_out(how: str, simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.respond("/api/ps", **BROKEN[how])
    async with connect() as host:
        overview = await host("open_dashboard")
    assert "loaded" not in overview["models"][0]
    assert overview["summary"].endswith("; which are in memory is unknown.")


@pytest.mark.parametrize("argument", ["context_length", "num_ctx"])
@pytest.mark.parametrize("tool", ["load_model", "pull_model"])
async def test_refused_context_length_names_create_model(tool: str, argument: str, connect: Connect) -> None:
    async with connect() as host:
        text = await host.refusal(tool, model="a", **{argument: 8192})
    assert text.endswith("For another context length: create_model with the parameter num_ctx, then use that model.")


async def test_pull_of_a_cloud_model_without_manifest_says_to_use_it(simulator: Simulator, connect: Connect) -> None:
    simulator.install("big:20b-cloud", **CLOUD)
    for name in ("big:20b-cloud", "other:20b-cloud"):
        simulator.faults.add(name, Fail(text="pull model manifest: file does not exist"))
    async with connect() as host:
        known = await host.refusal("pull_model", model="big:20b-cloud")
        unknown = await host.refusal("pull_model", model="other:20b-cloud")
    assert known.endswith("big:20b-cloud runs in the cloud and needs no pull. Use it under this name.")
    assert "The registry has no other:20b-cloud." in unknown
