"""The dashboard as the page of `--http`, over the real command."""

import os
import re
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from playwright.async_api import Browser, Request, Route

from tests.browser.panel import Panel, note_problems
from tests.support.wire import Wire


@contextmanager
def served(**variables: str) -> Generator[str]:
    """Start `--http` over the simulated Ollama of `--demo`, and yield its address."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "SYSTEMROOT")}
    command = [sys.executable, "-m", "mcp_ollama", "--demo", "--http", "0"]
    with Wire(command, env=kept | variables) as wire:
        wire.hear("/\n", timeout=30)
        found = re.search(r"Dashboard at (http://.*)/\n", wire.errors)
        assert found
        yield found[1]


@asynccontextmanager
async def http_page(browser: Browser, address: str, fragment: str = "") -> AsyncGenerator[Panel]:
    """Open the page; requests to any other address are aborted and fail the test."""
    context = await browser.new_context()
    page = await context.new_page()
    opened = Panel(page=page, frame=page)

    async def serve(route: Route, request: Request) -> None:
        if not request.url.startswith(f"{address}/"):
            opened.outside.append(request.url)
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/*", serve)
    note_problems(opened)
    await page.goto(f"{address}/{fragment}")
    try:
        yield opened
    finally:
        await context.close()
    assert opened.outside == []
