"""Hugging Face's API of models: a few plain GETs, bounded in number, time and bytes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import anyio
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.connection import check_encoding, new_client, read_within
from mcp_ollama.ollama.errors import (
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.sources.expiring_cache import ExpiringCache
from mcp_ollama.sources.hub_answers import (
    HubFile,
    RepositoryContent,
    RepositoryPage,
    parse_content,
    parse_page,
    parse_tree,
)
from mcp_ollama.sources.hub_errors import RateLimitError, RepositoryUnavailableError, RequestLimitError
from mcp_ollama.sources.rate_limit import RateLimit

if TYPE_CHECKING:
    import httpx

ENDPOINT = "https://huggingface.co"
REQUEST_SECONDS = 5
MAX_ANSWER_BYTES = 2_000_000
MAX_CONNECTIONS = 4
MAX_TREE_PAGES = 2
"""Of a repository with thousands of files; a page has 1000."""
SEARCH_SECONDS = 600
REPOSITORY_SECONDS = 3600
_MAX_REDIRECTS = 3
_CACHED = 64
_CHECK_NETWORK = "Check the network and its proxy, or set HF_ENDPOINT to a mirror that answers."
_FIELDS = ("downloads", "tags", "gated", "private", "disabled", "lastModified", "pipeline_tag", "baseModels", "sha")
"""Asked for with `expand[]`: flat names only, and none that brings cards or chat templates (500 kB a page)."""

ParsedT = TypeVar("ParsedT")
Parameters = Sequence[tuple[str, str]]


class RequestBudget:
    """The requests that one search may still send; each hop of a redirect counts, as it does for the rate limit."""

    def __init__(self, requests: int) -> None:
        self.remaining = requests

    def spend(self) -> None:
        """Count one request.

        Raises:
            RequestLimitError: None is left.
        """
        if self.remaining <= 0:
            raise RequestLimitError("The requests of this search are used up.", "Search again with fewer words.")
        self.remaining -= 1


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer; `content` is None when it is larger than is read."""

    status: int
    headers: Mapping[str, str]
    content: bytes | None


