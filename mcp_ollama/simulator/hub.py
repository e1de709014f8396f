"""Hugging Face behind the simulated server: its API of models, and which tags of a repository can be pulled."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, quote

from starlette.responses import Response

from mcp_ollama.simulator.exchange import JSON, Exchange
from mcp_ollama.simulator.wire import Refusal, encode

QUOTA = 500
WINDOW_SECONDS = 300
_SORTS = ("createdAt", "downloads", "likes", "lastModified", "likes30d", "trendingScore", "num_parameters", "id")
_FIELDS = (
    "author", "baseModels", "cardData", "config", "createdAt", "disabled", "downloads", "gated", "gguf", "lastModified",
    "library_name", "likes", "pipeline_tag", "private", "safetensors", "sha", "siblings", "tags", "trendingScore",
)  # fmt: skip
_LIMITED = (
    "We had to rate limit your IP (192.0.2.7). To continue using our service, create a HF account or login to your "
    "existing account, and make sure you pass a HF_TOKEN if you're using the API."
)
_SHARDED = (
    "This tag is a sharded GGUF. Ollama does not yet support pulling sharded GGUF via the registry; please use a "
    'single-file quantization tag or "latest".'
)
_ONLY_SHARDED = (
    "This repository only contains sharded GGUF files. Ollama does not yet support pulling sharded GGUF via the "
    "registry; please download the shards and merge them."
)
_NO_SUCH_TAG = 'The specified tag is not a valid quantization scheme. Please use another tag or "latest"'
_NO_SUCH_FILE = "The specified GGUF file does not exist."
_UNAUTHORIZED = "Invalid username or password."

RATE_LIMITED = Response(
    encode({"error": _LIMITED}),
    429,
    {"content-type": JSON, "ratelimit": '"api";r=0;t=193', "ratelimit-policy": '"fixed window";"api";q=500;w=300'},
)
RATE_LIMITED_WITHOUT_TIME = Response(encode({"error": _LIMITED}), 429, {"content-type": JSON})
SIGN_IN_PAGE = Response("<html><title>Sign in to the network</title></html>", 200, {"content-type": "text/html"})
BAD_GATEWAY = Response("<html><head><title>502 Bad Gateway</title></head></html>", 502, {"content-type": "text/html"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A repository of weights.

    Attributes:
        id: `user/name`.
        quantizations: Bytes of each quantization that is one file.
        split: Bytes of the parts of each quantization that is split.
        files: Bytes of other files by path, such as a projector.
        fields: Further fields of the API, in place of the made-up ones.
    """

    id: str
    quantizations: Mapping[str, int] = field(default_factory=dict[str, int])
    split: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    base_model: str = ""
    license: str = "apache-2.0"
    downloads: int = 0
    gated: Literal[False, "auto", "manual"] = False
    parameter_count: int = 0
    context_length: int = 32_768
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def file_of(self, label: str) -> str:
        """Return the name of the file of a quantization that is one file."""
        return f"{self.id.partition('/')[2].removesuffix('-GGUF')}-{label}.gguf"

    @property
    def paths(self) -> dict[str, int]:
        """Bytes of all files by path, as quantizers name them: parts stand in a folder per quantization."""
        stem = self.id.partition("/")[2].removesuffix("-GGUF")
        whole = {self.file_of(label): size for label, size in self.quantizations.items()}
        parts = {
            f"{label}/{stem}-{label}-{number:05}-of-{len(sizes):05}.gguf": size
            for label, sizes in self.split.items()
            for number, size in enumerate(sizes, 1)
        }
        return {"README.md": 480, **whole, **parts, **self.files}

    @property
    def row(self) -> dict[str, Any]:
        """All fields that a list may show."""
        base = {"base_model": [self.base_model]} if self.base_model else {}
        tags = ["gguf", "text-generation", f"license:{self.license}", "region:us", "conversational"]
        tags += [f"base_model:quantized:{self.base_model}"] if base else []
        models = [{"_id": _hex(self.base_model)[:24], "id": self.base_model}]
        return {
            "_id": _hex(self.id)[:24],
            "id": self.id,
            "author": self.id.partition("/")[0],
            "downloads": self.downloads,
            "tags": tags,
            "gated": self.gated,
            "private": False,
            "disabled": False,
            "createdAt": "2026-01-30T06:29:38.000Z",
            "lastModified": "2026-02-01T06:29:38.000Z",
            "pipeline_tag": "text-generation",
            "sha": _hex(f"commit of {self.id}")[:40],
            **({"baseModels": {"relation": "quantized", "models": models}} if base else {}),
            **self.fields,
        }

    @property
    def document(self) -> dict[str, Any]:
        """The whole repository as `?blobs=true` shows it."""
        gguf = {"total": self.parameter_count, "architecture": "llama", "context_length": self.context_length}
        siblings = [{"rfilename": path, **_sizes(path, size, "sha256")} for path, size in self.paths.items()]
        return {**self.row, "gguf": {**gguf, "chat_template": "{{ messages }}"}, "siblings": siblings}


