"""The health of the Ollama server: checks, and the fix of what is wrong."""

import re
import time
from collections.abc import Awaitable
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel

from mcp_ollama.models.app import App, build_client
from mcp_ollama.models.checks import Check, check_journal, look_further
from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.balancer import NAME_EACH
from mcp_ollama.ollama.errors import (
    OllamaAuthorizationError,
    OllamaConnectionError,
    OllamaError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import RunningModel
from mcp_ollama.settings import OllamaSettings

ResultT = TypeVar("ResultT")

OLDEST = (0, 6, 4)
"""The first version whose `/api/show` reports a model's capabilities."""


class Health(BaseModel):
    """The state of the Ollama server: `down` when it cannot be used at all."""

    status: Literal["ok", "degraded", "down"]
    base_url: str
    version: str | None = None
    latency_ms: float | None = None
    installed: int | None = None
    loaded: int | None = None
    checks: list[Check]


async def examine(app: App) -> Health:
    """Run all checks, without those that depend on one that failed."""
    report = Health(status="ok", base_url=app.settings.base_url, checks=[_address(app.settings)])
    started = time.perf_counter()
    try:
        report.version = sanitize(await _in_time(app, app.ollama.get_version()), 40)
    except OllamaError as error:
        report.checks += await _unreachable(app, error)
    else:
        report.latency_ms = round(1000 * (time.perf_counter() - started), 1)
        answered = f"It answers in {max(1, round(report.latency_ms)):,} ms."
        report.checks.append(Check(name="reachable", status="ok", detail=answered))
        report.checks.append(Check(name="is_ollama", status="ok", detail="It is an Ollama server."))
        report.checks.append(_version(report.version))
        await _contents(app, report)
        report.checks.append(await check_journal(app))
    if sign := app.ollama.balancer_sign:
        detail = f"Several Ollama servers answer at this address: {sign}. What is changed there changes one of them."
        report.checks.append(Check(name="balancer", status="warn", detail=detail, fix=NAME_EACH))
    # A model on the CPU is slow, but the server is well; without a GPU it is the only way.
    states = {check.status for check in report.checks if check.name != "memory"}
    report.status = "down" if "fail" in states else "degraded" if "warn" in states else "ok"
    return report


async def _contents(app: App, report: Health) -> None:
    ollama = app.ollama
    try:
        models = await _in_time(app, ollama.list_models())
        report.installed = len(models)
    except OllamaError as error:
        fix = error.next_step or "Ollama's own log says more."
        report.checks.append(Check(name="models", status="fail", detail=error.problem, fix=fix))
    else:
        running = await _running(app, report)
        report.checks += await look_further(app, models, running)
    try:
        await _in_time(app, ollama.check_openai_api())
    except OllamaError as error:
        fix = "Update Ollama, or let the proxy in front of it pass /v1 on."
        report.checks.append(Check(name="openai_api", status="warn", detail=error.problem, fix=fix))
    else:
        report.checks.append(Check(name="openai_api", status="ok", detail="The OpenAI-compatible API answers."))


async def _running(app: App, report: Health) -> list[RunningModel] | None:
    """Check what is loaded. A server may lack `/api/ps`, or a proxy refuse it: the others work without it."""
    installed = report.installed or 0
    try:
        running = await _in_time(app, app.catalog.running_now())
    except OllamaError as error:
        detail = f"{installed} installed; which are loaded is unknown: {error.problem}"
        fix = error.next_step or "Update Ollama, or let the proxy in front of it pass /api/ps on."
        report.checks.append(Check(name="models", status="warn", detail=detail, fix=fix))
        return None
    report.loaded = len(running)
    report.checks.append(_models(installed, report.loaded))
    return running


async def _in_time(app: App, request: Awaitable[ResultT]) -> ResultT:
    seconds = app.timeouts.check
    try:
        with anyio.fail_after(seconds):
            return await request
    except TimeoutError as error:
        raise OllamaTimeoutError(
            f"{app.settings.base_url} did not answer within {seconds:g} s.",
            "Check the address, and that no firewall stands in between; a busy server answers later.",
        ) from error


def _address(settings: OllamaSettings) -> Check:
    url = settings.base_url
    if (settings.plain_api_key() or settings.headers) and url.startswith("http:") and not is_loopback(url):
        return Check(
            name="address",
            status="warn",
            detail=f"{url}: the key or headers go over the network in clear text.",
            fix="Use https, or leave them out where the server needs none.",
        )
    return Check(name="address", status="ok", detail=url)


async def _unreachable(app: App, error: OllamaError) -> list[Check]:
    """Build the checks of a server that is unreachable, too slow, refusing, or not Ollama."""
    if isinstance(error, OllamaConnectionError):
        return [Check(name="reachable", status="fail", detail=error.problem, fix=error.next_step)]
    reachable = Check(name="reachable", status="ok", detail="Something answers.")
    fix = error.next_step
    if not isinstance(error, OllamaAuthorizationError) and (root := await _root_that_works(app.settings)):
        fix = f"Set MCP_OLLAMA_BASE_URL to {root}: Ollama answers there, without the path."
    return [reachable, Check(name="is_ollama", status="fail", detail=error.problem, fix=fix)]


async def _root_that_works(settings: OllamaSettings) -> str | None:
    parts = urlsplit(settings.base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    if not parts.path:
        return None
    async with build_client(settings, base_url=root) as client:
        return root if await client.is_running() else None


def _version(version: str) -> Check:
    numbers = tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:3])
    if numbers == (0, 0, 0) or len(numbers) < 3:
        return Check(name="version", status="ok", detail=f"{version}: a development build.")
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        detail = f"{version} is too old to report what its models can do: that began with {oldest}."
        return Check(name="version", status="warn", detail=detail, fix="Update Ollama: https://ollama.com/download.")
    return Check(name="version", status="ok", detail=version)


def _models(installed: int, loaded: int) -> Check:
    if installed:
        return Check(name="models", status="ok", detail=f"{installed} installed, {loaded} loaded.")
    fix = "Pull one: pull_model with llama3.2, or `ollama pull llama3.2`."
    return Check(name="models", status="warn", detail="No model is installed yet.", fix=fix)
