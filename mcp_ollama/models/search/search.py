"""The search for a model to pull: several sources side by side, each of which may fail without the others."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.search.found_model import FoundModel, SearchResult, Source, SourceReport, shorten
from mcp_ollama.models.search.hub import LookUp, search_huggingface
from mcp_ollama.models.search.query import SearchQuery, parse_query
from mcp_ollama.models.search.rows import (
    Findings,
    SearchContext,
    cloud_row,
    count_mentions,
    is_mentioned,
    library_row,
    parse_name,
    recommended_row,
    row_order,
)
from mcp_ollama.ollama.errors import ModelNotFoundError, OllamaError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import Recommendation
from mcp_ollama.sources.huggingface import HuggingFace

SEARCH_SECONDS = 15
"""For all sources together."""
_LOCAL_SHARE = 1 / 3
"""Of that time, for the facts about the Ollama server and this machine: installed models, memory, cloud."""

MAX_DETAIL = 400

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """The arguments of a search.

    Attributes:
        query: Names or a question; empty for what is recommended and popular.
        capability: Such as `tools`, `vision` or `embedding`; empty for any.
        max_memory_bytes: Memory that the model may take, None for that of the server.
        sources: Sources to ask; empty for the usual ones.
        limit: Rows per source.
    """

    query: str = ""
    capability: str = ""
    max_memory_bytes: int | None = None
    sources: Sequence[Source] = ()
    limit: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSources:
    """The collaborators of a search; each may raise `OllamaError`.

    Attributes:
        look_up: Fetches the manifest of an exact name; raises `ModelNotFoundError` when there is none.
        recommendations: Lists what Ollama recommends.
        installed_names: Lists the installed models.
        available_memory: Returns the bytes that a model may take on the server, None when unknown.
        may_use_cloud: Returns whether the server is signed in and may use models on ollama.com.
        cloud_catalogue: Lists the models on ollama.com as its `/api/tags` does; None when that is disabled.
        huggingface: The client of Hugging Face; None when that is disabled.
    """

    look_up: LookUp
    recommendations: Callable[[], Awaitable[Sequence[Recommendation]]]
    installed_names: Callable[[], Awaitable[Iterable[str]]]
    available_memory: Callable[[], Awaitable[int | None]]
    may_use_cloud: Callable[[], Awaitable[bool]]
    cloud_catalogue: Callable[[], Awaitable[Sequence[str]]] | None = None
    huggingface: HuggingFace | None = None


@dataclass(slots=True)
class _Facts:
    """Facts about the server; None is unknown."""

    installed: Iterable[str] | None = None
    may_use_cloud: bool | None = None
    memory_bytes: int | None = None


async def search(request: SearchRequest, sources: SearchSources, *, seconds: float = SEARCH_SECONDS) -> SearchResult:
    """Search models to pull; each name in the answer can be given to `pull_model` as it is.

    The sources are asked side by side, for `seconds` at most; one that fails or does not answer is reported as such.
    """
    deadline = anyio.current_time() + seconds
    context = await _context(request, sources, seconds * _LOCAL_SHARE)
    asked = _asked(request, context)
    found: dict[Source, Findings] = {}

    async def ask(source: Source) -> None:
        try:
            found[source] = await _SEARCHES[source](sources, context)
        except OllamaError as error:
            found[source] = Findings(status="failed", detail=error.problem)

    with anyio.CancelScope(deadline=deadline):
        await for_each(asked, ask)
    late = Findings(status="failed", detail=f"No answer within {seconds:g} s.")
    return _result({source: found.get(source, late) for source in asked}, context.query)


async def _context(request: SearchRequest, sources: SearchSources, seconds: float) -> SearchContext:
    """Collect the facts about the server and this machine; those that are not available in time are unknown."""
    facts = _Facts(memory_bytes=request.max_memory_bytes)
    await _collect(facts, sources, seconds)
    names = None if facts.installed is None else map(parse_name, facts.installed)
    return SearchContext(
        query=parse_query(request.query),
        capability=request.capability.strip().lower(),
        limit=request.limit,
        memory_bytes=facts.memory_bytes,
        has_memory_limit=request.max_memory_bytes is not None,
        may_use_cloud=facts.may_use_cloud or False,
        installed=None if names is None else frozenset(name.key for name in names if name),
    )


async def _collect(facts: _Facts, sources: SearchSources, seconds: float) -> None:
    """Fill in the facts side by side: whether the server is signed in is asked on ollama.com, which may be silent."""

    async def find_installed() -> None:
        facts.installed = await _known(sources.installed_names)

    async def find_cloud() -> None:
        facts.may_use_cloud = await _known(sources.may_use_cloud)

    async def find_memory() -> None:
        facts.memory_bytes = await _known(sources.available_memory)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            group.start_soon(find_installed)
            group.start_soon(find_cloud)
            if facts.memory_bytes is None:
                group.start_soon(find_memory)


async def _known(ask: Callable[[], Awaitable[ResultT]]) -> ResultT | None:
    try:
        return await ask()
    except OllamaError:
        return None


def _asked(request: SearchRequest, context: SearchContext) -> list[Source]:
    """Return the sources to ask, in the order of their rows."""
    if request.sources:
        return [source for source in _SEARCHES if source in request.sources]
    if not context.query.has_text:
        return ["recommended", "huggingface"]
    has_cloud = context.may_use_cloud and not context.has_memory_limit
    return [source for source in _SEARCHES if source != "cloud" or has_cloud]


async def _search_library(sources: SearchSources, context: SearchContext) -> Findings:
    name = context.query.library_name
    if name is None:
        return Findings(status="off", detail="The library has no search: only a query that is one name is looked up.")
    if name.is_cloud and context.has_memory_limit:
        return Findings(status="off", detail=_NO_MEMORY_NEEDED)
    try:
        manifest = await sources.look_up(name)
    except ModelNotFoundError:
        return Findings(detail=f"No model is named exactly {name}.")
    return Findings([library_row(name, manifest, context)])


async def _search_recommended(sources: SearchSources, context: SearchContext) -> Findings:
    try:
        recommended = await sources.recommendations()
    except OllamaStatusError as error:
        if error.status_code != 404:
            raise
        return Findings(status="off", detail="This server is too old to recommend models: Ollama 0.22.1 was the first.")
    rows: list[FoundModel] = []
    dropped = 0
    for one in recommended:
        name = parse_name(one.model)
        if name is None:
            dropped += 1
        elif is_mentioned(context.query, one.model, one.description) and _may_run(name, context):
            rows.append(recommended_row(name, one, context))
    rows.sort(key=lambda row: row_order(row, context.capability))
    return Findings(rows[: context.limit], dropped_count=dropped)


async def _search_huggingface(sources: SearchSources, context: SearchContext) -> Findings:
    if sources.huggingface is None:
        return Findings(status="off", detail=_DISABLED)
    if sources.huggingface.is_offline:
        return Findings(status="off", detail="Disabled by HF_HUB_OFFLINE.")
    return await search_huggingface(sources.huggingface, sources.look_up, context)


async def _search_cloud(sources: SearchSources, context: SearchContext) -> Findings:
    if sources.cloud_catalogue is None:
        return Findings(status="off", detail=_DISABLED)
    if context.has_memory_limit:
        return Findings(status="off", detail=_NO_MEMORY_NEEDED)
    listed = await sources.cloud_catalogue()
    names = [parse_name(text, is_cloud=True) for text in listed]
    rows = [cloud_row(name, context) for name in names if name and is_mentioned(context.query, name.short)]
    detail = "" if context.may_use_cloud else _NO_CLOUD
    return Findings(rows[: context.limit], detail, dropped_count=names.count(None))


def _may_run(name: ModelName, context: SearchContext) -> bool:
    return not name.is_cloud or (context.may_use_cloud and not context.has_memory_limit)


_NO_CLOUD = "This server may not use them: sign in with `ollama signin`, and leave OLLAMA_NO_CLOUD unset."
_DISABLED = "Disabled by MCP_OLLAMA_SEARCH=off."
_NO_MEMORY_NEEDED = "Models in the cloud take no memory here: leave out max_memory to find them."
_EXACT_NAMES = "plan_pull looks up one exact name, such as llama3.2:3b or hf.co/user/repo:Q4_K_M."
_SEARCHES: Mapping[Source, Callable[[SearchSources, SearchContext], Awaitable[Findings]]] = {
    "library": _search_library,
    "recommended": _search_recommended,
    "huggingface": _search_huggingface,
    "cloud": _search_cloud,
}
"""The sources, in the order of their rows."""


def _result(found: Mapping[Source, Findings], query: SearchQuery) -> SearchResult:
    """Build the answer; of a model that several sources name the first row stays."""
    rows: dict[str, FoundModel] = {}
    for findings in found.values():
        for row in findings.rows:
            rows.setdefault(row.name.lower(), row)
    models = list(rows.values())
    return shorten(
        SearchResult(
            models=models,
            sources=[
                SourceReport(name=source, status=one.status, detail=sanitize(one.detail, MAX_DETAIL) or None)
                for source, one in found.items()
            ],
            dropped_count=sum(one.dropped_count for one in found.values()) or None,
            next_step=_next_step(models, found, query),
        )
    )


def _next_step(models: Sequence[FoundModel], found: Mapping[Source, Findings], query: SearchQuery) -> str:
    if not models:
        if any(one.status in ("failed", "off") for one in found.values()):
            return f"Check the reports of the sources; {_EXACT_NAMES}"
        return "Search with fewer words, such as the family alone (qwen3, llama3.2, gemma3)."
    likely = [row for row in models if row.fits != "unlikely"]
    # Ollama recommends a family for one word of the query; of equals the first source counts.
    best = max(likely or models, key=lambda row: count_mentions(query, row.name))
    steps = [_use_of(best)]
    if not likely:
        why = "None of these is likely to fit into the memory: search for a smaller one, such as 4b or 1b."
        steps = [f"{why} plan_pull has the estimate of {best.name}."]
    by_source = {row.source: row.name for row in reversed(models)}
    if "library" in by_source and "huggingface" in by_source:
        steps.append(
            f"Prefer {by_source['library']} from Ollama's library to the same model from Hugging Face: its template, "
            "tools and thinking are built in."
        )
    if any(row.gated for row in models):
        steps.append(
            "Gated: accept the terms on Hugging Face, and add the Ollama server's public key to that account "
            "(https://huggingface.co/docs/hub/ollama)."
        )
    return " ".join(steps)


def _use_of(row: FoundModel) -> str:
    """Return the sentence on how to get or use a model."""
    if row.installed:
        return f"{row.name} is installed already: see show_model."
    if row.remote:
        return f"{row.name} runs on ollama.com: pull_model fetches only a reference to it."
    return f"Call plan_pull with {row.name} for its exact size and memory, then pull_model."
