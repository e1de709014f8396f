"""Installed models as tools and resources show them: a row of a list, and a card of one model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.facts import (
    Facts,
    capabilities_of,
    configured_context,
    effective_context,
    facts_of,
    license_name,
    needs_show,
    parameter_count,
    parse_parameters,
)
from mcp_ollama.models.fit import MemoryReport
from mcp_ollama.models.formatting import join_limited
from mcp_ollama.models.lookup import find_running
from mcp_ollama.models.pages import fit_rows
from mcp_ollama.models.rows import ModelRow, bounded_word, model_row
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel

DEFAULT_LIMIT = 25
"""Rows of a page when the call does not say; their page also ends early, see `fit_rows`."""
MAX_TEXT = 8_000
"""Characters of a model's own text (licence, template, …) in one answer."""
MAX_PARAMETERS = 1_000
"""Characters of a model's parameters in one answer; real ones have a few hundred."""

Text = Literal["modelfile", "template", "system", "license", "messages", "model_info"]
Order = Literal["modified", "size", "name"]


class ModelList(BaseModel):
    """A page of the installed models; `total_size_bytes` counts each digest once."""

    models: list[ModelRow]
    total_count: int
    matched_count: int
    next_offset: int | None = None
    total_size_bytes: int
    next_step: str | None = None


class ModelCard(ModelRow):
    """One model. The context lengths are in tokens: trained, set by its own num_ctx, and as loaded now."""

    parameter_count: int | None = None
    configured_context_length: int | None = None
    loaded_context_length: int | None = None
    parameters: dict[str, str | list[str]]
    license_name: str | None = None
    requires: str | None = None
    parent_model: str | None = None
    remote_host: str | None = None
    texts: dict[str, str] | None = None
    memory: MemoryReport | None = None


@dataclass(frozen=True, slots=True)
class ShownModel:
    """The data of one installed model: its rows of `/api/tags` and `/api/ps`, and `/api/show`.

    `running` is None where `/api/ps` could not be read.
    """

    model: InstalledModel
    info: ModelInfo
    running: list[RunningModel] | None


@dataclass(frozen=True, slots=True)
class Selection:
    """The installed models that a list is about, in its order.

    Args:
        catalog: The models of the server.
        models: All of them.
        matched: Those that match.
        running: The loaded models; None where that is unknown.
        facts: What `/api/show` said, by digest, where the selection had to ask it.
        note: The `next_step` of the list.
    """

    catalog: Catalog
    models: list[InstalledModel]
    matched: list[InstalledModel]
    running: list[RunningModel] | None
    facts: Mapping[str, Facts | None]
    note: str | None

    async def page(self, limit: int, offset: int = 0, *, is_whole: bool = False) -> ModelList:
        """Build a page; `/api/show` is asked only for its rows.

        Args:
            limit: Most rows.
            offset: Rows to skip.
            is_whole: Keep all rows, however long they are.
        """
        page = self.matched[offset : offset + limit]
        facts = self.facts or await self.catalog.facts(page)
        rows = [self.catalog.rows.row(model, facts.get(model.digest), self.running) for model in page]
        if limit <= DEFAULT_LIMIT and not is_whole:
            rows = fit_rows(rows)
        end = offset + len(rows)
        return ModelList(
            models=rows,
            total_count=len(self.models),
            matched_count=len(self.matched),
            next_offset=end if end < len(self.matched) else None,
            total_size_bytes=sum({model.digest or model.name: model.size for model in self.models}.values()),
            next_step=self.note,
        )


