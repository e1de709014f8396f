"""The dashboard in a real browser: inside a client with MCP Apps, or as the page of `--http`.

The client is the official AppBridge. Its calls reach the real server process through the SDK's client, so that both
protocol eras are tested with the same page. Nothing but the files of this folder is served to the browser.
"""

import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult
from playwright.async_api import Browser, ConsoleMessage, FrameLocator, Locator, Page, Request, Route

from mcp_ollama.simulator import RunningSimulator
from tests.support.client import Era

FOLDER = Path(__file__).parent
HTML = files("mcp_ollama").joinpath("server", "dashboard.html").read_text(encoding="utf-8")
HOST_SCRIPT = FOLDER / "node_modules" / ".host.js"
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
SANDBOX_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' data:; connect-src 'none'"
)
"""What the specification (2026-01-26) demands of a client for a page that names no domains."""
SERVED = {
    "http://host.test/": ("text/html", FOLDER / "host.html", ""),
    "http://host.test/host.js": ("text/javascript", HOST_SCRIPT, ""),
    "http://sandbox.test/": ("text/html", FOLDER / "sandbox.html", SANDBOX_POLICY),
}
TEST_SECONDS = 90
"""Longer than any test takes, on a busy machine, too; a page that hangs fails instead of blocking the run."""


@dataclass(slots=True, kw_only=True)
class Panel:
    """An open dashboard: the browser's page, the frame that holds the dashboard, and what was observed."""

    page: Page
    frame: Page | FrameLocator
    client: Client | None = None
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[tuple[str, Mapping[str, Any]]])
    results: list[CallToolResult] = field(default_factory=list[CallToolResult])
    outside: list[str] = field(default_factory=list[str])
    """Addresses that the page asked for and should not have."""
    problems: list[str] = field(default_factory=list[str])
    """Errors of the console and of scripts."""

    def find(self, selector: str) -> Locator:
        """Return what a CSS selector finds in the dashboard."""
        return self.frame.locator(selector)

    def row(self, name: str, section: str = "installed") -> Locator:
        """Return the row of a model; the name is matched as it is shown, as a whole."""
        exact = re.compile(f"^{re.escape(name)}$")
        return self.find(f"#{section} li").filter(has=self.page.locator("bdi", has_text=exact))

    def button(self, word: str, name: str) -> Locator:
        """Return the visible button of a model, by what a screen reader announces."""
        return self.frame.get_by_role("button", name=f"{word} {name}", exact=True)

    def called(self, tool: str) -> list[Mapping[str, Any]]:
        """Return the arguments of all calls of a tool so far."""
        return [arguments for name, arguments in self.calls if name == tool]

    async def overflow(self) -> float:
        """Return by how many pixels the dashboard is wider than its frame."""
        script = "body => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return await self.find("body").evaluate(script)

    async def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the dashboard, as `rule: element`."""
        await self.find("body").evaluate("(_, source) => { (0, eval)(source) }", AXE.read_text(encoding="utf-8"))
        found = await self.find("body").evaluate("async () => (await axe.run(document)).violations")
        return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def demo(*flags: str) -> StdioServerParameters:
    """Build the command of a server over the simulated Ollama of `--demo`, which is its registry, too."""
    return StdioServerParameters(command=sys.executable, args=["-m", "mcp_ollama", "--demo", *flags], env=environment())


def over(ollama: RunningSimulator, **variables: str) -> StdioServerParameters:
    """Build the command of a server over a simulator of the test; the variables are settings."""
    own = {
        "MCP_OLLAMA_BASE_URL": ollama.base_url,
        "MCP_OLLAMA_REGISTRIES": ollama.base_url.removeprefix("http://"),
        "MCP_OLLAMA_STATE_DIR": "off",
    }
    return StdioServerParameters(command=sys.executable, args=["-m", "mcp_ollama"], env=environment() | own | variables)


def environment() -> dict[str, str]:
    """Return the variables that every server process needs."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "SYSTEMROOT")}


@asynccontextmanager
async def panel(
    browser: Browser,
    server: StdioServerParameters,
    era: Era = "auto",
    *,
    user: Any = None,
    capabilities: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    width: int = 560,
    scale: float = 1,
    result: bool = True,
) -> AsyncGenerator[Panel]:
    """Open the dashboard inside a client.

    Args:
        browser: Where.
        server: Command of the server process.
        era: Protocol era between client and server.
        user: Elicitation callback; without one the client cannot ask its user.
        capabilities: Of the client, towards the page; by default it calls tools.
        context: `hostContext` of the client.
        width: Of the window in pixels.
        scale: Device pixels per pixel.
        result: Whether the client delivers the result of `open_dashboard`.
    """
    with anyio.fail_after(TEST_SECONDS):
        async with (
            Client(stdio_client(server), mode=era, elicitation_callback=user) as client,
            _page(browser, width, scale) as page,
        ):
            opened = Panel(page=page, frame=page.frame_locator("iframe").frame_locator("iframe"), client=client)
            await _watch(opened)
            # Playwright leaves the type of the context manager open that it returns.
            await page.expose_function("callTool", _caller(opened))  # pyright: ignore[reportUnknownMemberType]
            await page.goto("http://host.test/")
            given: dict[str, Any] = {
                "html": HTML,
                "capabilities": {"serverTools": {}} if capabilities is None else capabilities,
                "context": context or {},
                "result": _dumped(await client.call_tool("open_dashboard")) if result else None,
            }
            await page.evaluate("options => openPanel(options)", given)
            yield opened
            assert opened.outside == []
            assert opened.problems == []


def _caller(panel: Panel) -> Any:
    async def call_tool(params: dict[str, Any]) -> dict[str, Any]:
        name, arguments = params["name"], params.get("arguments", {})
        panel.calls.append((name, arguments))
        assert panel.client
        result = await panel.client.call_tool(name, arguments)
        panel.results.append(result)
        return _dumped(result)

    return call_tool


def _dumped(result: CallToolResult) -> dict[str, Any]:
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


@asynccontextmanager
async def _page(browser: Browser, width: int, scale: float = 1) -> AsyncGenerator[Page]:
    context = await browser.new_context(viewport={"width": width, "height": 800}, device_scale_factor=scale)
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def _watch(panel: Panel) -> None:
    """Serve the files of this folder, abort every other request, and record what goes wrong."""

    async def serve(route: Route, request: Request) -> None:
        if request.url not in SERVED:
            panel.outside.append(request.url)
            await route.abort()
            return
        kind, path, policy = SERVED[request.url]
        headers = {"content-security-policy": policy} if policy else {}
        await route.fulfill(path=path, content_type=kind, headers=headers)

    await panel.page.route("**/*", serve)
    note_problems(panel)


def note_problems(panel: Panel) -> None:
    """Record errors of the console and of scripts."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            panel.problems.append(message.text)

    panel.page.on("console", note)
    panel.page.on("pageerror", lambda error: panel.problems.append(str(error)))
