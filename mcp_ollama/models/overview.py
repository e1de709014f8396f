"""The server at a glance, as the dashboard opens: models by size, memory, transfers, and what may be done."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from mcp_ollama.models.all_transfers import list_transfers
from mcp_ollama.models.app import App
from mcp_ollama.models.formatting import format_bytes
from mcp_ollama.models.job import Transfer
from mcp_ollama.models.rows import is_loaded
from mcp_ollama.models.running import RunningRow, running_row
from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

MAX_MODELS = 20
MAX_CHARACTERS = 3_000
"""Of the whole answer: it reaches the model, too, where a client shows no dashboard."""


class OverviewModel(BaseModel):
    """An installed model in short; `loaded` is left out where `/api/ps` does not answer."""

    name: str
    size_bytes: int
    loaded: bool | None = None


class OverviewHost(BaseModel):
    """One of several hosts, and the tools with which a person may change something there."""

    host: str
    base_url: str
    actions: list[str]


class Overview(BaseModel):
    """The server at a glance; `actions` are the tools that the access tier allows, `error` why nothing is listed."""

    summary: str
    models: list[OverviewModel]
    running: list[RunningRow]
    transfers: list[Transfer]
    actions: list[str]
    base_url: str
    error: str | None = None
    hosts: list[OverviewHost] | None = None


async def read_overview(app: App, actions: Iterable[str], hosts: Sequence[OverviewHost] = ()) -> Overview:
    """Read what is installed and loaded; an Ollama server that does not answer is part of the answer.

    Args:
        app: The application.
        actions: Names of the tools with which a person may change something.
        hosts: All hosts, where there are several.
    """
    overview = Overview(
        summary="Ollama is unreachable.",
        models=[],
        running=[],
        transfers=(await list_transfers(app.transfers)).transfers,
        actions=list(actions),
        base_url=app.settings.base_url,
        hosts=list(hosts) or None,
    )
    try:
        installed, running = await app.catalog.installed_and_running()
    except OllamaError as error:
        overview.error = str(error)
    else:
        overview.models = [
            OverviewModel(
                name=one.name,
                size_bytes=one.size,
                loaded=is_loaded(one, running),
            )
            for one in sorted(installed, key=lambda one: -one.size)[:MAX_MODELS]
        ]
        overview.running = [running_row(one) for one in running or ()]
        overview.summary = _summary(installed, running)
    return _shortened(overview)


def _summary(installed: list[InstalledModel], running: list[RunningModel] | None) -> str:
    if not installed:
        return "No model is installed yet."
    total = sum({one.digest or one.name: one.size for one in installed if not one.remote_host}.values())
    models = "1 model" if len(installed) == 1 else f"{len(installed):,} models"
    memory = "which are in memory is unknown" if running is None else f"{len(running)} in memory"
    return f"{models}, {format_bytes(total)} on disk; {memory}."


def _shortened(overview: Overview) -> Overview:
    """Leave out the smallest models, then the last transfers and models in memory, until the answer is short."""
    for field in ("models", "transfers", "running"):
        rows = getattr(overview, field)
        while len(rows) > 1 and len(overview.model_dump_json(exclude_none=True)) > MAX_CHARACTERS:
            rows.pop()
    return overview