class Hub:
    """Hugging Face's API of models, with the rate limit of an anonymous client.

    Attributes:
        rows: Rows of the list as they are, in place of those of repositories with the same id: anything that
            strangers may write.
        renamed: New ids by old ones; a request for an old one is redirected.
        fault: Answered to every request while it is set.
        remaining: Requests left in this window.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, HubRepository] = {}
        self.rows: list[Mapping[str, Any]] = []
        self.renamed: dict[str, str] = {}
        self.fault: Response | None = None
        self.remaining = QUOTA

    async def answer(self, exchange: Exchange) -> None:
        """Answer a request for `/api/models` or anything below it."""
        if self.fault:
            await exchange.send_response(self.fault)
            return
        if self.remaining <= 0:
            await exchange.send_response(RATE_LIMITED)
            return
        self.remaining -= 1
        try:
            document, headers = self._document(exchange)
            status = 307 if "location" in headers else 200
        except Refusal as refusal:
            document, headers, status = refusal.document, {}, refusal.status
        limit = {
            "ratelimit": f'"api";r={self.remaining};t=295',
            "ratelimit-policy": f'"fixed window";"api";q={QUOTA};w={WINDOW_SECONDS}',
        }
        await exchange.send_response(Response(encode(document), status, {"content-type": JSON, **limit, **headers}))

    def resolve_tag(self, repository_id: str, tag: str) -> str | None:
        """Return the tag under which the registry holds what a tag of a repository means; None for other models.

        Raises:
            Refusal: 400 or 401 with the sentences of Hugging Face.
        """
        repository = self.repositories.get(repository_id)
        if repository is None:
            return None
        if repository.gated:
            raise Refusal(f"Access to model {repository_id} is restricted. Please log in.", 401)
        if not repository.quantizations:
            raise Refusal(_ONLY_SHARDED, 400)
        wanted = tag.upper()
        if wanted == "LATEST":
            labels = sorted(repository.quantizations, key=lambda label: (label != "Q4_K_M", not label.startswith("Q4")))
            return labels[0]
        if wanted in (label.upper() for label in repository.split):
            raise Refusal(_SHARDED, 400)
        found = [
            label for label in repository.quantizations if wanted in (label.upper(), repository.file_of(label).upper())
        ]
        if not found:
            raise Refusal(_NO_SUCH_FILE if wanted.endswith(".GGUF") else _NO_SUCH_TAG, 400)
        return found[0]

    def _document(self, exchange: Exchange) -> tuple[object, dict[str, str]]:
        query = parse_qs(exchange.scope["query_string"].decode("latin-1"))
        path = exchange.path.removeprefix("/api/models").strip("/")
        if not path:
            return self._list(query)
        repository_id, is_tree, revision = path.partition("/tree/")
        if new := self.renamed.get(repository_id):
            return "", {"location": exchange.path.replace(repository_id, new) + _suffix(exchange)}
        repository = self.repositories.get(repository_id)
        if repository is None:
            # Missing and private look the same to a client without a token.
            raise Refusal(_UNAUTHORIZED, 401)
        if not is_tree:
            return repository.document, {}
        if revision != "main":
            raise Refusal(f"Invalid rev id: {revision}", 404)
        files = [{"type": "file", "path": path, **_sizes(path, size, "oid")} for path, size in repository.paths.items()]
        return files, {"x-repo-commit": repository.row["sha"]}

    def _list(self, query: Mapping[str, list[str]]) -> tuple[object, dict[str, str]]:
        sort = query.get("sort", ["trendingScore"])[0]
        fields = query.get("expand[]", ())
        _check_option(sort, _SORTS, "sort")
        for number, name in enumerate(fields):
            _check_option(name, _FIELDS, f"expand[{number}]")
        by_id = {str(row.get("id")): row for row in (*(one.row for one in self.repositories.values()), *self.rows)}
        words = " ".join(query.get("search", ())).lower().split()
        rows = [row for name, row in by_id.items() if all(_squeezed(word) in _squeezed(name) for word in words)]
        rows.sort(key=lambda row: -(row.get("downloads") or 0))
        limit, start = int(query.get("limit", ["30"])[0]), int(query.get("cursor", ["0"])[0])
        page = [{key: row[key] for key in ("_id", "id", *fields) if key in row} for row in rows[start : start + limit]]
        if start + limit >= len(rows):
            return page, {}
        pairs = [(name, value) for name, values in query.items() for value in values if name != "cursor"]
        following = "&".join(f"{name}={quote(value)}" for name, value in [*pairs, ("cursor", str(start + limit))])
        return page, {"link": f'<https://huggingface.co/api/models?{following}>; rel="next"'}


def _check_option(value: str, options: Sequence[str], place: str) -> None:
    if value not in options:
        expected = "|".join(f'"{option}"' for option in options)
        raise Refusal(f"✖ Invalid option: expected one of {expected}\n  → at {place}", 400)


def _suffix(exchange: Exchange) -> str:
    query = exchange.scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


def _sizes(path: str, size: int, digest: str) -> dict[str, Any]:
    is_large = not path.endswith(".md")
    return {"size": size, **({"lfs": {digest: _hex(path), "size": size, "pointerSize": 135}} if is_large else {})}


def _squeezed(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
