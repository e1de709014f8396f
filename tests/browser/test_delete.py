"""The dashboard inside a client: a model is deleted only after the page has asked, however the server asks."""

from typing import Any

from mcp.types import ElicitRequestParams, ElicitResult
from playwright.async_api import Browser, expect

from mcp_ollama.simulator import RunningSimulator
from tests.browser.panel import Panel, over, panel
from tests.support.children import until
from tests.support.client import Era

NAME = "llama3.2:3b"


def user(action: str, asked: list[str]) -> Any:
    """Build a client's user who answers every question in one way."""

    async def answer(_: object, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        content = {"confirm": True} if action == "accept" else None
        return ElicitResult.model_validate({"action": action, "content": content})

    return answer


def digest(running: RunningSimulator) -> str:
    """Return the digest as the tools shorten it."""
    return running.simulator.model(NAME).manifest.digest.removeprefix("sha256:")[:12]


async def press_delete(dashboard: Panel) -> None:
    """Press the button of the model, then the one of the question."""
    await dashboard.button("Delete", NAME).click()
    await dashboard.find("#remove").click()


async def test_delete_with_a_token_asks_once_and_deletes(browser: Browser, running: RunningSimulator, era: Era):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    size = "2.0 GB"
    async with panel(browser, over(running), era) as dashboard:
        await dashboard.button("Delete", NAME).click()
        question = f"Delete {NAME} ({digest(running)}), which frees {size}? This cannot be undone."
        await expect(dashboard.find("#question")).to_have_text(question)
        await expect(dashboard.find("#keep")).to_be_focused()
        assert dashboard.called("delete_model") == []
        await dashboard.find("#remove").click()
        await expect(dashboard.find("#status")).to_have_text(f"{NAME}: deleted, {size} freed")
        await expect(dashboard.find("#headline")).to_have_text("No models installed")
        await expect(dashboard.find("#title")).to_be_focused()
        first, second = dashboard.called("delete_model")
        assert first == {"model": NAME}
        assert second["confirm"]
        assert not running.simulator.is_installed(NAME)


async def test_delete_through_the_client_asks_its_user_too(browser: Browser, running: RunningSimulator, era: Era):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    asked: list[str] = []
    async with panel(browser, over(running), era, user=user("accept", asked)) as dashboard:
        await press_delete(dashboard)
        await expect(dashboard.find("#status")).to_contain_text("deleted")
        assert len(asked) == 1
        assert digest(running) in asked[0] if running.simulator.is_installed(NAME) else NAME in asked[0]
        assert dashboard.called("delete_model") == [{"model": NAME}]
        assert not running.simulator.is_installed(NAME)


async def test_delete_that_the_user_of_the_client_declines_keeps_the_model(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    asked: list[str] = []
    async with panel(browser, over(running), user=user("decline", asked)) as dashboard:
        await press_delete(dashboard)
        await expect(dashboard.row(NAME).locator(".bad")).to_contain_text("nothing was deleted")
        assert running.simulator.is_installed(NAME)


async def test_delete_kept_by_escape_or_button_calls_nothing(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        for leave in (dashboard.page.keyboard.press("Escape"), dashboard.page.keyboard.press("Enter")):
            await dashboard.button("Delete", NAME).click()
            await expect(dashboard.find("#keep")).to_be_focused()
            await leave
            await expect(dashboard.find("dialog")).to_be_hidden()
            await expect(dashboard.button("Delete", NAME)).to_be_focused()
        assert dashboard.called("delete_model") == []


async def test_delete_of_a_server_that_never_asks_is_asked_by_the_page(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    async with panel(browser, over(running, MCP_OLLAMA_CONFIRM_DELETE="false")) as dashboard:
        await dashboard.button("Delete", NAME).click()
        await expect(dashboard.find("#question")).to_contain_text("which frees 2.0 GB")
        assert dashboard.called("delete_model") == []
        assert running.simulator.is_installed(NAME)
        await dashboard.find("#remove").click()
        await expect(dashboard.find("#status")).to_contain_text("deleted")
        assert len(dashboard.called("delete_model")) == 1


async def test_delete_with_other_facts_asks_again_in_the_words_of_the_server(
    browser: Browser, running: RunningSimulator
):
    running.simulator.install(NAME, size_bytes=2_000_000_000, weights="same")
    # Another digest with the same weights, which the list of models does not show.
    running.simulator.install("variant", size_bytes=2_000_000_000, weights="same", system="Be brief.")
    async with panel(browser, over(running)) as dashboard:
        await press_delete(dashboard)
        await expect(dashboard.find("#question")).to_contain_text("The server asks whether to delete llama3.2:3b")
        await expect(dashboard.find("#question")).to_contain_text("frees nothing, since variant:latest keeps the same")
        await dashboard.find("#keep").click()
        await expect(dashboard.row(NAME)).to_have_attribute("aria-busy", "false")
        assert running.simulator.is_installed(NAME)
        await press_delete(dashboard)
        await dashboard.find("#remove").click()
        await expect(dashboard.find("#status")).to_contain_text(f"{NAME}: deleted")
        assert not running.simulator.is_installed(NAME)


async def test_delete_of_a_copy_says_that_nothing_becomes_free(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000)
    running.simulator.copy(NAME, "assistant")
    async with panel(browser, over(running)) as dashboard:
        await dashboard.button("Delete", NAME).click()
        await expect(dashboard.find("#question")).to_contain_text(
            "nothing, since assistant:latest has the same weights"
        )
        await dashboard.find("#remove").click()
        await expect(dashboard.find("#status")).to_have_text(f"{NAME}: deleted")
        assert running.simulator.is_installed("assistant")


async def test_delete_asks_one_question_after_the_other(browser: Browser, running: RunningSimulator):
    running.simulator.install(NAME, size_bytes=2_000_000_000, weights="same")
    running.simulator.install("variant", size_bytes=2_000_000_000, weights="same", system="Be brief.")
    running.simulator.install("other:1b", size_bytes=1_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.button("Delete", "other:1b")).to_be_visible()
        running.simulator.delay("/api/tags", 1)
        await press_delete(dashboard)
        await dashboard.button("Delete", "other:1b").click()
        # The second question of the first delete arrives now, and has to wait.
        await until(lambda: "confirmation" in (dashboard.results[-1].structured_content or {}))
        await expect(dashboard.find("#question")).to_contain_text("Delete other:1b")
        await dashboard.find("#remove").click()
        await expect(dashboard.find("#question")).to_contain_text(f"The server asks whether to delete {NAME}")
        await dashboard.find("#keep").click()
        await expect(dashboard.row("other:1b")).to_have_count(0)
        assert running.simulator.is_installed(NAME)


async def test_delete_of_a_model_that_is_gone_removes_its_row(browser: Browser, running: RunningSimulator):
    gone = running.simulator.install(NAME, size_bytes=2_000_000_000)
    async with panel(browser, over(running)) as dashboard:
        await expect(dashboard.button("Delete", NAME)).to_be_visible()
        running.simulator.library.remove(gone)
        await press_delete(dashboard)
        await expect(dashboard.row(NAME)).to_have_count(0)
        await expect(dashboard.find("#status")).to_contain_text(f"The model {NAME} is not installed.")
