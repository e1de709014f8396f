"""The order of repositories: one per base model, those that chat first, makers and known quantizers before others."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mcp_ollama.models.search.query import SearchQuery
from mcp_ollama.sources.hub_answers import Repository

_CHAT_TASKS = frozenset({None, "text-generation", "image-text-to-text", "any-to-any", "text2text-generation"})
"""Tasks of models that chat; good repositories state none at all."""
_EMBEDDING_TASKS = frozenset({"feature-extraction", "sentence-similarity"})
_EMBEDDING_WORDS = frozenset({"embed", "embedding", "embeddings"})
_SPECIAL_WORDS = frozenset(
    ("uncensored", "abliterated", "heretic", "obliterated", "jailbreak", "guard", "reranker",
     "rerank", "draft", "lora", "mmproj", "whisper", "tts")
)  # fmt: skip
"""Variants that are found only when the query has the word."""
_AUTHORS = ("ggml-org", "unsloth", "bartowski", "lmstudio-community", "mradermacher", "maziyarpanahi")
"""Known quantizers, the best first; an order only, nothing is hidden."""
_SIZE = re.compile(r"(?<![a-z0-9.])(?:([0-9]{1,3})x)?([0-9]{1,4}(?:\.[0-9]{1,2})?)b(?![a-z0-9])", re.ASCII)
_SEPARATORS = re.compile(r"[-._/]+")
_SMALLEST_BITS = 4.0
"""Fewer bits per weight cost more quality than a smaller model does."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best repository of each base model, and how many others were left out as special variants."""

    repositories: tuple[Repository, ...]
    left_out: int


def rank_repositories(
    repositories: Iterable[Repository], query: SearchQuery, *, capability: str = "", memory_bytes: int | None = None
) -> Ranking:
    """Rank the rows of a search; the order of Hugging Face holds between base models.

    Args:
        repositories: The rows, in their order.
        query: Its words let special variants through.
        capability: `embedding` lets embedding models through; all others concern models that chat.
        memory_bytes: Base models whose name states more parameters than fit come last.
    """
    usable = [one for one in repositories if not one.private and not one.disabled and one.relation != "adapter"]
    wants_embedding = capability == "embedding" or not _EMBEDDING_WORDS.isdisjoint(query.words)
    wanted = [one for one in usable if _is_wanted(one, query, wants_embedding=wants_embedding)]
    groups: dict[str, list[Repository]] = {}
    for one in wanted:
        groups.setdefault(_base_name(one), []).append(one)
    best = [min(group, key=_trust) for group in groups.values()]
    best.sort(key=lambda one: (not is_capable(one, capability), _is_too_large(one, memory_bytes), not _chats(one)))
    return Ranking(tuple(best), len(usable) - len(wanted))


def is_embedding(repository: Repository) -> bool:
    """Check whether a repository holds an embedding model, by its task or its name."""
    is_named = repository.pipeline_tag is None and not _EMBEDDING_WORDS.isdisjoint(_words(repository.id))
    return repository.pipeline_tag in _EMBEDDING_TASKS or is_named


def is_capable(repository: Repository, capability: str) -> bool:
    """Check whether a repository states a capability; any does when none is asked for."""
    stated = {"": True, "embedding": is_embedding(repository), "completion": repository.has_chat_template}
    return stated.get(capability, capability == "vision" and repository.pipeline_tag == "image-text-to-text")


def stated_parameters(name: str) -> float | None:
    """Return the parameters that a model's name states, such as 30e9 for `Qwen3-30B-A3B`; None when it states none."""
    sizes = [int(experts or 1) * float(size) * 1e9 for experts, size in _SIZE.findall(name.lower())]
    return max(sizes, default=None)


def _is_wanted(repository: Repository, query: SearchQuery, *, wants_embedding: bool) -> bool:
    special = _SPECIAL_WORDS & {*_words(repository.id), *(repository.tags or ())}
    if special - set(query.words):
        return False
    if is_embedding(repository):
        return wants_embedding
    return repository.pipeline_tag in _CHAT_TASKS


def _chats(repository: Repository) -> bool:
    return repository.has_chat_template or is_embedding(repository)


def _is_too_large(repository: Repository, memory_bytes: int | None) -> bool:
    parameters = stated_parameters(repository.id)
    return bool(parameters and memory_bytes is not None and parameters * _SMALLEST_BITS / 8 * 1.2 > memory_bytes)


def _base_name(repository: Repository) -> str:
    if repository.base_model:
        return repository.base_model.lower()
    name = repository.id.partition("/")[2].lower().removesuffix("-gguf").removesuffix("-i1")
    # bartowski writes `Org_Model-GGUF`.
    return name.partition("_")[2] or name if repository.author == "bartowski" else name


def _trust(repository: Repository) -> tuple[int, int]:
    author = repository.author.lower()
    maker = (repository.base_model or "").partition("/")[0].lower()
    known = _AUTHORS.index(author) if author in _AUTHORS else len(_AUTHORS)
    return (-1 if author == maker else known), -(repository.downloads or 0)


def _words(name: str) -> list[str]:
    return _SEPARATORS.split(name.lower())
