"""The dashboard inside a client: download, update, load and unload, estimate."""

from mcp.types import TextContent
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator
from tests.browser.panel import demo, over, panel
from tests.support.client import Era


async def test_download_in_progress_moves_and_is_cancelled(browser: Browser, era: Era):
    async with panel(browser, demo(), era) as dashboard:
        await dashboard.find("#wanted").fill("llama3.2:1b")
        await dashboard.find("#wanted").press("Enter")
        await expect(dashboard.find("#planned")).to_contain_text("1.3 GB to download")
        await dashboard.find("#pull").click()
        row = dashboard.row("llama3.2:1b", "downloads")
        await expect(row).to_contain_text("of 1.3 GB")
        bar = dashboard.frame.get_by_role("progressbar", name="Progress of llama3.2:1b")
        first = await bar.evaluate("bar => bar.value")
        await dashboard.button("Cancel", "llama3.2:1b").focus()
        await expect(row.locator("progress")).not_to_have_js_property("value", first)
        # A redraw keeps the focus.
        await expect(dashboard.button("Cancel", "llama3.2:1b")).to_be_focused()
        await dashboard.page.keyboard.press("Enter")
        await expect(row).to_have_count(0)
        await expect(dashboard.find("#status")).to_have_text("llama3.2:1b: cancelled, what arrived is kept")
        calls = len(dashboard.calls)
        # Longer than the interval of polls: there is nothing to ask for any more.
        await dashboard.page.wait_for_timeout(2_500)
        assert len(dashboard.calls) == calls


async def test_download_that_ends_appears_among_the_installed(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await expect(dashboard.find("#plan")).to_be_visible()
        assert dashboard.client
        await dashboard.client.call_tool("pull_model", {"model": "all-minilm", "wait_seconds": 0})
        await dashboard.find("#refresh").click()
        await expect(dashboard.row("all-minilm:latest")).to_contain_text("46 MB")
        await expect(dashboard.find("#headline")).to_contain_text("7 models")
        await expect(dashboard.find("#downloads")).to_be_hidden()


async def test_failed_download_shows_its_reason(browser: Browser, running: RunningSimulator):
    registry = running.base_url.removeprefix("http://")
    async with panel(browser, over(running)) as dashboard:
        assert dashboard.client
        missing = {"model": f"{registry}/library/missing:1b", "insecure": True, "wait_seconds": 20}
        assert (await dashboard.client.call_tool("pull_model", missing)).is_error
        await dashboard.find("#refresh").click()
        row = dashboard.find("#downloads li")
        await expect(row).to_contain_text("failed: ")
        await expect(row.get_by_role("button", name="Resume")).to_be_visible()
        await expect(row.get_by_role("button", name="Cancel")).to_be_hidden()


async def test_update_is_offered_after_the_check_and_downloaded(browser: Browser):
    async with panel(browser, demo()) as dashboard:
        await expect(dashboard.button("Update", "gemma3:4b")).to_be_hidden()
        await dashboard.find("#updates").click()
        await expect(dashboard.find("#status")).to_contain_text("Updates available: 1")
        await expect(dashboard.row("gemma3:4b")).to_contain_text("Update available, 181 B to download")
        await dashboard.button("Update", "gemma3:4b").click()
        await expect(dashboard.find("#status")).to_have_text("gemma3:4b: download started")
        await expect(dashboard.button("Update", "gemma3:4b")).to_be_hidden()
        assert dashboard.called("pull_model") == [{"model": "gemma3:4b", "wait_seconds": 0}]


async def test_model_is_loaded_shown_in_memory_and_unloaded(browser: Browser, era: Era):
    async with panel(browser, demo(), era) as dashboard:
        await dashboard.button("Load", "qwen3:8b").click()
        await expect(dashboard.row("qwen3:8b")).to_contain_text("Loading…")
        await expect(dashboard.row("qwen3:8b")).to_contain_text("● in memory")
        await expect(dashboard.find("#headline")).to_contain_text("1 in memory")
        memory = dashboard.row("qwen3:8b", "memory")
        await expect(memory).to_contain_text("5.4 GB")
        await expect(memory).to_contain_text("on the GPU · 4k context · until ")
        await memory.get_by_role("button", name="Unload").click()
        await expect(dashboard.find("#memory")).to_be_hidden()
        await expect(dashboard.find("#status")).to_have_text("qwen3:8b: unloaded")


async def test_model_on_gpu_and_cpu_says_how_much_of_it_where(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    running.simulator.runners.vram_share = 0.25
    running.simulator.load("llama3.2:3b", keep_alive=1e9)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.row("llama3.2:3b", "memory")).to_contain_text(
            "25 % on the GPU, the rest on the CPU · 4k context · stays loaded"
        )


async def test_refused_action_shows_the_sentence_of_the_server(browser: Browser, running: RunningSimulator):
    running.simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.button("Load", "llama3.2:3b")).to_be_visible()
        running.stop()
        await dashboard.button("Load", "llama3.2:3b").click()
        await expect(dashboard.row("llama3.2:3b").locator(".bad")).to_contain_text(running.base_url)
        (content,) = dashboard.results[-1].content
        assert isinstance(content, TextContent)
        await expect(dashboard.find("#status")).to_have_text(content.text)
