"""Whether the Ollama server is well, and how to mend it when it is not."""

import re
import time
from collections.abc import Awaitable
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel

from mcp_ollama.context import App, Call, app_of
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    OllamaAuthorizationError,
    OllamaConnectionError,
    OllamaError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.hosts import is_loopback
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.tools.spec import ToolSpec

ResultT = TypeVar("ResultT")

CHECK_SECONDS = 8.0
"""For one request: four of them stay under the 40 s in which every tool answers."""

OLDEST = (0, 6, 4)
"""The first version whose `/api/show` tells a model's capabilities."""


class Check(BaseModel):
    """One thing that was looked at, and how to mend it."""

    name: str
    status: Literal["ok", "warn", "fail", "unknown"]
    detail: str
    fix: str | None = None


class Health(BaseModel):
    """The state of the Ollama server: `down` when it cannot be used at all."""

    status: Literal["ok", "degraded", "down"]
    base_url: str
    version: str | None = None
    latency_ms: float | None = None
    installed: int | None = None
    loaded: int | None = None
    checks: list[Check]


async def health(call: Call) -> Health:
    """Check the Ollama server: reachable, really Ollama, its version and models; says how to mend what is wrong.

    Use it when another tool fails, or to see at a glance what is there. It never fails itself.
    """
    app = app_of(call)
    return await examine(app)


async def examine(app: App) -> Health:
    """Make all checks; those that rest on one that failed are left out."""
    report = Health(status="ok", base_url=app.settings.base_url, checks=[_address(app.settings)])
    started = time.perf_counter()
    try:
        report.version = await _in_time(app.ollama.get_version())
    except OllamaError as error:
        report.checks += await _unreachable(app.settings, error)
    else:
        report.latency_ms = round(1000 * (time.perf_counter() - started), 1)
        report.checks.append(Check(name="reachable", status="ok", detail=f"It answers in {report.latency_ms} ms."))
        report.checks.append(Check(name="is_ollama", status="ok", detail="It is an Ollama server."))
        report.checks.append(_version(report.version))
        await _contents(app.ollama, report)
    states = {check.status for check in report.checks}
    if report.version is None:
        report.status = "down"
    elif states & {"warn", "fail"}:
        report.status = "degraded"
    return report


async def _contents(ollama: OllamaClient, report: Health) -> None:
    try:
        report.installed = len(await _in_time(ollama.list_models()))
        report.loaded = len(await _in_time(ollama.list_running_models()))
    except OllamaError as error:
        report.checks.append(Check(name="models", status="fail", detail=error.problem, fix=error.next_step or None))
    else:
        report.checks.append(_models(report.installed, report.loaded))
    try:
        await _in_time(ollama.check_openai_api())
    except OllamaError as error:
        fix = "Update Ollama, or let the proxy in front of it pass /v1 on."
        report.checks.append(Check(name="openai_api", status="warn", detail=error.problem, fix=fix))
    else:
        report.checks.append(Check(name="openai_api", status="ok", detail="The OpenAI-compatible API answers."))


async def _in_time(request: Awaitable[ResultT]) -> ResultT:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            return await request
    except TimeoutError as error:
        raise OllamaTimeoutError(f"It did not answer within {CHECK_SECONDS:g} s.", "Try again later.") from error


def _address(settings: OllamaSettings) -> Check:
    url = settings.base_url
    if settings.plain_api_key() and url.startswith("http:") and not is_loopback(url):
        return Check(
            name="address",
            status="warn",
            detail=f"{url}: the key goes over the network in clear text.",
            fix="Use https, or leave the key out where the server needs none.",
        )
    return Check(name="address", status="ok", detail=url)


async def _unreachable(settings: OllamaSettings, error: OllamaError) -> list[Check]:
    """Say why nothing usable answers: nobody there, too slow, refused, or not Ollama."""
    if isinstance(error, OllamaConnectionError):
        return [Check(name="reachable", status="fail", detail=error.problem, fix=error.next_step)]
    reachable = Check(name="reachable", status="ok", detail="Something answers.")
    fix = error.next_step
    if not isinstance(error, OllamaAuthorizationError) and (root := await _root_that_works(settings)):
        fix = f"Set MCP_OLLAMA_BASE_URL to {root}: Ollama answers there, without the path."
    return [reachable, Check(name="is_ollama", status="fail", detail=error.problem, fix=fix)]


async def _root_that_works(settings: OllamaSettings) -> str | None:
    parts = urlsplit(settings.base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    if not parts.path:
        return None
    async with OllamaClient(root, api_key=settings.plain_api_key(), headers=settings.plain_headers()) as client:
        return root if await client.is_running() else None


def _version(version: str) -> Check:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers == (0, 0, 0) or len(numbers) < 3:
        return Check(name="version", status="ok", detail=f"{version}: a development build.")
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        detail = f"{version} is too old to tell what its models can do: that began with {oldest}."
        return Check(name="version", status="warn", detail=detail, fix="Update Ollama: https://ollama.com/download.")
    return Check(name="version", status="ok", detail=version)


def _models(installed: int, loaded: int) -> Check:
    if installed:
        return Check(name="models", status="ok", detail=f"{installed} installed, {loaded} loaded.")
    fix = "Pull one: pull_model with llama3.2, or `ollama pull llama3.2`."
    return Check(name="models", status="warn", detail="No model is installed yet.", fix=fix)


TOOLS = (ToolSpec(run=health, title="Check the Ollama server", read_only=True, idempotent=True),)
