"""Models of the responses of Ollama and of registries.

Fields keep Ollama's names. Fields that an older server omits or sends as null have a default; unknown fields are
ignored.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# Ollama (Go) writes some empty lists as null and omits other fields: both mean empty.
StrList = Annotated[list[str], BeforeValidator(lambda value: [] if value is None else value)]
NullableStr = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
# Go's numbers end where an int64 does; what is larger is no number of anything.
Count = Annotated[
    int,
    BeforeValidator(lambda value: 0 if value is None else value),
    AfterValidator(lambda value: max(-(2**63), min(value, 2**63 - 1))),
]


def _to_utc(time: datetime | None) -> datetime | None:
    """Return the time in UTC, the default zone; None when it cannot be represented there."""
    try:
        return time and (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None


UtcDatetime = Annotated[datetime | None, AfterValidator(_to_utc)]
MAX_ROWS = 20_000
"""Rows of a list from a server or registry; more would need gigabytes."""


class OllamaResponse(BaseModel):
    """Base of all responses; frozen, so that they can be cached and shared."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


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

    name: str
    modified_at: UtcDatetime = None
    size: Count = 0
    digest: NullableStr = ""
    details: Details = ModelDetails()
    capabilities: StrList = Field(default_factory=list[str])
    remote_model: NullableStr = ""
    remote_host: NullableStr = ""


class RunningModel(OllamaResponse):
    """Row of `GET /api/ps`: sizes in bytes of memory; `expires_at` centuries away means forever."""

    name: str
    size: Count = 0
    size_vram: Count = 0
    digest: NullableStr = ""
    details: Details = ModelDetails()
    expires_at: UtcDatetime = None
    context_length: Count = 0


class Message(OllamaResponse):
    """Message of a Modelfile that precedes each conversation."""

    role: NullableStr = ""
    content: NullableStr = ""


class ModelInfo(OllamaResponse):
    """Response of `POST /api/show`. Size and digest are only in `GET /api/tags`."""

    license: str | list[str] | None = None
    modelfile: NullableStr = ""
    parameters: NullableStr = ""
    template: NullableStr = ""
    system: NullableStr = ""
    details: Details = ModelDetails()
    messages: list[Message] | None = None
    model_info: dict[str, Any] | None = None
    capabilities: StrList = Field(default_factory=list[str])
    modified_at: UtcDatetime = None
    remote_model: NullableStr = ""
    remote_host: NullableStr = ""
    requires: NullableStr = ""


class Progress(OllamaResponse):
    """Line of a pull, push or create.

    Args:
        status: The server's own text; `success` is the last.
        digest: The layer: `sha256:` and 64 hex digits; `sha256:model` for all tensors of a safetensors model.
        total: Bytes of that layer, 0 while unknown.
        completed: Bytes transferred; may fall, and may end below `total`.
    """

    status: NullableStr = ""
    digest: Annotated[NullableStr, Field(max_length=200)] = ""
    total: Count = 0
    completed: Count = 0


class Recommendation(OllamaResponse):
    """Row of `GET /api/experimental/model-recommendations` (since Ollama 0.22.1)."""

    model: str
    description: NullableStr = ""
    context_length: Count = 0
    vram_bytes: Count = 0


class InstalledModels(OllamaResponse):
    """Response of `GET /api/tags`."""

    models: Annotated[list[InstalledModel], Field(max_length=MAX_ROWS, fail_fast=True)] | None


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

    version: str


class Cloud(OllamaResponse):
    """State of models that run on ollama.com."""

    disabled: bool = False


class Status(OllamaResponse):
    """Response of `GET /api/status`."""

    cloud: Cloud


class Layer(OllamaResponse):
    """Layer of a registry manifest: `digest` with its `sha256:` prefix, `size` in bytes."""

    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    mediaType: str = ""  # noqa: N815 - the registry's spelling

    @property
    def kind(self) -> str:
        """Last part of the media type: `model`, `projector`, `template` and so on."""
        return self.mediaType.rpartition(".")[2].removesuffix("+json")


class Manifest(OllamaResponse):
    """Registry manifest (`GET /v2/<namespace>/<model>/manifests/<tag>`)."""

    config: Layer
    layers: Annotated[list[Layer], Field(max_length=MAX_ROWS, fail_fast=True)]
    digest: str = ""

    @property
    def blobs(self) -> dict[str, Layer]:
        """Blobs of a pull in its order, each digest once."""
        return {layer.digest: layer for layer in (*self.layers, self.config)}

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs, each digest once."""
        return sum(layer.size for layer in self.blobs.values())
