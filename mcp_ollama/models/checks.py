"""The checks of `health` that look further than whether the server answers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import anyio
from pydantic import BaseModel

from mcp_ollama.models.app import App
from mcp_ollama.models.catalog import REPAIR
from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.formatting import join_limited
from mcp_ollama.models.free_memory import describe_free_memory
from mcp_ollama.models.lookup import find_named
from mcp_ollama.models.running import processor_of
from mcp_ollama.ollama.balancer import NAME_EACH
from mcp_ollama.ollama.errors import (
    InvalidModelName,
    ModelNotFoundError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

SHORT_CONTEXT = 4096
"""What Ollama gives a model on a machine with little video memory: an agent's instructions alone may fill it."""
MAX_NEW = 8
"""Models not looked at yet that one call asks about: health costs a handful of requests."""
_DAMAGE = (400, 500)
"""With these, or as not found, Ollama itself refuses to show a damaged model; other statuses come from a proxy."""
RECENT_SECONDS = 60
"""How long an answer of the registry is proof that it can be reached."""
_OFF = "Transfers are not written down (MCP_OLLAMA_STATE_DIR=off): the end of this process ends them."
_ASKED_FOR = ModelName.parse("llama3.2")


class Check(BaseModel):
    """One check, with the fix of what is wrong."""

    name: str
    status: Literal["ok", "warn", "fail", "unknown"]
    detail: str
    fix: str | None = None


async def look_further(
    app: App, models: Sequence[InstalledModel], running: Sequence[RunningModel] | None
) -> list[Check]:
    """Run the further checks side by side, each for a few seconds."""
    slow: dict[str, Callable[[], Awaitable[Check]]] = {
        "registry": lambda: _registry(app),
        "cloud": lambda: _cloud(app, models),
        "damaged": lambda: _damaged(app, models),
        "memory": lambda: _memory(app, models, running),
    }
    found = {name: _too_slow(name) for name in slow}

    async def look(name: str) -> None:
        with anyio.move_on_after(app.timeouts.health_extra):
            found[name] = await slow[name]()

    # The memory last: it rests on a model that the check of damaged ones has read.
    await for_each([name for name in slow if name != "memory"], look)
    await look("memory")
    context = _unlisted("context") if running is None else _context(models, running)
    return [found["registry"], found["memory"], context, found["cloud"], found["damaged"]]


def _unlisted(name: str, more: str = "") -> Check:
    detail = f"Which models are loaded could not be read.{more}"
    return Check(name=name, status="unknown", detail=detail, fix="See the check models.")


def _too_slow(name: str) -> Check:
    detail = "There was no answer in the few seconds that health takes."
    return Check(name=name, status="unknown", detail=detail, fix="Call again when the server is less busy.")


async def _registry(app: App) -> Check:
    host = _ASKED_FOR.host
    try:
        if not app.registry.has_answered(host, within=RECENT_SECONDS):
            await app.registry.get_manifest(_ASKED_FOR)
    except OllamaConnectionError as error:
        return Check(
            name="registry",
            # The server has an internet access and a proxy of its own, even on the same machine.
            status="unknown",
            detail=f"{error.problem} The server itself may reach it.",
            fix="If pulls fail, check the internet access of the server (name look-up, proxy).",
        )
    except OllamaError:
        # It has answered, whatever it says of that model.
        pass
    return Check(name="registry", status="ok", detail=f"{host} answers.")


async def _memory(app: App, models: Sequence[InstalledModel], running: Sequence[RunningModel] | None) -> Check:
    free = await describe_free_memory(app, list(models))
    if running is None:
        return _unlisted("memory", f" {free}")
    places = {"cpu": "wholly", "mixed": "partly"}
    slow = [f"{_shown(one)} ({places[place]})" for one in running if (place := processor_of(one)) in places]
    if not slow:
        return Check(name="memory", status="ok", detail=f"No loaded model runs on the CPU. {free}")
    fix = (
        "Use a smaller model or quantization, a shorter context, or unload_model others; without a GPU this is normal."
    )
    return Check(name="memory", status="warn", detail=f"On the CPU, and so slow: {join_limited(slow)}. {free}", fix=fix)


