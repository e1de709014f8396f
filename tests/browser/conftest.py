"""A browser for the tests of the dashboard, which run only where `-m browser` asks for them."""

import os
from collections.abc import AsyncGenerator
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser

BROWSER = "/usr/bin/chromium-headless-shell"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests out unless they are asked for: they import Playwright, and need a browser."""
    asked = "browser" in str(config.getoption("markexpr"))
    return True if not asked and collection_path.name.startswith("test_") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests on one event loop, the browser's, and mark them."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if iscoroutinefunction(getattr(item, "obj", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator["Browser"]:
    """The browser that `BROWSER` names, else Debian's."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415

    expect.set_options(timeout=10_000)
    async with async_playwright() as playwright:
        # No sandbox of its own: as root it does not start with one, and it only opens the page of this folder.
        path = os.environ.get("BROWSER", BROWSER)
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()
