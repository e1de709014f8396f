"""The rows of a search, built from what a source answered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcp_ollama.models.formatting import format_timestamp
from mcp_ollama.models.search.found_model import FoundModel, estimate_fit, is_presentable
from mcp_ollama.models.search.quantization_choice import Offer, rows_around
from mcp_ollama.models.search.query import SearchQuery
from mcp_ollama.models.search.ranking import is_embedding
from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import Manifest, Recommendation
from mcp_ollama.sources.hub_answers import Repository, RepositoryContent
from mcp_ollama.sources.quantization import parse_file_name

MAX_DESCRIPTION = 160
_IN_SENTENCES: Mapping[str, str] = {"coder": "cod"}
"""A part of `code`, `coding` and `coder`."""
_END_OF_NUMBER = r"(?<![0-9](?=\.?[0-9]))"


@dataclass(frozen=True, slots=True)
class SearchContext:
    """The query, and facts about the server; only the words of the query leave this machine.

    Attributes:
        query: The parsed query.
        capability: Such as `vision`; empty for any.
        limit: Rows per source.
        memory_bytes: Memory that a model may take, None when it is unknown.
        has_memory_limit: Whether the memory is an argument of the search, which leaves out models in the cloud.
        may_use_cloud: Whether the Ollama server may use models that run on ollama.com.
        installed: Keys of the installed models, None when they are unknown.
    """

    query: SearchQuery
    capability: str = ""
    limit: int = 5
    memory_bytes: int | None = None
    has_memory_limit: bool = False
    may_use_cloud: bool = False
    installed: frozenset[str] | None = None

    def has_installed(self, name: ModelName) -> bool | None:
        """Return whether a model is installed, None when that is unknown."""
        return None if self.installed is None else name.key in self.installed


@dataclass(frozen=True, slots=True)
class Findings:
    """The rows of one source, with the words of its report."""

    rows: list[FoundModel] = field(default_factory=list[FoundModel])
    detail: str = ""
    status: Literal["ok", "partial", "failed", "off"] = "ok"
    dropped_count: int = 0


def parse_name(text: str, *, is_cloud: bool = False) -> ModelName | None:
    """Parse a name that a source gave; None for one that cannot be pulled or is not fit to be shown."""
    try:
        name = ModelName.for_pull(f"{text}:cloud" if is_cloud else text)
    except InvalidModelName:
        return None
    return name if is_presentable(name.short) else None


def is_mentioned(query: SearchQuery, *texts: str) -> bool:
    """Check whether a text holds one of the families of a query; any text does when the query names none."""
    return not query.families or count_mentions(query, *texts) > 0


def count_mentions(query: SearchQuery, *texts: str) -> int:
    """Count the families of a query that a text holds. A number is whole: `qwen3` does not mean `qwen3.5`."""
    text = " ".join(texts).lower()
    patterns = (re.escape(_IN_SENTENCES.get(family, family)) + _END_OF_NUMBER for family in query.families)
    return sum(bool(re.search(pattern, text)) for pattern in patterns)


def library_row(name: ModelName, manifest: Manifest, context: SearchContext) -> FoundModel:
    """Build the row of a model in Ollama's library."""
    is_remote = name.is_cloud
    size = None if is_remote else manifest.total_bytes
    return FoundModel(
        name=name.short,
        source="library",
        size_bytes=size,
        fits=estimate_fit(size, context.memory_bytes),
        remote=is_remote or None,
        installed=context.has_installed(name),
    )


def recommended_row(name: ModelName, recommended: Recommendation, context: SearchContext) -> FoundModel:
    """Build the row of a model that Ollama recommends; `vram_bytes` is what it needs as a whole."""
    fits = None
    if recommended.vram_bytes > 0 and context.memory_bytes is not None and not name.is_cloud:
        fits = "likely" if recommended.vram_bytes <= context.memory_bytes else "unlikely"
    return FoundModel(
        name=name.short,
        source="recommended",
        fits=fits,
        context_length=recommended.context_length if recommended.context_length > 0 else None,
        description=sanitize(recommended.description, MAX_DESCRIPTION) or None,
        remote=name.is_cloud or None,
        installed=context.has_installed(name),
    )


def cloud_row(name: ModelName, context: SearchContext) -> FoundModel:
    """Build the row of a model that runs on ollama.com."""
    return FoundModel(name=name.short, source="cloud", remote=True, installed=context.has_installed(name))


def hub_name(repository: Repository, tag: str) -> ModelName:
    """Build the name to pull a quantization by.

    Ollama cannot authenticate by way of hf.co: its check of the realm's host fails (ollama/ollama#15661), so that
    gated repositories are named by huggingface.co.
    """
    host = "huggingface.co" if repository.gated else "hf.co"
    namespace, _, model = repository.id.partition("/")
    return ModelName(host, namespace, model, tag)


def hub_row(content: RepositoryContent, offers: list[Offer], chosen: Offer, context: SearchContext) -> FoundModel:
    """Build the row of a repository on Hugging Face."""
    repository = content.repository
    name = hub_name(repository, chosen.tag)
    return FoundModel(
        name=name.short,
        source="huggingface",
        size_bytes=chosen.size_bytes,
        fits=estimate_fit(chosen.size_bytes, context.memory_bytes),
        base_model=repository.base_model,
        author=repository.author,
        parameter_count=content.parameter_count,
        license=repository.license,
        capabilities=_capabilities(content) or None,
        context_length=content.context_length,
        downloads=repository.downloads,
        updated_at=format_timestamp(repository.lastModified),
        gated=repository.gated,
        quantizations=rows_around(offers, chosen),
        installed=context.has_installed(name),
    )


def row_order(row: FoundModel, capability: str) -> tuple[bool, bool]:
    """Return the sort key of a row: those that are unlikely to fit last, and those that state the capability first."""
    return row.fits == "unlikely", bool(capability) and capability not in (row.capabilities or ())


def _capabilities(content: RepositoryContent) -> list[str]:
    """Return what the repository shows; tools and thinking depend on the template that the pull brings."""
    if is_embedding(content.repository):
        return ["embedding"]
    if not content.repository.has_chat_template:
        return []
    has_projector = any(parse_file_name(file.path).kind == "mmproj" for file in content.files)
    return ["completion", "vision"] if has_projector else ["completion"]
