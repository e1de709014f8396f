"""The dashboard inside a client: handshake, states, access tiers."""

import pytest
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator, Simulator
from tests.browser.panel import demo, over, panel
from tests.host import Era


async def test_panel_after_the_handshake_shows_what_is_installed(browser: Browser, era: Era):
    async with panel(browser, demo(), era) as dashboard:
        await expect(dashboard.find("#headline")).to_have_text("6 models, 10.9 GB; none in memory")
        await expect(dashboard.row("qwen3:8b")).to_contain_text("8.2B · Q4_K_M · 40k context · thinking, tools")
        await expect(dashboard.row("gpt-oss:120b-cloud")).to_contain_text("cloud")
        await expect(dashboard.find("#installed li")).to_have_count(6)
        seen = await dashboard.page.evaluate("seen()")
        assert seen["initialized"]
        assert seen["heights"][-1] > 400
        assert seen["widths"] == []
