"""The dashboard inside a client, over a server with two hosts: what belongs to one is not shown of the other."""

import json
from collections.abc import Generator

import pytest
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.browser.panel import over, panel
from tests.support.children import until


@pytest.fixture
def gpu() -> Generator[RunningSimulator]:
    """A second host, with more models than are shown without a filter."""
    simulator = Simulator()
    for number in range(25):
        simulator.install(f"model-{number:02}", size_bytes=1_000_000_000 + number)
    with serve(simulator) as running:
        yield running


def hosts(running: RunningSimulator, gpu: RunningSimulator) -> str:
    """Return the value of MCP_OLLAMA_HOSTS."""
    return json.dumps({"desk": running.base_url, "gpu": gpu.base_url})


async def test_filter_stays_visible_on_a_host_with_few_models(
    browser: Browser, running: RunningSimulator, gpu: RunningSimulator
):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running, MCP_OLLAMA_HOSTS=hosts(running, gpu))) as dashboard:
        await expect(dashboard.find("#hosts")).to_have_value("desk")
        await dashboard.find("#hosts").select_option("gpu")
        await dashboard.find("#filter").fill("model-01")
        await expect(dashboard.row("model-01:latest")).to_be_visible()
        await dashboard.find("#hosts").select_option("desk")
        await expect(dashboard.find("#empty")).to_have_text("No name contains this text.")
        await dashboard.find("#filter").fill("")
        await expect(dashboard.row("llama3.2:3b")).to_be_visible()
        await expect(dashboard.find("#filter")).to_be_hidden()


async def test_plan_of_a_host_is_forgotten_on_another(
    browser: Browser, running: RunningSimulator, gpu: RunningSimulator
):
    async with panel(browser, over(running, MCP_OLLAMA_HOSTS=hosts(running, gpu))) as dashboard:
        await dashboard.find("#wanted").fill("missing:1b")
        await dashboard.find("#check").click()
        await expect(dashboard.find("#planned")).not_to_have_text("Checking…")
        await expect(dashboard.find("#planned")).not_to_have_text("")
        await dashboard.find("#hosts").select_option("gpu")
        await expect(dashboard.find("#planned")).to_have_text("")


async def test_late_error_of_a_host_is_not_shown_of_another(
    browser: Browser, running: RunningSimulator, gpu: RunningSimulator
):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running, MCP_OLLAMA_HOSTS=hosts(running, gpu))) as dashboard:
        await expect(dashboard.button("Load", "llama3.2:3b")).to_be_visible()
        running.simulator.respond("/api/generate", status=500, body='{"error": "out of memory"}')
        running.simulator.delay("/api/generate", 2)
        await dashboard.button("Load", "llama3.2:3b").click()
        await expect(dashboard.row("llama3.2:3b")).to_contain_text("Loading…")
        answers = len(dashboard.results)
        await dashboard.find("#hosts").select_option("gpu")
        await expect(dashboard.row("model-24:latest")).to_contain_text("context")
        # Only the call of the host that is left fails.
        await until(lambda: any(one.is_error for one in dashboard.results[answers:]))
        await dashboard.find("#sort").select_option("name")
        await expect(dashboard.find("#installed bdi").first).to_have_text("model-00:latest")
        await expect(dashboard.find("#status")).to_have_text("")