class HuggingFace:
    """A client of `GET /api/models` and of single repositories; nothing but the query is sent.

    Args:
        endpoint: Base URL (`HF_ENDPOINT`), over https unless it is on this machine.
        token: Access token (`HF_TOKEN`); sent to huggingface.co only, since a mirror is another party.
        offline: Send nothing at all (`HF_HUB_OFFLINE`).
        timeout: Seconds for one request.
        clock: Monotonic time in seconds.

    Raises:
        ValueError: The endpoint is not such an address.
    """

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        *,
        token: str | None = None,
        offline: bool = False,
        timeout: float = REQUEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = _checked_endpoint(endpoint)
        self.host = urlsplit(self._endpoint).netloc
        self._token = token if self._endpoint == ENDPOINT else None
        self.is_token_refused = False
        """Whether Hugging Face refused the token; the requests then go on without one."""
        self.is_offline = offline
        self._timeout = timeout
        self._limit = RateLimit(clock)
        self._pages: ExpiringCache[str, RepositoryPage] = ExpiringCache(SEARCH_SECONDS, _CACHED, clock)
        self._contents: ExpiringCache[tuple[str, str | None], RepositoryContent] = ExpiringCache(
            REPOSITORY_SECONDS, _CACHED, clock
        )
        self._http: httpx.AsyncClient | None = None
        self._slots = anyio.Semaphore(MAX_CONNECTIONS)

    async def aclose(self) -> None:
        """Close all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def search(self, words: str, budget: RequestBudget, *, limit: int = 30) -> RepositoryPage:
        """Search repositories whose weights Ollama can load (`GET /api/models?apps=ollama`), the most used first.

        Args:
            words: Parts of names, separated by spaces; empty for what is popular now.
            budget: Requests that may be sent.
            limit: Number of rows.

        Raises:
            OllamaError: There is no answer, or not the one that the API promises.
        """
        if page := self._pages.get(f"{limit} {words}"):
            return page
        parameters = [("apps", "ollama"), ("sort", "downloads" if words else "trendingScore"), ("limit", str(limit))]
        parameters += [("search", words)] if words else []
        parameters += [("expand[]", field) for field in _FIELDS]
        reply = await self._get("/api/models", parameters, budget)
        page = self._parsed(parse_page, reply.content)
        self._pages.put(f"{limit} {words}", page)
        return page

    async def get_repository(
        self, repository: str, budget: RequestBudget, *, sha: str | None = None
    ) -> RepositoryContent:
        """Read a repository with the sizes of its files (`GET /api/models/{id}?blobs=true`).

        Args:
            repository: `user/name`; a repository that was renamed comes under its new one.
            budget: Requests that may be sent.
            sha: Commit that a search reported; an answer about the same commit is taken from memory for an hour.

        Raises:
            RepositoryUnavailableError: It is missing, private or misspelt.
            RateLimitError: Few requests are left, and they are kept for searches.
            OllamaError: There is no answer, or not the one that the API promises.
        """
        if content := self._contents.get((repository, sha)):
            return content
        if self._limit.is_scarce:
            raise RateLimitError(self.host, max(1, self._limit.window_seconds))
        path = f"/api/models/{repository}"
        reply = await self._get(path, [("blobs", "true")], budget)
        if reply.content is None:
            content = await self._read_large(path, budget)
        else:
            content = self._parsed(parse_content, reply.content)
        self._contents.put((repository, sha), content)
        return content

    async def _read_large(self, path: str, budget: RequestBudget) -> RepositoryContent:
        """Read a repository of thousands of files: its head, then its tree page by page."""
        head = self._parsed(parse_content, (await self._get(path, [("expand[]", "gated")], budget)).content)
        files: list[HubFile] = []
        dropped = 0
        cursor: tuple[tuple[str, str], ...] = ()
        for _ in range(MAX_TREE_PAGES):
            reply = await self._get(f"{path}/tree/main", [("recursive", "true"), *cursor], budget)
            more, unnamed = self._parsed(parse_tree, reply.content)
            files += more
            dropped += unnamed
            following = _cursor(reply.headers.get("link", ""))
            if following is None:
                return RepositoryContent(head.repository, tuple(files), None, None, dropped)
            cursor = (("cursor", following),)
        raise OllamaResponseError(f"The repository {head.repository.id} has too many files to list.")

    async def _get(self, path: str, parameters: Parameters, budget: RequestBudget) -> _Reply:
        """Send a request and follow redirects on the same host.

        Raises:
            OllamaError: The status of the answer is not 200, or there is none.
        """
        url = f"{self._endpoint}{path}?{urlencode(parameters)}"
        for _ in range(_MAX_REDIRECTS + 1):
            token = None if self.is_token_refused else self._token
            reply = await self._send(url, token, budget)
            if reply.status == 200:
                return reply
            if reply.status == 401 and token:
                # An invalid token makes public repositories fail, too; a valid one turns this 401 into 404.
                self.is_token_refused = True
            elif 300 <= reply.status < 400:
                url = self._next_hop(url, reply.headers.get("location", ""))
            else:
                self._raise_refusal(reply, path)
        raise OllamaResponseError(f"{self.host} redirects more than {_MAX_REDIRECTS} times.", _CHECK_NETWORK)

    async def _send(self, url: str, token: str | None, budget: RequestBudget) -> _Reply:
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        self._check_allowed()
        budget.spend()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._slots:
                with anyio.fail_after(self._timeout):
                    async with self._client().stream("GET", url, headers=headers) as response:
                        return await self._read(response)
        except TimeoutError as error:
            problem = f"{self.host} did not answer within {self._timeout:g} s."
            raise OllamaTimeoutError(problem, _CHECK_NETWORK) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OllamaConnectionError(f"{self.host} cannot be reached from here.", _CHECK_NETWORK) from error

    async def _read(self, response: "httpx.Response") -> _Reply:
        self._limit.read(response.headers, refused=response.status_code == 429)
        check_encoding(response, _CHECK_NETWORK)
        return _Reply(response.status_code, response.headers, await read_within(response, MAX_ANSWER_BYTES))

    def _check_allowed(self) -> None:
        if self.is_offline:
            raise OllamaError("HF_HUB_OFFLINE is set: no request is sent to Hugging Face.", "Unset it to search there.")
        if self._limit.wait_seconds:
            raise RateLimitError(self.host, self._limit.wait_seconds)

    def _next_hop(self, url: str, location: str) -> str:
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError as error:
            raise OllamaResponseError(f"{self.host} redirects to a malformed address.", _CHECK_NETWORK) from error
        if there[:2] != here[:2]:
            raise OllamaResponseError(f"{self.host} redirects to another host.", _CHECK_NETWORK)
        return there.geturl()

    def _raise_refusal(self, reply: _Reply, path: str) -> NoReturn:
        repository = path.removeprefix("/api/models").removesuffix("/tree/main").strip("/")
        if reply.status == 429:
            raise RateLimitError(self.host, max(1, self._limit.wait_seconds))
        if reply.status in (401, 403, 404) and repository:
            raise RepositoryUnavailableError(
                f"{self.host} has no public repository {repository}: it is missing, private or misspelt.",
                "Check the name.",
                status_code=reply.status,
            )
        reason = _reason(reply.content)
        raise OllamaStatusError(
            f"{self.host} answered {reply.status}{f': {reason}' if reason else ''}.",
            "Call again in a few minutes." if reply.status >= 500 else "Search with other words.",
            status_code=reply.status,
        )

    def _parsed(self, parse: Callable[[bytes], ParsedT], content: bytes | None) -> ParsedT:
        try:
            if content is None:
                raise ValueError(f"more than {MAX_ANSWER_BYTES:,} bytes")  # noqa: TRY301 - one sentence for all
            return parse(content)
        except ValueError as error:
            problem = f"What answers at {self.host} is not the API of Hugging Face."
            raise OllamaResponseError(problem, f"A log-in page may intercept it. {_CHECK_NETWORK}") from error

    def _client(self) -> "httpx.AsyncClient":
        if self._http is None:
            self._http = new_client(
                headers={"Accept": "application/json"},
                verify=self._endpoint.startswith("https:"),
                max_idle=MAX_CONNECTIONS,
                trust_env=not is_loopback(self._endpoint),
            )
        return self._http


class _Refusal(BaseModel):
    error: str


def _reason(content: bytes | None) -> str:
    try:
        return sanitize(_Refusal.model_validate(from_json(content or b"")).error, 200).rstrip(".")
    except (ValueError, ValidationError):
        return ""


def _cursor(link: str) -> str | None:
    """Return the cursor of a `Link` header: a mirror's may name another host, so that its address is not followed."""
    address, _, rest = link.partition(">")
    if 'rel="next"' not in rest:
        return None
    try:
        return parse_qs(urlsplit(address.strip(" <")).query).get("cursor", [None])[0]
    except ValueError:
        return None


def _checked_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint.rstrip("/"))
    is_secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(endpoint))
    if not (is_secure and parts.hostname) or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("HF_ENDPOINT is not an address such as https://huggingface.co.")
    return parts.geturl()
