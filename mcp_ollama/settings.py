"""What the operator chose: arguments, else `MCP_OLLAMA_*` variables, else defaults. No `.env` is read."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mcp_ollama.ollama.addresses import SHARED_API_KEY_VARIABLE, address_from_environment, key_for, parse_host

PREFIX = "MCP_OLLAMA_"

REGISTRIES = ("registry.ollama.ai", "ollama.com", "hf.co", "huggingface.co")
"""Where models may come from and go to without the operator saying so."""

_HEADERS = TypeAdapter(dict[str, str])
_KEY = re.compile(r"[\x21-\x7e]+")
_KEY_LOOKS_LIKE = "must be one word of printable ASCII characters"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e]*")


def _parse_headers(value: object) -> dict[str, SecretStr]:
    try:
        headers = _HEADERS.validate_json(value) if isinstance(value, str) else _HEADERS.validate_python(value)
    except ValidationError:
        headers = {"": ""}
    if not all(_HEADER.fullmatch(f"{name}: {text}") for name, text in headers.items()):
        raise ValueError('must be a JSON object of header names and texts, such as {"X-Key": "secret"}')
    return {name: SecretStr(text) for name, text in headers.items()}


def _parse_hosts(value: object) -> tuple[str, ...]:
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, list | tuple):
        raise ValueError("must be host names, separated by commas")  # noqa: TRY004 - pydantic wants a ValueError
    names = [str(host).strip().lower() for host in hosts]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if not all(re.fullmatch(r"[a-z0-9_][a-z0-9_.:-]{0,349}", name) for name in names if name):
        raise ValueError("must be host names, separated by commas, such as registry.example.com,localhost:5000")
    return tuple(name for name in names if name)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _check_key(value: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(value.get_secret_value()):
        raise ValueError(_KEY_LOOKS_LIKE)
    return value


class OllamaSettings(BaseSettings):
    """The settings of the server and of the Pydantic AI functions.

    Each field is read from the variable `MCP_OLLAMA_<FIELD>` unless given. The address comes from
    `OLLAMA_BASE_URL` or `OLLAMA_HOST` when `MCP_OLLAMA_BASE_URL` is not set, and the key from
    `OLLAMA_API_KEY` when the address is https or this machine.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        # Else the text of a ValidationError, and so a traceback, would show a secret.
        hide_input_in_errors=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    base_url: str = Field(default_factory=address_from_environment)
    """Native address of the Ollama server, without `/v1` and without a slash at its end."""
    api_key: Annotated[SecretStr, AfterValidator(_check_key)] | None = None
    """Bearer token for that server alone."""
    headers: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_parse_headers)] = {}
    """Further request headers for that server alone."""
    model_name: str = Field(default="llama3.2", validation_alias=f"{PREFIX}MODEL")
    """Model of `create_ollama_model()` when none is named."""
    timeout: float = Field(default=30, gt=0, le=3600)
    """Seconds for one management request."""
    pull_wait: float = Field(default=45, ge=0, le=3600)
    """Seconds that `pull_model` waits when the call does not say."""
    stall_seconds: float = Field(default=60, gt=0, le=3600)
    """No new bytes for so long is a stall."""
    access: Literal["full", "no-delete", "read-only"] = "full"
    """Which tools there are."""
    confirm_delete: bool = True
    """Whether to ask before deleting and overwriting."""
    allow_push: bool = False
    """Whether there is a `push_model`."""
    registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_hosts)] = ()
    """Hosts of further registries; plain http is spoken only to these."""
    http_token: Annotated[SecretStr, AfterValidator(_check_key)] | None = None
    """What clients have to show to `--http`; without one only this machine is served."""
    http_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_hosts)] = ()
    """Further names under which clients reach `--http`: a proxy's, a container host's."""
    outage_seconds: float = Field(default=900, ge=0, le=86_400)
    """Seconds that a running transfer waits for an unreachable Ollama server."""
    state_dir: str | None = None
    """Directory of the journal of transfers; None is the platform's state directory, `off` keeps no journal."""
    resume: bool = False
    """Whether interrupted transfers are resumed at the start."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "WARNING"
    """What is logged to stderr."""

    @field_validator("base_url")
    @classmethod
    def _native(cls, value: str) -> str:
        return parse_host(value)

    @model_validator(mode="after")
    def _check_shared_key(self) -> Self:
        # The other key was checked with its field.
        if not _KEY.fullmatch(self.plain_api_key() or "none"):
            raise ValueError(f"{SHARED_API_KEY_VARIABLE}: {_KEY_LOOKS_LIKE}")
        return self

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings, arguments first; a wrong one is told in one line that names its variable.

        Raises:
            ValueError: A value is not what it may be. The text never repeats the value of a secret.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise ValueError("; ".join(_complaint(problem) for problem in error.errors(include_url=False))) from error

    def plain_headers(self) -> dict[str, str]:
        """Give the headers as they go over the wire."""
        return {name: text.get_secret_value() for name, text in self.headers.items()}

    def plain_api_key(self) -> str | None:
        """Give the key as it goes over the wire: ours, else ollama.com's when it may go to this address."""
        return self.api_key.get_secret_value() if self.api_key else key_for(self.base_url)

    def allows_registry(self, host: str) -> bool:
        """Tell whether models may come from and go to a registry (`host` or `host:port`)."""
        return host.lower() in (*REGISTRIES, *self.registries)


def _complaint(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if not problem["loc"]:
        return text
    name = str(problem["loc"][0])
    variable = name if name.startswith(PREFIX) else f"{PREFIX}{name.upper()}"
    return f"{variable}: {'should be true or false' if problem['type'] == 'bool_parsing' else text}"
