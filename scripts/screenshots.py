"""Take the pictures of the dashboard from the real page, over the simulated Ollama of `--demo`.

`docs/dashboard-light.png` and `docs/dashboard-dark.png`: two models in memory, a download in progress, an update.
"""

import asyncio
import os
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.conftest import BROWSER
from tests.browser.panel import Panel, demo, panel

DOCS = Path(__file__).resolve().parent.parent / "docs"
THEMES = ("light", "dark")
WIDTH = 680
MAX_BYTES = 200_000
FONTS = {"--font-sans": "Inter, system-ui, sans-serif"}
"""What a client would set; without it the picture has the font of the machine that takes it."""


async def take() -> None:
    """Take all pictures."""
    async with async_playwright() as playwright:
        path = os.environ.get("BROWSER", BROWSER)
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for theme in THEMES:
            print(await _picture(browser, theme))
        await browser.close()


async def _picture(browser: Browser, theme: str) -> str:
    context = {"theme": theme, "locale": "en-GB", "timeZone": "UTC", "styles": {"variables": FONTS}}
    path = DOCS / f"dashboard-{theme}.png"
    async with panel(browser, demo(), context=context, width=WIDTH, scale=1.25) as dashboard:
        await _stage(dashboard)
        height = await dashboard.find("main").evaluate("main => main.offsetHeight")
        await dashboard.page.set_viewport_size({"width": WIDTH, "height": height})
        await dashboard.page.mouse.move(0, 0)
        await dashboard.page.screenshot(path=path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path.name} has {size:,} bytes: more than {MAX_BYTES:,} are too many for a README.")
    return f"docs/{path.name}: {size:,} bytes"


async def _stage(dashboard: Panel) -> None:
    for name in ("qwen3:8b", "nomic-embed-text:latest"):
        await dashboard.button("Load", name).click()
        await expect(dashboard.button("Unload", name).first).to_be_visible()
    await dashboard.find("#updates").click()
    await expect(dashboard.button("Update", "gemma3:4b")).to_be_visible()
    assert dashboard.client
    await dashboard.client.call_tool("pull_model", {"model": "llama3.2:1b", "wait_seconds": 0})
    await dashboard.find("#refresh").click()
    await expect(dashboard.row("llama3.2:1b", "downloads")).to_contain_text("left")


if __name__ == "__main__":
    asyncio.run(take())
