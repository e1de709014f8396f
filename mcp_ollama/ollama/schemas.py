"""Models of the responses of Ollama and of registries; the one place where foreign values are made safe.

Fields keep Ollama's names. Fields that an older server omits or sends as null have a default; unknown fields are
ignored. Every text loses the secrets of the validation context, then its control and bidi characters, and is then
truncated; every number has a limit.
"""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from mcp_ollama.ollama.sanitizing import Redactor, clean_line, clean_text

MAX_INSTALLED = 10_000
"""Rows of `GET /api/tags`, which are validated in turns."""

MAX_ROWS = 1_000
"""Rows of a list that is validated in one go, which takes 20 ms."""

MAX_LAYERS = 20_000
"""Layers of a manifest; a model in safetensors has one for each of its tensors."""

MAX_COUNT = 2**63 - 1
"""Largest int64, which Go cannot exceed."""

MAX_BYTES = 2**48
"""256 tebibytes: no disk of an Ollama server holds more, and the sum of 20,000 sizes stays an int64."""

_MAX_WORDS = 100
_MAX_UINT64 = 2**64 - 1


def _redact(text: str, info: ValidationInfo) -> str:
    redact = cast("Redactor | None", info.context)
    return redact(text) if redact else text


def _empty_if_null(value: object) -> object:
    return "" if value is None else value


def _clean_long_text(text: str, info: ValidationInfo) -> str:
    return clean_text(_redact(text, info))


def _clean_name(text: str, info: ValidationInfo) -> str:
    return clean_line(_redact(text, info), 600)


def _clean_label(text: str, info: ValidationInfo) -> str:
    return clean_line(_redact(text, info), 200)


def _clean_words(words: list[str], info: ValidationInfo) -> list[str]:
    return [clean_line(_redact(word, info), 80) for word in words[:_MAX_WORDS]]


def _clean_value(value: object, info: ValidationInfo) -> Any:
    """Return a JSON value with safe texts and numbers, as deep as it is nested."""
    match value:
        case str():
            return _clean_long_text(value, info)
        case bool() | None:
            return value
        case int():
            return max(-MAX_COUNT, min(value, _MAX_UINT64))
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_clean_value(item, info) for item in cast("list[object]", value)]
        case _:
            items = cast("dict[str, object]", value).items()
            return {_clean_label(key, info): _clean_value(item, info) for key, item in items}


def _read_error(value: object, info: ValidationInfo) -> str:
    if isinstance(value, dict):
        message = cast("dict[str, object]", value).get("message")
        value = message if isinstance(message, str) else cast("object", value)
    return _redact(value if isinstance(value, str) else repr(value) if value else "", info)


# Ollama (Go) writes some empty lists as null and omits other fields: both mean empty.
StrList = Annotated[
    list[str], BeforeValidator(lambda value: [] if value is None else value), AfterValidator(_clean_words)
]
Name = Annotated[str, AfterValidator(_clean_name)]
NullableStr = Annotated[str, BeforeValidator(_empty_if_null), AfterValidator(_clean_label)]
NullableText = Annotated[str, BeforeValidator(_empty_if_null), AfterValidator(_clean_long_text)]
ErrorText = Annotated[str, BeforeValidator(_read_error)]
"""The `error` of a response: a string, or the object of the `/v1` endpoints; it is still to be sanitized."""
Count = Annotated[
    int,
    BeforeValidator(lambda value: 0 if value is None else value),
    AfterValidator(lambda value: max(0, min(value, MAX_COUNT))),
]
Bytes = Annotated[Count, AfterValidator(lambda value: min(value, MAX_BYTES))]


