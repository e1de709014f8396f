"""Settings of the operator: arguments, else `MCP_OLLAMA_*` variables, else defaults. No `.env` is read."""

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

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

from mcp_ollama.ollama.addresses import (
    SHARED_API_KEY_VARIABLE,
    address_from_environment,
    is_loopback,
    key_for,
    parse_host,
)
from mcp_ollama.ollama.names import REGISTRIES

PREFIX = "MCP_OLLAMA_"
_LIVE = f"{PREFIX}LIVE_"

Access = Literal["full", "no-delete", "read-only"]
"""Access tiers."""

_HEADERS = TypeAdapter(dict[str, str])
_KEY = re.compile(r"[\x21-\x7e]+")
_KEY_LOOKS_LIKE = "must be one word of printable ASCII characters"
_PLACEHOLDER = re.compile(
    r"\$\{[^}]*\}|\$\(\w+\)|\{\{.*?\}\}|\{(?:env|file):[^}]+\}"
    # Only whole words without digits: a key or password may contain the other marks.
    r'|(?<![^\s"])(?:\$(?:env:)?[A-Z_]{3,}|%[A-Z_]{3,}%|<[A-Za-z_-]+>)(?![^\s"/\\])'
)
_UNEXPANDED = "is a placeholder without its value: set the value, or remove the variable"
_PLAIN = "http://"
_HOST = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,349}")
_SIZE = r"\d{1,6}(?:\.\d{1,3})?\s?[kmgt]i?b"
_GPUS = rf"(?:gpu:)?{_SIZE}(?:,\s*{_SIZE})*"
_MEMORY = re.compile(rf"{_GPUS}(?:\s+ram:{_SIZE})?|ram:{_SIZE}", re.IGNORECASE)
_OWN_HEADERS = re.compile(
    "accept-encoding|connection|content-(length|type)|expect|te|trailer|transfer-encoding|upgrade", re.IGNORECASE
)
"""Headers that belong to each request; another value breaks all requests."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e]*")


def _parse_headers(value: object) -> dict[str, SecretStr]:
    try:
        headers = _HEADERS.validate_json(value) if isinstance(value, str) else _HEADERS.validate_python(value)
    except ValidationError:
        headers = {"": ""}
    if not all(_HEADER.fullmatch(f"{name}: {text}") for name, text in headers.items()):
        raise ValueError('must be a JSON object of header names and texts, such as {"X-Key": "secret"}')
    if own := sorted(filter(_OWN_HEADERS.fullmatch, headers)):
        raise ValueError(f"must not hold {', '.join(own)}: this server sets that itself")
    return {name: SecretStr(text) for name, text in headers.items()}


def _split(value: object) -> list[str]:
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list | tuple):
        raise ValueError("must be hosts, separated by commas")  # noqa: TRY004 - pydantic expects a ValueError
    return [text for entry in cast("Sequence[object]", entries) if (text := str(entry).strip().lower())]


def _parse_hosts(value: object) -> tuple[str, ...]:
    hosts = _split(value)
    if not all(map(_HOST.fullmatch, hosts)):
        raise ValueError("must be hosts, separated by commas, such as registry.example.com,localhost:5000")
    return tuple(hosts)


def _parse_registries(value: object) -> tuple[str, ...]:
    # An address with https:// is the same as its host.
    registries = [entry.rstrip("/").removeprefix("https://") for entry in _split(value)]
    if not all(_HOST.fullmatch(entry.removeprefix(_PLAIN)) for entry in registries):
        raise ValueError("must be hosts, separated by commas, such as registry.example.com,http://localhost:5000")
    return tuple(registries)


def _parse_memory(value: object) -> object:
    if isinstance(value, str) and not _MEMORY.fullmatch(value):
        raise ValueError("must be the memory of each GPU and the RAM, such as 24GB, 24GB,24GB or gpu:24GB ram:64GB")
    return value


def _check_placeholder(value: object) -> object:
    """Check that a host has expanded its placeholders; an unexpanded one would be sent as a key or used as a path."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str) and _PLACEHOLDER.search(text):
        raise ValueError(_UNEXPANDED)
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _check_key(value: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(value.get_secret_value()):
        raise ValueError(_KEY_LOOKS_LIKE)
    return value


class OllamaSettings(BaseSettings):
    """The settings of the server and of the Pydantic AI functions.

    Each field that is not passed is read from the variable `MCP_OLLAMA_<FIELD>`. The address comes from
    `OLLAMA_BASE_URL` or `OLLAMA_HOST` when `MCP_OLLAMA_BASE_URL` is not set, and the key from
    `OLLAMA_API_KEY` when the address is https or this machine. `HF_*` are Hugging Face's own variables.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        # Else the text of a ValidationError, and thus a traceback, would show a secret.
        hide_input_in_errors=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    base_url: str = Field(default_factory=address_from_environment)
    """Native address of the Ollama server, without `/v1` and without a trailing slash."""
    api_key: Annotated[SecretStr, AfterValidator(_check_key)] | None = None
    """Bearer token, sent only to that server."""
    headers: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_parse_headers)] = {}
    """Further request headers, sent only to that server."""
    model_name: str = Field(default="llama3.2", validation_alias=f"{PREFIX}MODEL")
    """Model of `create_ollama_model()` when none is named."""
    timeout: float = Field(default=30, gt=0, le=3600)
    """Seconds for one management request."""
    pull_wait: float = Field(default=45, ge=0, le=3600)
    """Default `wait_seconds` of `pull_model`, in seconds."""
    stall_seconds: float = Field(default=60, gt=0, le=3600)
    """Seconds without new bytes after which a transfer has stalled."""
    access: Access = "full"
    """Access tier, which decides the tools that are offered."""
    confirm_delete: bool = True
    """Whether a delete or an overwrite needs a confirmation."""
    allow_push: bool = False
    """Whether `push_model` is offered."""
    registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_registries)] = ()
    """Further allowed registries: `HOST[:PORT]`, or `http://HOST[:PORT]` for one that uses plain http."""
    http_token: Annotated[SecretStr, AfterValidator(_check_key)] | None = None
    """Bearer token that `--http` requires from clients; without one it listens only to this machine."""
    http_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_hosts)] = ()
    """Further host names of `--http`, such as those of a proxy or container."""
    outage_seconds: float = Field(default=900, ge=0, le=86_400)
    """Seconds that a running transfer waits for an unreachable Ollama server."""
    state_dir: str | None = None
    """Directory of the journal of transfers; None is the platform's state directory, `off` keeps no journal."""
    resume: bool = False
    """Whether interrupted transfers are resumed at the start."""
    memory: Annotated[str | None, BeforeValidator(_parse_memory)] = None
    """Memory of the machine of the Ollama server, where it cannot be detected: `24GB`, `gpu:24GB ram:64GB`."""
    search: Annotated[Literal["on", "off"], BeforeValidator(_lower)] = "on"
    """Whether `search_models` asks other sources than the Ollama server and its library."""
    hf_endpoint: str = Field(default="https://huggingface.co", validation_alias="HF_ENDPOINT")
    """Address of Hugging Face or of a mirror."""
    hf_token: Annotated[SecretStr, AfterValidator(_check_key)] | None = Field(default=None, validation_alias="HF_TOKEN")
    """Token for Hugging Face."""
    hf_hub_offline: bool = Field(default=False, validation_alias="HF_HUB_OFFLINE")
    """Whether `search_models` leaves Hugging Face out."""
    hosts: str | None = None
    """Several Ollama servers: a JSON object of names and addresses; see `models/host_settings.py`."""
    hosts_file: Path | None = None
    """The same as a TOML file, for more than addresses."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "WARNING"
    """Least severe level that is logged to stderr."""

    @field_validator("*", mode="before")
    @classmethod
    def _expanded(cls, value: object) -> object:
        # `set NAME=false && ...` of cmd.exe, and env files of Docker, keep the spaces around a value.
        return _check_placeholder(value.strip() if isinstance(value, str) else value)

    @field_validator("hf_endpoint")
    @classmethod
    def _web_address(cls, value: str) -> str:
        is_address = re.fullmatch(r"https?://[a-z0-9.:\[\]_-]+(?:/[\w./-]*)?", value, re.IGNORECASE)
        if not is_address or not (value.lower().startswith("https:") or is_loopback(value)):
            raise ValueError("must be an https address, such as https://huggingface.co, or one of this machine")
        return value.rstrip("/")

    @field_validator("base_url")
    @classmethod
    def _native(cls, value: str) -> str:
        return parse_host(value)

    @model_validator(mode="after")
    def _check_shared_key(self) -> Self:
        # The other key was checked with its field.
        key = self.plain_api_key() or "none"
        if _PLACEHOLDER.search(key):
            raise ValueError(f"{SHARED_API_KEY_VARIABLE}: {_UNEXPANDED}")
        if not _KEY.fullmatch(key):
            raise ValueError(f"{SHARED_API_KEY_VARIABLE}: {_KEY_LOOKS_LIKE}")
        return self

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Load the settings, arguments first.

        Raises:
            ValueError: A value is invalid; one line names each variable and what it may be, and repeats no secret.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise ValueError("; ".join(_complaint(problem) for problem in error.errors(include_url=False))) from error

    def plain_headers(self) -> dict[str, str]:
        """Return the headers as they are sent."""
        return {name: text.get_secret_value() for name, text in self.headers.items()}

    def plain_api_key(self) -> str | None:
        """Return the key as it is sent: `MCP_OLLAMA_API_KEY`, else ollama.com's when this address may receive it."""
        return self.api_key.get_secret_value() if self.api_key else key_for(self.base_url)

    def secret_variables(self) -> list[str]:
        """Return the environment variables of the secrets that requests to the server carry."""
        key = f"{PREFIX}API_KEY" if self.api_key else SHARED_API_KEY_VARIABLE
        secrets = {key: self.plain_api_key(), f"{PREFIX}HEADERS": self.headers}
        return [variable for variable, value in secrets.items() if value]

    def access_setting(self) -> str:
        """Return the access tier as the operator writes it."""
        return f"{PREFIX}ACCESS={self.access}"

    def extra_certificates(self) -> Path | None:
        """Return the file of certificates to trust beside the usual ones, which only named hosts can have."""
        return None

    def allows_registry(self, host: str) -> bool:
        """Return whether models may come from and go to a registry (`host` or `host:port`)."""
        return host.lower() in (*REGISTRIES, *self.registry_hosts)

    @property
    def registry_hosts(self) -> tuple[str, ...]:
        """Hosts of the further registries, without a scheme."""
        return tuple(entry.removeprefix(_PLAIN) for entry in self.registries)

    @property
    def plain_http_registries(self) -> dict[str, str]:
        """Base URLs of the registries that use plain http in every tool, by host."""
        return {entry.removeprefix(_PLAIN): entry for entry in self.registries if entry.startswith(_PLAIN)}

    def uses_plain_http(self, host: str) -> bool:
        """Return whether the operator named a registry (`host` or `host:port`) with the scheme http."""
        return host.lower() in self.plain_http_registries


def variable_of(field: str) -> str:
    """Return the environment variable of a field of the settings, or of one that there is not."""
    known = OllamaSettings.model_fields.get(field)
    return str((known and known.validation_alias) or f"{PREFIX}{field.upper()}")


def _complaint(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if not problem["loc"]:
        return text
    name = str(problem["loc"][0])
    variable = name if name.startswith((PREFIX, "HF_")) else variable_of(name)
    return f"{variable}: {'should be true or false' if problem['type'] == 'bool_parsing' else text}"


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each `MCP_OLLAMA_*` variable of the environment that is not a setting.

    `MCP_OLLAMA_LIVE_*` are those of the live tests.
    """
    known = set(map(variable_of, OllamaSettings.model_fields))
    given = {name.upper() for name in (os.environ if environ is None else environ)}
    unknown = sorted(name for name in given - known if name.startswith(PREFIX) and not name.startswith(_LIVE))
    return [_unknown(name, sorted(known)) for name in unknown]


def _unknown(name: str, known: list[str]) -> str:
    words = {one.removeprefix(PREFIX): one for one in known}
    nearest = get_close_matches(name.removeprefix(PREFIX), words, 1, 0.5)
    return f"{name} is not a setting and is ignored." + (f" Did you mean {words[nearest[0]]}?" if nearest else "")
