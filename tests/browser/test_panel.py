"""The dashboard inside a client: handshake, states, access tiers."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator, Simulator
from tests.browser.panel import HTML, demo, over, panel
from tests.support.client import Era

ACTION = ".tools button:visible"
DRAW_ALL = """async filter => {
    const frame = () => new Promise(requestAnimationFrame);
    const type = text => { filter.value = text; filter.oninput() };
    type("none of them");
    await frame();
    const start = performance.now();
    type("");
    // One frame draws, the next begins when the first is done.
    await frame();
    await frame();
    return performance.now() - start;
}"""
"""Removes all rows, then measures how many milliseconds all take to be drawn."""

CHANGING = ["load_model", "unload_model", "pull_model", "cancel_pull", "delete_model"]


def test_page_as_shipped_is_small_and_parses_no_markup():
    assert len(HTML.encode()) <= 25_600
    assert "innerHTML" not in HTML


async def test_panel_after_the_handshake_shows_what_is_installed(browser: Browser, era: Era):
    async with panel(browser, demo(), era) as dashboard:
        await expect(dashboard.find("#headline")).to_have_text("6 models, 10.9 GB; none in memory")
        await expect(dashboard.row("qwen3:8b")).to_contain_text("8.2B · Q4_K_M · 40k context · thinking, tools")
        await expect(dashboard.row("gpt-oss:120b-cloud")).to_contain_text("cloud")
        await expect(dashboard.row("assistant:latest")).to_contain_text("same weights as llama3.2:3b")
        names = await dashboard.find("#installed bdi").all_text_contents()
        assert names[:2] == ["qwen3:8b", "gemma3:4b"]
        assert names[-1] == "gpt-oss:120b-cloud"
        seen = await dashboard.page.evaluate("seen()")
        assert seen["initialized"]
        assert seen["heights"][-1] > 400
        assert seen["widths"] == []


async def test_panel_torn_down_during_a_download_calls_nothing_more(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        assert dashboard.client
        await expect(dashboard.button("Load", "qwen3:8b")).to_be_visible()
        await dashboard.client.call_tool("pull_model", {"model": "llama3.2:1b", "wait_seconds": 0})
        await dashboard.find("#refresh").click()
        await expect(dashboard.row("llama3.2:1b", "downloads")).to_be_visible()
        assert await dashboard.page.evaluate("tearDown()") == {}
        calls = len(dashboard.calls)
        # Longer than the interval of polls.
        await dashboard.page.wait_for_timeout(2_500)
        assert len(dashboard.calls) == calls


async def test_panel_opened_without_a_result_asks_for_it(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running), result=False) as dashboard:
        await expect(dashboard.button("Delete", "llama3.2:3b")).to_be_visible()
        assert len(dashboard.called("open_dashboard")) == 1


async def test_panel_in_a_client_without_tool_calls_shows_the_result(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running), capabilities={}) as dashboard:
        await expect(dashboard.row("llama3.2:3b")).to_contain_text("2.0 GB")
        await expect(dashboard.find("#access")).to_have_text("This client does not let the panel call tools.")
        await expect(dashboard.find("button:visible")).to_have_count(0)
        assert dashboard.calls == []


async def test_panel_with_ollama_down_shows_the_next_step_and_recovers(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    running.stop()
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#problem")).to_contain_text(running.base_url)
        await expect(dashboard.find("#problem")).to_contain_text("ollama serve")
        running.start()
        await dashboard.find("#refresh").click()
        await expect(dashboard.row("llama3.2:3b")).to_be_visible()
        await expect(dashboard.find("#problem")).to_be_hidden()
        running.stop()
        await dashboard.find("#refresh").click()
        await expect(dashboard.find("#problem")).to_contain_text(running.base_url)
        # What was known stays, with its time.
        await expect(dashboard.row("llama3.2:3b")).to_be_visible()
        await expect(dashboard.find("#time")).to_contain_text("as of")


async def test_panel_without_models_says_how_to_get_one(browser: Browser, running: RunningSimulator):
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#headline")).to_have_text("No models installed")
        await expect(dashboard.find("#empty")).to_contain_text("ollama pull")
        await expect(dashboard.find("#wanted")).to_be_visible()


@pytest.mark.parametrize(
    ("access", "line", "buttons"),
    [
        ("read-only", "Read-only: changes are disabled by MCP_OLLAMA_ACCESS.", {"Fit"}),
        ("no-delete", "Deleting is disabled by MCP_OLLAMA_ACCESS.", {"Fit", "Load"}),
        ("full", "", {"Fit", "Load", "Delete"}),
    ],
)
async def test_panel_under_an_access_tier_draws_only_what_it_allows(
    browser: Browser, running: RunningSimulator, access: str, line: str, buttons: set[str]
):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running, MCP_OLLAMA_ACCESS=access)) as dashboard:
        await expect(dashboard.row("llama3.2:3b")).to_contain_text("context")
        await expect(dashboard.find("#access")).to_have_text(line)
        assert set(await dashboard.find(ACTION).all_text_contents()) == buttons


async def test_panel_of_two_hosts_names_the_chosen_one_in_every_call(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running), result=False) as dashboard:
        # The server of this test has one host: what it answers to `host` is its error, and the arguments are the test.
        await dashboard.page.evaluate(f"sendResult({json.dumps(two_hosts())})")
        await expect(dashboard.find("#hosts")).to_have_value("desk")
        await dashboard.find("#hosts").select_option("gpu")
        await expect(dashboard.find("#address")).to_have_text("http://gpu:11434")
        await expect(dashboard.find("#access")).to_contain_text("Read-only")
        hosts = [arguments.get("host") for arguments in dashboard.called("list_models")]
        assert hosts == ["desk", "gpu"]


def two_hosts() -> dict[str, Any]:
    """Build the result of a server with two hosts, the second one read-only."""
    desk = {"host": "desk", "base_url": "http://127.0.0.1:11434", "actions": CHANGING}
    gpu: dict[str, Any] = {"host": "gpu", "base_url": "http://gpu:11434", "actions": []}
    data: dict[str, Any] = {
        **desk,
        "hosts": [desk, gpu],
        "summary": "1 model",
        "models": [],
        "running": [],
        "transfers": [],
    }
    return {"content": [{"type": "text", "text": "1 model"}], "structuredContent": data}


async def test_panel_with_a_thousand_models_is_drawn_in_a_second(browser: Browser, running: RunningSimulator):
    install_many(running.simulator, 1_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#headline")).to_contain_text("1,000 models")
        # The server looks at each model once, which takes longer than drawing.
        await expect(dashboard.find("#more")).to_have_text("Show all 1,000 models", timeout=40_000)
        assert [one["offset"] for one in dashboard.called("list_models")] == [0, 200, 400, 600, 800]
        await expect(dashboard.find("#installed li")).to_have_count(20)
        await dashboard.find("#more").click()
        await expect(dashboard.find("#installed li")).to_have_count(1_000)
        # The best of three, since other processes share the machine.
        milliseconds = [await dashboard.find("#filter").evaluate(DRAW_ALL) for _ in range(3)]
        assert min(milliseconds) < 1_000
        await expect(dashboard.find("#installed li")).to_have_count(1_000)
        await dashboard.find("#filter").fill("model-0777")
        await expect(dashboard.find("#installed li")).to_have_count(1)
        await dashboard.find("#filter").fill("none of them")
        await expect(dashboard.find("#empty")).to_have_text("No name contains this text.")


async def test_panel_with_two_hundred_models_sorts_them(browser: Browser, running: RunningSimulator):
    install_many(running.simulator, 200)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#more")).to_be_visible()
        assert len(dashboard.called("list_models")) == 1
        for order, first in (("size_bytes", "model-0199:latest"), ("name", "model-0000:latest")):
            await dashboard.find("#sort").select_option(order)
            await expect(dashboard.find("#installed bdi").first).to_have_text(first)
        await dashboard.find("#sort").select_option("modified_at")
        await expect(dashboard.find("#installed bdi").first).to_have_text("model-0000:latest")


def install_many(simulator: Simulator, count: int) -> None:
    """Install models whose size rises and whose age rises with their number."""
    now = simulator.now()
    for number in range(count):
        size = 1_000_000_000 + number * 1_000_000
        simulator.install(f"model-{number:04}", size_bytes=size, modified_at=now - 3_600 * number)
