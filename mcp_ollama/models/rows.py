"""Rows of installed models in lists."""

from collections.abc import Collection

from pydantic import BaseModel

from mcp_ollama.models.facts import Facts, capabilities_of
from mcp_ollama.models.formatting import format_timestamp
from mcp_ollama.models.lookup import find_running
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

MAX_REMEMBERED = 5000
"""Models of one server of which something is remembered."""
MAX_WORD = 80
"""Characters of a field that holds a word or two in real models, but anything in a hostile one."""


class ModelRow(BaseModel):
    """An installed model. `context_length` is what it was trained for, in tokens."""

    name: str
    size_bytes: int
    modified_at: str | None = None
    digest: str
    family: str | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    capabilities: list[str]
    loaded: bool | None = None
    remote: bool


class Rows:
    """Builder of rows, which keeps each while all that it is built from stays the same.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._kept: dict[str, tuple[InstalledModel, Facts | None, ModelRow]] = {}

    def row(self, model: InstalledModel, facts: Facts | None, running: Collection[RunningModel] | None) -> ModelRow:
        """Return the row of a model, which no caller may change; arguments as of `model_row`."""
        loaded = is_loaded(model, running)
        kept = self._kept.get(model.name)
        if kept and kept[0] is model and kept[1] is facts and kept[2].loaded is loaded:
            return kept[2]
        row = _build_row(model, facts, loaded=loaded)
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[model.name] = model, facts, row
        return row


def model_row(model: InstalledModel, facts: Facts | None, running: Collection[RunningModel] | None) -> ModelRow:
    """Build the row of a model.

    Args:
        model: Its row of `/api/tags`.
        facts: What `/api/show` said; None where it could not be read.
        running: The loaded models; None where `/api/ps` could not be read.
    """
    return _build_row(model, facts, loaded=is_loaded(model, running))


def _build_row(model: InstalledModel, facts: Facts | None, *, loaded: bool | None) -> ModelRow:
    return ModelRow(
        name=model.name,
        size_bytes=model.size,
        modified_at=format_timestamp(model.modified_at),
        digest=model.digest[:12],
        family=bounded_word(model.details.family),
        parameter_size=bounded_word(model.details.parameter_size),
        quantization=bounded_word(model.details.quantization_level),
        context_length=(facts.context_length if facts else None) or model.details.context_length or None,
        capabilities=capabilities_of(model, facts),
        loaded=loaded,
        remote=bool(model.remote_host),
    )


def is_loaded(model: InstalledModel, running: Collection[RunningModel] | None) -> bool | None:
    """Return whether a model is among the loaded ones; None where `/api/ps` could not be read."""
    return None if running is None else bool(find_running(model, running))


def bounded_word(text: str) -> str | None:
    """Return a short field of a model, cut at `MAX_WORD`; None when it is empty."""
    return text[:MAX_WORD] or None