def _context(models: Sequence[InstalledModel], running: Sequence[RunningModel]) -> Check:
    short = [
        f"{_shown(one)} ({one.context_length:,} of {trained:,} tokens)"
        for one in running
        if 0 < one.context_length <= SHORT_CONTEXT < (trained := _trained(one, models))
    ]
    if not short:
        return Check(name="context", status="ok", detail="No loaded model has a context cut short.")
    fix = "Set OLLAMA_CONTEXT_LENGTH on the server, or make a variant with create_model and the parameter num_ctx."
    detail = f"Loaded with a short context, in which agents lose their instructions: {join_limited(short)}."
    return Check(name="context", status="warn", detail=detail, fix=fix)


def _trained(one: RunningModel, models: Sequence[InstalledModel]) -> int:
    found = find_named(one.name, models)
    return found.details.context_length if found else 0


async def _cloud(app: App, models: Sequence[InstalledModel]) -> Check:
    remote = [_shown(one) for one in models if one.remote_host]
    try:
        disabled = await app.ollama.is_cloud_disabled()
    except OllamaStatusError as error:
        detail = "This server does not report whether cloud models are disabled."
        fix = "Update Ollama to 0.16.2 or later." if error.status_code == 404 else error.problem
        return Check(name="cloud", status="unknown", detail=detail, fix=fix)
    except OllamaError as error:
        return Check(name="cloud", status="unknown", detail=error.problem, fix=error.next_step or "Call again.")
    if disabled and remote:
        fix = "Enable the cloud in Ollama's settings (or unset OLLAMA_NO_CLOUD), or delete_model them."
        detail = f"Cloud models are disabled on this server, but installed: {join_limited(remote)}."
        return Check(name="cloud", status="warn", detail=detail, fix=fix)
    return Check(name="cloud", status="ok", detail=f"Cloud models are {'disabled' if disabled else 'enabled'}.")


async def _damaged(app: App, models: Sequence[InstalledModel]) -> Check:
    local = [one for one in models if not one.remote_host]
    new = [one for one in local if not app.catalog.is_known(one)][:MAX_NEW]
    damaged: list[str] = []
    refusals: list[OllamaError] = []

    async def look(model: InstalledModel) -> None:
        try:
            await app.catalog.info(model)
        except (ModelNotFoundError, OllamaResponseError, InvalidModelName):
            damaged.append(_shown(model))
        except OllamaError as error:
            if isinstance(error, OllamaStatusError) and error.status_code in _DAMAGE:
                damaged.append(_shown(model))
            else:
                refusals.append(error)

    await for_each(new, look)
    seen = sum(_shown(one) in damaged or app.catalog.is_known(one) for one in local)
    looked = f"{seen} of {len(local)} looked at"
    if damaged:
        detail = f"Listed, but not usable, {looked}: {join_limited(sorted(damaged))}."
        fix = NAME_EACH if app.ollama.balancer_sign else REPAIR
        return Check(name="damaged", status="warn", detail=detail, fix=fix)
    if refusals:
        detail = f"Whether models are damaged is unknown: {refusals[0].problem}"
        fix = refusals[0].next_step or "Let the proxy in front of it pass /api/show on."
        return Check(name="damaged", status="warn", detail=detail, fix=fix)
    return Check(name="damaged", status="ok", detail=f"Every model can be shown, {looked}.")


async def check_journal(app: App) -> Check:
    """Check the journal of transfers and the turns of processes, without creating either."""
    await app.shared.journal.entries()
    if problem := app.shared.problem:
        detail, _, fix = problem.partition(". ")
        return Check(name="journal", status="warn", detail=f"{detail}.", fix=fix)
    return Check(name="journal", status="ok", detail="Transfers are written down." if app.shared.is_kept else _OFF)


def _shown(model: InstalledModel | RunningModel) -> str:
    return sanitize(model.name, 100)
