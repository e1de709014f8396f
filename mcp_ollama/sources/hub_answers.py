"""The answers of Hugging Face's API, as far as a search needs them.

Every field may be absent, null or of another type (rows are built from what strangers wrote), and then counts as
unknown. Only names that a model can be pulled by are let through; texts such as cards and templates are not read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import from_json

from mcp_ollama.sources.quantization import parse_file_name

LARGEST_FILE_BYTES = 10**15
"""No disk holds such a file: the number is wrong."""
MAX_ROWS = 100
"""Of a page; more than a search requests is ignored, since parsing blocks the event loop."""
MAX_FILES = 4000
_REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/[A-Za-z0-9_][A-Za-z0-9._-]{0,79}$"
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}", re.ASCII)
_LICENSE = re.compile(r"license:([A-Za-z0-9._-]{1,40})", re.ASCII)
_NAMELESS_LICENSE = "other"


def _or_unknown(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)


_UNKNOWN = WrapValidator(_or_unknown)
Count = Annotated[Annotated[int, Field(ge=0, le=2**63 - 1)] | None, _UNKNOWN]
Size = Annotated[Annotated[int, Field(ge=0, le=LARGEST_FILE_BYTES)] | None, _UNKNOWN]
Flag = Annotated[bool | None, _UNKNOWN]
Word = Annotated[Annotated[str, Field(max_length=100)] | None, _UNKNOWN]
Words = Annotated[Annotated[list[str], Field(max_length=1000)] | None, _UNKNOWN]
Moment = Annotated[Annotated[datetime, AfterValidator(_in_utc)] | None, _UNKNOWN]
RepositoryId = Annotated[str, Field(pattern=_REPOSITORY)]
# Older answers hold `true`; `manual` is the stricter of the two.
Gate = Annotated[
    Literal["auto", "manual"] | None, _UNKNOWN, BeforeValidator(lambda value: "manual" if value is True else value)
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


AnswerT = TypeVar("AnswerT", bound=_Answer)


class _Model(_Answer):
    id: RepositoryId


class _BaseModels(_Answer):
    relation: Word = None
    models: Annotated[list[_Model] | None, _UNKNOWN] = None


class Repository(_Answer):
    """A row of `GET /api/models`, or the head of `GET /api/models/{id}`."""

    id: RepositoryId
    downloads: Count = None
    tags: Words = None
    gated: Gate = None
    private: Flag = None
    disabled: Flag = None
    lastModified: Moment = None  # noqa: N815 - the API's spelling
    pipeline_tag: Word = None
    sha: Word = None
    baseModels: Annotated[_BaseModels | None, _UNKNOWN] = None  # noqa: N815 - the API's spelling

    @property
    def author(self) -> str:
        """The user or organization that owns it."""
        return self.id.partition("/")[0]

    @property
    def base_model(self) -> str | None:
        """The model that it was made from, as its author states, which may be wrong."""
        models = self.baseModels.models if self.baseModels else None
        return models[0].id if models else None

    @property
    def relation(self) -> str | None:
        """Its relation to the base model: `quantized`, `finetune`, `adapter` or `merge`."""
        return self.baseModels.relation if self.baseModels else None

    @property
    def license(self) -> str | None:
        """The licence that its author states, such as `apache-2.0`; None when it has none or one of its own."""
        found = (_LICENSE.fullmatch(tag) for tag in self.tags or ())
        return next((one[1] for one in found if one and one[1] != _NAMELESS_LICENSE), None)

    @property
    def has_chat_template(self) -> bool:
        """Whether its weights bring a chat template, the best sign of a chat model."""
        return "conversational" in (self.tags or ())


class _Lfs(_Answer):
    size: Size = None


class _File(_Answer):
    """A sibling (`rfilename`) or a row of a tree (`path`)."""

    path: Annotated[str | None, _UNKNOWN] = Field(None, validation_alias=AliasChoices("rfilename", "path"))
    size: Size = None
    lfs: Annotated[_Lfs | None, _UNKNOWN] = None

    @property
    def size_bytes(self) -> int | None:
        # Some mirrors give the size of the Git LFS pointer as `size`.
        return self.lfs.size if self.lfs and self.lfs.size is not None else self.size


class _Gguf(_Answer):
    """Metadata of one representative file; `total` counts parameters."""

    total: Count = None
    context_length: Count = None


class _Details(_Answer):
    siblings: Annotated[list[Any] | None, _UNKNOWN] = None
    gguf: Annotated[_Gguf | None, _UNKNOWN] = None


@dataclass(frozen=True, slots=True)
class HubFile:
    """A weights file of a repository."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """The rows of a search that can be named, and the count of those that cannot."""

    repositories: tuple[Repository, ...]
    dropped_count: int


@dataclass(frozen=True, slots=True)
class RepositoryContent:
    """A repository with its weights files, sorted by path."""

    repository: Repository
    files: tuple[HubFile, ...]
    parameter_count: int | None
    context_length: int | None
    dropped_count: int


def parse_page(content: bytes) -> RepositoryPage:
    """Parse the answer of `GET /api/models`.

    Raises:
        ValueError: It is not a list in JSON.
    """
    rows = _list(from_json(content))[:MAX_ROWS]
    repositories = [repository for row in rows if (repository := _parse(Repository, row))]
    return RepositoryPage(tuple(repositories), len(rows) - len(repositories))


def parse_content(content: bytes) -> RepositoryContent:
    """Parse the answer of `GET /api/models/{id}?blobs=true`.

    Raises:
        ValueError: It is not a repository in JSON.
    """
    document = from_json(content)
    repository = Repository.model_validate(document)
    details = _Details.model_validate(document)
    gguf = details.gguf or _Gguf()
    files, dropped = parse_files(details.siblings or ())
    return RepositoryContent(repository, files, gguf.total or None, gguf.context_length or None, dropped)


def parse_tree(content: bytes) -> tuple[tuple[HubFile, ...], int]:
    """Parse the answer of `GET /api/models/{id}/tree/{revision}?recursive=true`.

    Raises:
        ValueError: It is not a list in JSON.
    """
    return parse_files(_list(from_json(content)))


def parse_files(rows: Sequence[Any]) -> tuple[tuple[HubFile, ...], int]:
    """Parse rows of files; return the weights files by path, and the count of those with a name not to be repeated.

    Only the first `MAX_FILES` rows are read.
    """
    files: list[HubFile] = []
    dropped = 0
    for row in rows[:MAX_FILES]:
        file = _parse(_File, row)
        if file is None or file.path is None or file.size_bytes is None:
            continue
        if not _PATH.fullmatch(file.path) or ".." in file.path:
            dropped += file.path.lower().endswith(".gguf")
        elif parse_file_name(file.path).kind in ("model", "mmproj"):
            files.append(HubFile(file.path, file.size_bytes))
    return tuple(sorted(files, key=lambda one: one.path)), dropped


def _list(document: Any) -> list[Any]:
    if not isinstance(document, list):
        raise ValueError("a list is due")  # noqa: TRY004 - the same as for text that is not JSON
    return document  # pyright: ignore[reportUnknownVariableType]


def _parse(model: type[AnswerT], row: Any) -> AnswerT | None:
    try:
        return model.model_validate(row)
    except ValidationError:
        return None