def _to_utc(time: datetime | None) -> datetime | None:
    """Return the time in UTC, the default zone; None for Go's zero time, and for one that UTC cannot represent."""
    if time and time.year == 1:
        return None
    try:
        return time and (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None


UtcDatetime = Annotated[datetime | None, AfterValidator(_to_utc)]


class OllamaResponse(BaseModel):
    """Base of all responses; frozen, so that they can be cached and shared."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class ModelDetails(OllamaResponse):
    """`details` of a model. `context_length` and `embedding_length` come with Ollama 0.30, 0 when unknown."""

    parent_model: NullableStr = ""
    format: NullableStr = ""
    family: NullableStr = ""
    families: StrList = Field(default_factory=list[str])
    parameter_size: NullableStr = ""
    quantization_level: NullableStr = ""
    context_length: Count = 0
    embedding_length: Count = 0


Details = Annotated[ModelDetails, BeforeValidator(lambda value: {} if value is None else value)]


class InstalledModel(OllamaResponse):
    """Row of `GET /api/tags`.

    `size` is in bytes, over all layers of this one manifest; `digest` is 64 hex digits without a prefix.
    `capabilities` may lack some of `/api/show` (a template inside the GGUF is not read here).
    """

    name: Name
    modified_at: UtcDatetime = None
    size: Bytes = 0
    digest: NullableStr = ""
    details: Details = ModelDetails()
    capabilities: StrList = Field(default_factory=list[str])
    remote_model: NullableStr = ""
    remote_host: NullableStr = ""


class RunningModel(OllamaResponse):
    """Row of `GET /api/ps`: sizes in bytes of memory; `expires_at` centuries away means forever."""

    name: Name
    size: Bytes = 0
    size_vram: Bytes = 0
    digest: NullableStr = ""
    details: Details = ModelDetails()
    expires_at: UtcDatetime = None
    context_length: Count = 0


class Message(OllamaResponse):
    """Message of a Modelfile that precedes each conversation."""

    role: NullableStr = ""
    content: NullableText = ""


class ModelInfo(OllamaResponse):
    """Response of `POST /api/show`. Size and digest are only in `GET /api/tags`."""

    license: Annotated[str | list[str] | None, AfterValidator(_clean_value)] = None
    modelfile: NullableText = ""
    parameters: NullableText = ""
    template: NullableText = ""
    system: NullableText = ""
    details: Details = ModelDetails()
    messages: list[Message] | None = None
    model_info: Annotated[dict[str, Any] | None, AfterValidator(_clean_value)] = None
    capabilities: StrList = Field(default_factory=list[str])
    modified_at: UtcDatetime = None
    remote_model: NullableStr = ""
    remote_host: NullableStr = ""
    requires: NullableStr = ""


class VerboseModelInfo(OllamaResponse):
    """Response of a verbose `POST /api/show`, as far as it describes the weights; its values are not cleaned.

    Only numbers are used, and the vocabulary of 260,000 texts takes a second to clean.
    """

    model_info: dict[str, Any] | None = None


class Generation(OllamaResponse):
    """Response of `POST /api/generate`: counts of tokens, and durations in nanoseconds; 0 when they are omitted.

    A prompt that the server has cached is not counted.
    """

    prompt_eval_count: Count = 0
    prompt_eval_duration: Count = 0
    eval_count: Count = 0
    eval_duration: Count = 0


class Progress(OllamaResponse):
    """Line of a pull, push or create.

    Args:
        status: The server's own text; `success` is the last.
        digest: The layer: `sha256:` and 64 hex digits; `sha256:model` for all tensors of a safetensors model.
        total: Bytes of that layer, 0 while unknown.
        completed: Bytes transferred; may fall, and may end below `total`.
    """

    status: NullableStr = ""
    digest: NullableStr = ""
    total: Bytes = 0
    completed: Bytes = 0


class Recommendation(OllamaResponse):
    """Row of `GET /api/experimental/model-recommendations` (since Ollama 0.22.1)."""

    model: Name
    description: NullableStr = ""
    context_length: Count = 0
    vram_bytes: Bytes = 0


class InstalledModels(OllamaResponse):
    """Response of `GET /api/tags`; its rows are validated one by one, since there may be thousands."""

    models: Annotated[list[dict[str, Any]], Field(max_length=MAX_INSTALLED, fail_fast=True)] | None


class RunningModels(OllamaResponse):
    """Response of `GET /api/ps`."""

    models: Annotated[list[RunningModel], Field(max_length=MAX_ROWS, fail_fast=True)] | None


class Recommendations(OllamaResponse):
    """Response of `GET /api/experimental/model-recommendations`."""

    recommendations: Annotated[list[Recommendation], Field(max_length=MAX_ROWS, fail_fast=True)] | None


class OpenAIModels(OllamaResponse):
    """Response of `GET /v1/models`, as far as it identifies the OpenAI-compatible API."""

    object: Literal["list"]


class Version(OllamaResponse):
    """Response of `GET /api/version`; `0.0.0` for a development build."""

    version: Name


class Cloud(OllamaResponse):
    """State of models that run on ollama.com."""

    disabled: bool = False


class Status(OllamaResponse):
    """Response of `GET /api/status`."""

    cloud: Cloud


class Account(OllamaResponse):
    """Response of `POST /api/me`; its fields are personal, and not read."""


class Layer(OllamaResponse):
    """Layer of a registry manifest: `digest` with its `sha256:` prefix, `size` in bytes."""

    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=MAX_BYTES)]
    mediaType: str = ""  # noqa: N815 - the registry's spelling

    @property
    def kind(self) -> str:
        """Last part of the media type: `model`, `projector`, `template` and so on."""
        return self.mediaType.rpartition(".")[2].removesuffix("+json")


class Manifest(OllamaResponse):
    """Registry manifest (`GET /v2/<namespace>/<model>/manifests/<tag>`)."""

    config: Layer
    layers: Annotated[list[Layer], Field(max_length=MAX_LAYERS, fail_fast=True)]
    digest: str = ""
    created_digest: str = ""
    """Digest of the same manifest where it was created: Ollama writes a newline at its end, and pushes it without."""

    @property
    def digests(self) -> set[str]:
        """Digests under which this version may be installed."""
        return {self.digest, self.created_digest}

    @property
    def blobs(self) -> dict[str, Layer]:
        """Blobs of a pull in its order, each digest once."""
        return {layer.digest: layer for layer in (*self.layers, self.config)}

    @property
    def layer_digests(self) -> set[str]:
        """Digests of the blobs beside the config."""
        return self.blobs.keys() - {self.config.digest}

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs, each digest once."""
        return sum(layer.size for layer in self.blobs.values())
