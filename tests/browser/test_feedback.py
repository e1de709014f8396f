"""The dashboard inside a client: what a person learns of an action, and where the keyboard goes on after it."""

from playwright.async_api import Browser, FloatRect, expect

from mcp_ollama.simulator import RunningSimulator
from tests.browser.panel import demo, over, panel

NAME = "llama3.2:3b"


async def test_focus_on_a_button_that_goes_stays_in_its_row(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await dashboard.button("Load", "qwen3:8b").press("Enter")
        await expect(dashboard.row("qwen3:8b", "memory")).to_be_visible()
        await expect(dashboard.button("Fit", "qwen3:8b")).to_be_focused()
        await dashboard.row("qwen3:8b", "memory").get_by_role("button").press("Enter")
        await expect(dashboard.find("#memory")).to_be_hidden()
        await expect(dashboard.find("#title")).to_be_focused()


async def test_show_all_leaves_the_focus_where_the_new_rows_begin(browser: Browser, running: RunningSimulator):
    for number in range(22):
        running.simulator.install(f"model-{number:02}", size_bytes=2_000_000_000 - number)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#more")).to_be_visible()
        await dashboard.find("#more").press("Enter")
        await expect(dashboard.find("#installed li")).to_have_count(22)
        await expect(dashboard.button("Fit", "model-19:latest")).to_be_focused()


async def test_refresh_says_that_it_works_until_it_is_done(browser: Browser, running: RunningSimulator):
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.find("#plan")).to_be_visible()
        running.simulator.delay("/api/tags", 1)
        await dashboard.find("#refresh").click()
        await expect(dashboard.find("#status")).to_have_text("Checking…")
        await expect(dashboard.find("#status")).to_have_text("")


async def test_download_that_ends_is_announced(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await dashboard.find("#wanted").fill("all-minilm")
        await dashboard.find("#wanted").press("Enter")
        await dashboard.find("#pull").click()
        await expect(dashboard.find("#wanted")).to_be_focused()
        await expect(dashboard.find("#planned")).to_have_text("all-minilm:latest: download started")
        await expect(dashboard.find("#status")).to_have_text("all-minilm:latest: done")


async def test_queued_download_has_no_moving_bar(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        assert dashboard.client
        for name in ("llama3.2:1b", "all-minilm"):
            await dashboard.client.call_tool("pull_model", {"model": name, "wait_seconds": 0})
        await dashboard.find("#refresh").click()
        row = dashboard.row("all-minilm:latest", "downloads")
        await expect(row).to_contain_text("queued, place 1")
        await expect(row.locator("progress")).to_be_hidden()


async def test_plan_of_another_name_than_the_field_holds_is_forgotten(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await dashboard.find("#wanted").fill("llama3.2:1b")
        await dashboard.find("#check").click()
        await expect(dashboard.find("#pull")).to_be_visible()
        await dashboard.find("#wanted").fill("smollm2:135m")
        await expect(dashboard.find("#pull")).to_be_hidden()
        await expect(dashboard.find("#planned")).to_have_text("")


async def test_second_check_takes_back_an_update_made_elsewhere(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        assert dashboard.client
        await dashboard.find("#updates").click()
        await expect(dashboard.row("gemma3:4b")).to_contain_text("Update available")
        await dashboard.client.call_tool("pull_model", {"model": "gemma3:4b", "wait_seconds": 30})
        await dashboard.find("#updates").click()
        await expect(dashboard.find("#status")).to_contain_text("Updates available: none")
        await expect(dashboard.row("gemma3:4b")).not_to_contain_text("Update available")


async def test_estimate_is_announced_with_its_verdict(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await dashboard.button("Fit", "qwen3:8b").click()
        await expect(dashboard.row("qwen3:8b").locator("p")).to_contain_text("Fit unknown · needs")
        # In short, since the row has the rest.
        await expect(dashboard.find("#status")).to_have_text("qwen3:8b: Fit unknown")


async def test_locale_that_is_no_language_tag_is_ignored(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    async with panel(browser, over(running), context={"locale": "en_US"}) as dashboard:
        await expect(dashboard.row(NAME)).to_contain_text("2.0 GB")


async def test_focus_ring_of_the_last_button_is_whole(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        button = dashboard.button("Load", "qwen3:8b")
        await expect(button).to_be_visible()
        last = dashboard.button("Delete", "qwen3:8b")
        box = await last.bounding_box()
        assert box
        # Its right edge, which lies beyond its row.
        edge = FloatRect(x=box["x"] + box["width"] - 4, y=box["y"], width=4, height=box["height"])
        await button.focus()
        without = await dashboard.page.screenshot(clip=edge)
        await dashboard.page.keyboard.press("Tab")
        await expect(last).to_be_focused()
        assert await dashboard.page.screenshot(clip=edge) != without