async def select_models(
    catalog: Catalog, contains: str = "", capability: str = "", sort: Order = "modified"
) -> Selection:
    """Select installed models.

    Args:
        catalog: The models.
        contains: Only names that contain this text, in any case.
        capability: Only models with this capability.
        sort: Newest first, largest first, or by name.
    """
    models, running = await catalog.installed_and_running()
    wanted, able = contains.lower(), capability.strip().lower()
    matched = [model for model in models if wanted in model.name.lower()] if wanted else models
    facts: dict[str, Facts | None] = {}
    note = None
    if able:
        candidates, facts = matched, await catalog.facts(matched)
        matched = [one for one in matched if able in capabilities_of(one, facts.get(one.digest))]
        note = _incomplete_note(candidates, facts) or (None if matched else _no_match_note(able, candidates, facts))
    ordered = sorted(matched, key=_ORDERS[sort]) if sort in _ORDERS else matched
    return Selection(catalog, models, ordered, running, facts, note)


_ORDERS: dict[str, Callable[[InstalledModel], Any]] = {
    "size": lambda model: (-model.size, model.name),
    "name": lambda model: model.name,
}
"""Sort keys; the server's own order is newest first."""


def _incomplete_note(models: list[InstalledModel], facts: Mapping[str, Facts | None]) -> str | None:
    """Name the models that may be missing, since only `/api/show` knows all capabilities."""
    unread = [sanitize(one.name, 100) for one in models if needs_show(one) and not facts.get(one.digest)]
    if not unread:
        return None
    return f"What {join_limited(unread)} can do could not be read in full: call again, or see health."


def _no_match_note(capability: str, models: list[InstalledModel], facts: Mapping[str, Facts | None]) -> str:
    known = sorted({word for one in models for word in capabilities_of(one, facts.get(one.digest))})
    return sanitize(f"None has the capability {capability[:40]!r}. There are: {', '.join(known) or 'none'}.")


async def show_model(catalog: Catalog, name: ModelName | str) -> ShownModel:
    """Read all that the server says of an installed model, or of a cloud model that needs no pull.

    Raises:
        InvalidModelName: Ollama would refuse the name.
        ModelNotFoundError: It is not installed, or damaged.
    """
    wanted = ModelName.for_pull(name) if isinstance(name, str) else name
    installed, running = await catalog.installed_and_running()
    found = await catalog.find_usable(wanted, installed)
    info = await catalog.remembered_info(found)
    return ShownModel(found, info, None if running is None else find_running(found, running))


def model_card(shown: ShownModel, texts: Mapping[str, str] | None = None) -> ModelCard:
    """Build the card of a model, with the long texts that were asked for."""
    model, info = shown.model, shown.info
    loaded = next(iter(shown.running or ()), None)
    parameters = parse_parameters(info.parameters)
    row = model_row(model, facts_of(info), shown.running)
    configured = configured_context(parameters)
    return ModelCard(
        **row.model_dump(exclude={"digest"}),
        digest=model.digest,
        parameter_count=parameter_count(info),
        configured_context_length=configured and effective_context(configured, row.context_length, row.capabilities),
        loaded_context_length=loaded.context_length or None if loaded else None,
        parameters=_bounded(parameters),
        license_name=license_name(info),
        requires=bounded_word(info.requires),
        parent_model=bounded_word(info.details.parent_model),
        remote_host=bounded_word(info.remote_host or model.remote_host),
        texts=dict(texts) if texts else None,
    )


def quote_text(name: Text, info: ModelInfo) -> str:
    """Return one of the model's own texts, cut with a mark."""
    match name:
        case "license":
            text = info.license if isinstance(info.license, str) else "\n".join(info.license or [])
        case "messages":
            text = "\n".join(f"{message.role}: {message.content}" for message in info.messages or [])
        case "model_info":
            known = {key: value for key, value in (info.model_info or {}).items() if value is not None}
            text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
        case _:
            text = getattr(info, name)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n[cut here: {len(text):,} characters in all]"


def _bounded(parameters: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
    """Keep parameters up to a limit: a hostile model may have any number of them."""
    left, kept = MAX_PARAMETERS, dict[str, str | list[str]]()
    for name, value in parameters.items():
        if (size := len(json.dumps((name, value)))) <= left:
            left -= size
            kept[name] = value
    return kept
