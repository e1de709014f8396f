"""The dashboard as the page of `--http`."""

from playwright.async_api import Browser, expect

from tests.browser.http_page import http_page, served

TOKEN = "correct-horse-100%&battery-staple"


async def test_page_of_http_pulls_loads_and_deletes(browser: Browser):
    with served() as address:
        async with http_page(browser, address) as dashboard:
            await expect(dashboard.find("#headline")).to_have_text("6 models, 10.9 GB; none in memory")
            await dashboard.find("#wanted").fill("llama3.2:1b")
            await dashboard.find("#check").click()
            await dashboard.find("#pull").click()
            await expect(dashboard.row("llama3.2:1b", "downloads")).to_contain_text("of 1.3 GB")
            await dashboard.button("Cancel", "llama3.2:1b").click()
            await expect(dashboard.find("#downloads")).to_be_hidden()
            await dashboard.button("Load", "qwen3:8b").click()
            await expect(dashboard.row("qwen3:8b", "memory")).to_be_visible()
            await dashboard.button("Delete", "qwen3:8b").click()
            await dashboard.find("#remove").click()
            await expect(dashboard.find("#status")).to_have_text("qwen3:8b: deleted, 5.2 GB freed")
            await expect(dashboard.row("qwen3:8b")).to_have_count(0)
            assert await dashboard.violations() == []
            assert dashboard.problems == []


async def test_page_of_http_with_a_token_in_the_fragment_cleans_its_address(browser: Browser):
    with served(MCP_OLLAMA_HTTP_TOKEN=TOKEN) as address:
        async with http_page(browser, address, f"#token={TOKEN}") as dashboard:
            await expect(dashboard.find("#headline")).to_contain_text("6 models")
            assert dashboard.page.url == f"{address}/"


async def test_page_of_http_without_its_token_asks_for_it(browser: Browser):
    with served(MCP_OLLAMA_HTTP_TOKEN=TOKEN) as address:
        async with http_page(browser, address) as dashboard:
            await expect(dashboard.find("#problem")).to_have_text("Enter the value of MCP_OLLAMA_HTTP_TOKEN.")
            await dashboard.find("#secret").fill("wrong")
            await dashboard.find("#enter").click()
            await expect(dashboard.find("#problem")).to_contain_text("This token is wrong. Enter the value")
            await expect(dashboard.find("#login")).to_be_visible()
            # As pasted from a text, with characters that no token has.
            await dashboard.find("#secret").fill(f"\u201c{TOKEN}\u201d")
            await dashboard.find("#secret").press("Enter")
            await expect(dashboard.find("#headline")).to_contain_text("6 models")
            await expect(dashboard.find("#login")).to_be_hidden()
            await expect(dashboard.find("#title")).to_be_focused()
