"""The dashboard inside a client: themes, narrow windows, accessibility, and names that are attacks."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator
from tests.browser.panel import Panel, demo, over, panel

MARKUP = "hf.co/user/<img src=x onerror=alert(1)>:q4"
OVERRIDE = "safe\u202eegral:1b"
LONG = "hf.co/organisation-with-a-long-name/a-repository-whose-name-never-seems-to-end-GGUF:Q4_K_M"
COLORS = {
    "--color-background-primary": "light-dark(#fff, #171717)",
    "--color-background-secondary": "light-dark(#f3f3f3, #262626)",
    "--color-text-primary": "light-dark(#111, #eee)",
    "--color-text-secondary": "light-dark(#555, #aaa)",
    "--color-border-primary": "light-dark(#ccc, #444)",
}
"""What a client sets, as Inspector does."""


async def background(dashboard: Panel) -> str:
    return await dashboard.find("body").evaluate("body => getComputedStyle(body).backgroundColor")


async def everything(dashboard: Panel) -> None:
    """Bring the page into a state in which each of its parts is visible."""
    await dashboard.button("Load", "qwen3:8b").click()
    await expect(dashboard.row("qwen3:8b", "memory")).to_be_visible()
    await dashboard.find("#updates").click()
    await expect(dashboard.button("Update", "gemma3:4b")).to_be_visible()
    await dashboard.find("#wanted").fill("llama3.2:1b")
    await dashboard.find("#check").click()
    await dashboard.find("#pull").click()
    await expect(dashboard.row("llama3.2:1b", "downloads")).to_contain_text("of 1.3 GB")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_panel_with_everything_in_it_has_no_axe_violations(browser: Browser, theme: str):
    async with panel(browser, demo(), context={"theme": theme}, width=320) as dashboard:
        await everything(dashboard)
        assert await dashboard.violations() == []
        assert await dashboard.overflow() == 0
        await dashboard.button("Delete", "qwen3:8b").click()
        assert await dashboard.violations() == []


async def test_panel_follows_the_theme_and_colors_of_the_client(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    context: dict[str, Any] = {"theme": "light", "styles": {"variables": COLORS}}
    async with panel(browser, over(running), context=context) as dashboard:
        await expect(dashboard.row("llama3.2:3b")).to_be_visible()
        assert await background(dashboard) == "rgb(255, 255, 255)"
        await dashboard.page.evaluate("context => setContext(context)", {**context, "theme": "dark"})
        await expect(dashboard.find(":root")).to_have_css("color-scheme", "dark")
        assert await background(dashboard) == "rgb(23, 23, 23)"


async def test_panel_with_half_a_set_of_colors_keeps_its_own(browser: Browser, running: RunningSimulator):
    half = {"--color-background-primary": "#123456"}
    context = {"theme": "light", "styles": {"variables": half}}
    async with panel(browser, over(running), context=context) as dashboard:
        await expect(dashboard.find("#plan")).to_be_visible()
        assert await background(dashboard) == "rgb(252, 252, 251)"


async def test_panel_without_a_theme_follows_the_system(browser: Browser, running: RunningSimulator):
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#plan")).to_be_visible()
        await dashboard.page.emulate_media(color_scheme="dark")
        assert await background(dashboard) == "rgb(22, 24, 27)"


async def test_hostile_names_are_shown_as_text_and_isolated(browser: Browser, running: RunningSimulator):
    rows = [{"name": name, "size_bytes": 1, "loaded": False} for name in (MARKUP, OVERRIDE, LONG)]
    data = {"summary": "3 models", "actions": ["delete_model"], "models": rows, "base_url": "http://127.0.0.1:11434"}
    result = {"content": [{"type": "text", "text": "3 models"}], "structuredContent": data}
    # Without tool calls, since the server's own checks leave no such name through.
    async with panel(browser, over(running), capabilities={}, result=False, width=320) as dashboard:
        await dashboard.page.evaluate("result => sendResult(result)", result)
        await expect(dashboard.row(MARKUP)).to_be_visible()
        await expect(dashboard.row("safe\\u202eegral:1b")).to_be_visible()
        await expect(dashboard.find("img")).to_have_count(0)
        bidi = await dashboard.find("bdi.name").evaluate_all("all => all.map(one => getComputedStyle(one).unicodeBidi)")
        assert bidi == ["isolate"] * 3
        assert await dashboard.overflow() == 0


async def test_hostile_texts_of_the_server_stay_text(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.button("Load", "llama3.2:3b")).to_be_visible()
        running.simulator.respond("/api/generate", status=500, body='{"error": "<img src=x onerror=alert(1)> \u202e"}')
        await dashboard.button("Load", "llama3.2:3b").click()
        await expect(dashboard.row("llama3.2:3b").locator(".bad")).to_be_visible()
        await expect(dashboard.find("img")).to_have_count(0)


async def test_panel_is_used_with_the_keyboard_alone(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.button("Delete", "llama3.2:3b")).to_be_visible()
        await dashboard.find("#wanted").press_sequentially("qwen3")
        await expect(dashboard.find("#wanted")).to_have_value("qwen3")
        await dashboard.find("#refresh").focus()
        reached: list[str] = []
        for _ in range(7):
            await dashboard.page.keyboard.press("Tab")
            script = "body => document.activeElement.ariaLabel ?? document.activeElement.textContent"
            reached.append(await dashboard.find("body").evaluate(script))
        assert reached == [
            "Check for updates", "Order", "Fit llama3.2:3b", "Load llama3.2:3b", "Delete llama3.2:3b", "Model", "Check"
        ]  # fmt: skip
        heights = await dashboard.find("button:visible").evaluate_all("all => all.map(one => one.offsetHeight)")
        assert min(heights) >= 24


async def test_panel_loads_nothing_and_reaches_nothing(browser: Browser, running: RunningSimulator):
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#plan")).to_be_visible()
        loaded = await dashboard.find("body").evaluate("() => performance.getEntriesByType('resource').length")
        assert loaded == 0
        attempt = "() => fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'blocked')"
        assert await dashboard.find("body").evaluate(attempt) == "blocked"
        assert all("Content Security Policy" in problem for problem in dashboard.problems)
        dashboard.problems.clear()
