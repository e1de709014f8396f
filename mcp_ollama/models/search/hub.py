"""The search on Hugging Face: one search, the best repositories, and the manifest of the first choice."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.search.found_model import FoundModel, is_presentable
from mcp_ollama.models.search.quantization_choice import Offer, choose_offer, list_offers
from mcp_ollama.models.search.ranking import Ranking, rank_repositories
from mcp_ollama.models.search.rows import Findings, SearchContext, hub_row, row_order
from mcp_ollama.ollama.errors import OllamaError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import Manifest
from mcp_ollama.sources.hub_answers import Repository, RepositoryContent
from mcp_ollama.sources.huggingface import HuggingFace, RequestBudget

LookUp = Callable[[ModelName], Awaitable[Manifest]]

MAX_REQUESTS = 7
MAX_REPOSITORIES = 5
_SPARE_REPOSITORIES = 2
"""Read beyond the limit, since some hold split files only."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A repository whose files are known, with its offers and the one to pull."""

    content: RepositoryContent
    offers: list[Offer]
    chosen: Offer

    def row(self, context: SearchContext) -> FoundModel:
        return hub_row(self.content, self.offers, self.chosen, context)


@dataclass(slots=True)
class _Report:
    """The words of the source's report."""

    notes: list[str] = field(default_factory=list[str])
    is_partial: bool = False
    dropped_count: int = 0

    def note_failure(self, text: str) -> None:
        self.notes.append(text)
        self.is_partial = True


async def search_huggingface(hub: HuggingFace, look_up: LookUp, context: SearchContext) -> Findings:
    """Search Hugging Face with at most seven requests.

    Raises:
        OllamaError: The search itself failed; a repository that cannot be read costs its row only.
    """
    # One is left for the manifest.
    budget = RequestBudget(MAX_REQUESTS - 1)
    report = _Report()
    ranking = await _rank(hub, context, budget, report)
    finalists = ranking.repositories[: min(MAX_REPOSITORIES, context.limit + _SPARE_REPOSITORIES, budget.remaining)]
    contents = await _read_all(hub, finalists, budget, report)
    candidates = _candidates(contents, context, report)
    candidates.sort(key=lambda one: row_order(one.row(context), context.capability))
    if candidates:
        candidates[:1] = await _probe(candidates[0], look_up, context, report)
    rows = [one.row(context) for one in candidates]
    shown = [row for row in rows if is_presentable(row.name)]
    if hub.is_token_refused:
        report.notes.append("HF_TOKEN was refused; asked without it.")
    status = "ok" if not report.is_partial else "partial" if shown else "failed"
    dropped = report.dropped_count + len(rows) - len(shown)
    return Findings(shown[: context.limit], " ".join(report.notes), status, dropped)


async def _rank(hub: HuggingFace, context: SearchContext, budget: RequestBudget, report: _Report) -> Ranking:
    """Search with all words, then with fewer, until a usable repository is found."""
    tried: list[str] = []
    ranking = Ranking((), 0)
    for words in context.query.attempts:
        page = await hub.search(words, budget)
        report.dropped_count = page.dropped_count
        tried.append(f'"{words}"' if words else "what is popular")
        ranking = rank_repositories(
            page.repositories, context.query, capability=context.capability, memory_bytes=context.memory_bytes
        )
        if ranking.repositories:
            break
    report.notes.append(f"Asked for {', then '.join(tried)}.")
    if context.query.has_text and not context.query.words:
        report.notes.append("No word of the query names a model.")
    if ranking.left_out:
        report.notes.append(f"{ranking.left_out} embedding, guard, draft or uncensored variants left out.")
    return ranking


async def _read_all(
    hub: HuggingFace, finalists: tuple[Repository, ...], budget: RequestBudget, report: _Report
) -> list[RepositoryContent]:
    """Read the finalists side by side, and return those that can be read in their order."""
    contents: dict[str, RepositoryContent] = {}
    failed: dict[str, list[str]] = {}

    async def read(repository: Repository) -> None:
        try:
            contents[repository.id] = await hub.get_repository(repository.id, budget, sha=repository.sha)
        except OllamaError as error:
            failed.setdefault(error.problem, []).append(repository.id)

    await for_each(finalists, read)
    for problem, ids in failed.items():
        report.note_failure(f"{ids[0] if len(ids) == 1 else f'{len(ids)} repositories'} could not be read: {problem}")
    return [contents[repository.id] for repository in finalists if repository.id in contents]


def _candidates(contents: list[RepositoryContent], context: SearchContext, report: _Report) -> list[_Candidate]:
    candidates: list[_Candidate] = []
    for content in contents:
        report.dropped_count += content.dropped_count
        offers = list_offers(content.files)
        chosen = choose_offer(offers, context.memory_bytes, context.query.quantization)
        if content.repository.disabled:
            report.notes.append(f"{content.repository.id} is disabled.")
        elif chosen:
            candidates.append(_Candidate(content, offers, chosen))
        elif offers:
            report.notes.append(f"{content.repository.id} holds split files only, which cannot be pulled.")
    return candidates


async def _probe(candidate: _Candidate, look_up: LookUp, context: SearchContext, report: _Report) -> list[_Candidate]:
    """Read the manifest of the first choice: only it shows what a pull fetches, and whether there is one.

    Return the candidate, with another choice if that one cannot be pulled, or nothing if no other is left.
    """
    repository = candidate.content.repository
    if repository.gated:
        return [candidate]
    namespace, _, model = repository.id.partition("/")
    # hf.co only redirects to this host, and each hop counts for the rate limit.
    name = ModelName("huggingface.co", namespace, model, candidate.chosen.tag)
    try:
        manifest = await look_up(name)
    except OllamaError as error:
        if isinstance(error, OllamaStatusError) and error.status_code in (400, 404):
            again = _choose_again(candidate, sanitize(error.problem, 200), context)
            if not again:
                report.notes.append(f"{repository.id} cannot be pulled: {error.problem}")
            return again
        report.note_failure(f"The manifest of {repository.id} was not read: {error.problem}")
        return [candidate]
    sized = replace(candidate.chosen, size_bytes=manifest.total_bytes)
    offers = [sized if offer is candidate.chosen else offer for offer in candidate.offers]
    return [_Candidate(candidate.content, offers, sized)]


def _choose_again(candidate: _Candidate, reason: str, context: SearchContext) -> list[_Candidate]:
    refused = candidate.chosen
    offers = [replace(offer, reason=reason) if offer is refused else offer for offer in candidate.offers]
    chosen = choose_offer(offers, context.memory_bytes, context.query.quantization)
    return [_Candidate(candidate.content, offers, chosen)] if chosen else []
