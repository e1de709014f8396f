"""What an Ollama server says, in its own words.

Fields keep Ollama's names. Unknown fields are kept, since new servers add some; everything that an
older server leaves out or answers with null has a default.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# Ollama (Go) writes an empty list as null in places, and leaves other fields out: both mean empty.
Words = Annotated[list[str], BeforeValidator(lambda value: [] if value is None else value)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
# Go's numbers end where an int64 does; what is larger is no number of anything.
Count = Annotated[
    int,
    BeforeValidator(lambda value: 0 if value is None else value),
    AfterValidator(lambda value: max(-(2**63), min(value, 2**63 - 1))),
]


def _in_utc(moment: datetime | None) -> datetime | None:
    """Give a moment in UTC, which it is in when it says nothing; None at the ends of time, which have none there."""
    try:
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None


Moment = Annotated[datetime | None, AfterValidator(_in_utc)]
MAX_ROWS = 20_000
"""Of anything that a server or a registry lists; a reader of more would need gigabytes."""


class Answer(BaseModel):
    """Anything the server answers; nobody changes it, so that it can be remembered and shared."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class ModelDetails(Answer):
    """`details` of a model. `context_length` and `embedding_length` come with Ollama 0.30, 0 when unknown."""

    parent_model: Text = ""
    format: Text = ""
    family: Text = ""
    families: Words = Field(default_factory=list[str])
    parameter_size: Text = ""
    quantization_level: Text = ""
    context_length: Count = 0
    embedding_length: Count = 0


Details = Annotated[ModelDetails, BeforeValidator(lambda value: {} if value is None else value)]


class InstalledModel(Answer):
    """A row of `GET /api/tags`.

    `size` is in bytes, over all layers of this one manifest; `digest` is 64 hex digits without a prefix.
    `capabilities` may miss some that `/api/show` knows of (a template inside the GGUF is not read here).
    """

    name: str
    modified_at: Moment = None
    size: Count = 0
    digest: Text = ""
    details: Details = ModelDetails()
    capabilities: Words = Field(default_factory=list[str])
    remote_model: Text = ""
    remote_host: Text = ""


class RunningModel(Answer):
    """A row of `GET /api/ps`: sizes in bytes of memory; `expires_at` centuries away means forever."""

    name: str
    size: Count = 0
    size_vram: Count = 0
    digest: Text = ""
    details: Details = ModelDetails()
    expires_at: Moment = None
    context_length: Count = 0


class Message(Answer):
    """One of the messages that a Modelfile puts before each conversation."""

    role: Text = ""
    content: Text = ""


class ModelInfo(Answer):
    """The answer of `POST /api/show`. It has neither size nor digest: those are in `GET /api/tags`."""

    license: str | list[str] | None = None
    modelfile: Text = ""
    parameters: Text = ""
    template: Text = ""
    system: Text = ""
    details: Details = ModelDetails()
    messages: list[Message] | None = None
    model_info: dict[str, Any] | None = None
    capabilities: Words = Field(default_factory=list[str])
    modified_at: Moment = None
    remote_model: Text = ""
    remote_host: Text = ""
    requires: Text = ""


class Progress(Answer):
    """One line of a pull, push or create.

    Args:
        status: What the server does, in its words; `success` is the last.
        digest: The layer: `sha256:` and 64 hex digits; `sha256:model` for all tensors of a safetensors model.
        total: Bytes of that layer, 0 while unknown.
        completed: Bytes of it that are there; may go backwards, and may end short of `total`.
    """

    status: Text = ""
    digest: Annotated[Text, Field(max_length=200)] = ""
    total: Count = 0
    completed: Count = 0


class Recommendation(Answer):
    """A row of `GET /api/experimental/model-recommendations` (since Ollama 0.22.1)."""

    model: str
    description: Text = ""
    context_length: Count = 0
    vram_bytes: Count = 0


class InstalledModels(Answer):
    """The answer of `GET /api/tags`."""

    models: Annotated[list[InstalledModel], Field(max_length=MAX_ROWS, fail_fast=True)] | None


class RunningModels(Answer):
    """The answer of `GET /api/ps`."""

    models: Annotated[list[RunningModel], Field(max_length=MAX_ROWS, fail_fast=True)] | None


class Recommendations(Answer):
    """The answer of `GET /api/experimental/model-recommendations`."""

    recommendations: Annotated[list[Recommendation], Field(max_length=MAX_ROWS, fail_fast=True)] | None


class OpenAIModels(Answer):
    """The answer of `GET /v1/models`, as far as it tells that the OpenAI-compatible API is there."""

    object: Literal["list"]


class Version(Answer):
    """The answer of `GET /api/version`; a development build says `0.0.0`."""

    version: str


class Cloud(Answer):
    """Whether models that run on ollama.com are refused."""

    disabled: bool = False


class Status(Answer):
    """The answer of `GET /api/status`."""

    cloud: Cloud


class Layer(Answer):
    """A layer of a registry manifest: `digest` with its `sha256:` prefix, `size` in bytes."""

    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    mediaType: str = ""  # noqa: N815 - the registry's spelling

    @property
    def kind(self) -> str:
        """The last word of the media type: `model`, `projector`, `template` and so on."""
        return self.mediaType.rpartition(".")[2].removesuffix("+json")


class Manifest(Answer):
    """A registry manifest (`GET /v2/<namespace>/<model>/manifests/<tag>`)."""

    config: Layer
    layers: Annotated[list[Layer], Field(max_length=MAX_ROWS, fail_fast=True)]
    digest: str = ""

    @property
    def blobs(self) -> dict[str, Layer]:
        """All that a pull fetches, in that order, each digest once."""
        return {layer.digest: layer for layer in (*self.layers, self.config)}

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs, each digest once."""
        return sum(layer.size for layer in self.blobs.values())
