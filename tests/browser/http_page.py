"""The dashboard as the page of `--http`, over the real command."""

import base64
import hashlib
import os
import re
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from playwright.async_api import Browser, Request, Route

from tests.browser.overview import CHANGING
from tests.browser.panel import HTML, Panel, note_problems
from tests.wire import Wire


def policy() -> str:
    """Build the Content-Security-Policy of the page, with the hashes of its script and style."""
    script, style = (_hash(re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", HTML, re.DOTALL)) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def _hash(found: re.Match[str] | None) -> str:
    assert found
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"


@contextmanager
def served(**variables: str) -> Generator[str]:
    """Start `--http` over the simulated Ollama of `--demo`, and yield its address."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "SYSTEMROOT")}
    command = [sys.executable, "-m", "mcp_ollama", "--demo", "--http", "0"]
    with Wire(command, env=kept | variables) as wire:
        wire.hear("/mcp\n", timeout=30)
        found = re.search(r"Serving on (http://.*)/mcp\n", wire.errors)
        assert found
        yield found[1]


@asynccontextmanager
async def http_page(browser: Browser, address: str, fragment: str = "", token: str = "") -> AsyncGenerator[Panel]:
    """Open the page; requests to any other address are aborted and fail the test."""
    context = await browser.new_context()
    shown = f"Bearer {token}" if token else None
    page = await context.new_page()
    opened = Panel(page=page, frame=page)

    async def serve(route: Route, request: Request) -> None:
        if not request.url.startswith(f"{address}/"):
            opened.outside.append(request.url)
            await route.abort()
        elif request.url == f"{address}/":
            await route.fulfill(body=HTML, content_type="text/html", headers={"content-security-policy": policy()})
        elif request.headers.get("mcp-name") == "open_dashboard" and request.headers.get("authorization") == shown:
            data = {"summary": "", "actions": CHANGING, "base_url": address}
            result: dict[str, Any] = {"content": [], "structuredContent": data}
            await route.fulfill(json={"jsonrpc": "2.0", "id": 1, "result": result})
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
