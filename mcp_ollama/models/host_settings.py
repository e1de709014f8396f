"""Settings of several Ollama hosts, from `MCP_OLLAMA_HOSTS` (JSON) or `MCP_OLLAMA_HOSTS_FILE` (TOML)."""

import json
import logging
import os
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mcp_ollama.models.hosts import ALL_HOSTS, NamedHosts
from mcp_ollama.ollama.addresses import BASE_URL_VARIABLES, server_key
from mcp_ollama.settings import Access, OllamaSettings

logger = logging.getLogger(__name__)

VARIABLE, FILE_VARIABLE = "MCP_OLLAMA_HOSTS", "MCP_OLLAMA_HOSTS_FILE"
_TIERS: tuple[Access, ...] = get_args(Access)
_ADDRESSES = TypeAdapter(dict[str, str])
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_KEYS = {"base_url": "url", "api_key": "token_env", "headers": "headers_env"}
"""The key of a host that fills a field of the settings, where the two differ."""


class HostSettings(OllamaSettings):
    """The settings of one of several hosts: those of the server, with its own address, access and secrets.

    `parse_hosts` builds them without reading the environment, so that no key of a single server reaches another one.
    """

    name: str = ""
    """The name that clients pass as `host`."""
    ca_file: Path | None = None
    """A file of PEM certificates to trust on connections to this host, beside the usual ones."""
    variables: tuple[str, ...] = ()
    """The environment variables of its secrets."""
    server_access: Access = "full"
    """The access tier of all hosts, which may be the reason for that of this one."""

    def plain_api_key(self) -> str | None:
        """Return the key of this host; `OLLAMA_API_KEY` is not one."""
        return self.api_key.get_secret_value() if self.api_key else None

    def secret_variables(self) -> list[str]:
        """Return the variables of the secrets of this host."""
        return list(self.variables)

    def access_setting(self) -> str:
        """Return the setting that decides the access tier: that of all hosts, else the host's own."""
        is_own = self.access != self.server_access
        return f'access = "{self.access}" of the host {self.name}' if is_own else super().access_setting()

    def extra_certificates(self) -> Path | None:
        """Return the certificates to trust on connections to this host."""
        return self.ca_file


class _Table(BaseModel):
    """A table `[hosts.NAME]`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str
    access: Access = "full"
    memory: str | None = None
    token_env: str | None = None
    headers_env: str | None = None
    ca_file: str | None = None
    description: str = ""


class _Document(BaseModel):
    """A file of hosts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default: str | None = None
    hosts: dict[str, _Table]


def parse_hosts(settings: OllamaSettings, environ: Mapping[str, str] | None = None) -> NamedHosts:
    """Return the hosts that `hosts` or `hosts_file` of the settings name.

    Args:
        settings: The operator's settings.
        environ: Where `token_env` and `headers_env` look; None is the process's environment.

    Raises:
        ValueError: Something is invalid. The text is one line with every mistake; it names variable, host and key,
            and never repeats a secret.
    """
    environ = os.environ if environ is None else environ
    if settings.hosts is not None and settings.hosts_file is not None:
        raise ValueError(f"{VARIABLE}: cannot be set beside {FILE_VARIABLE}; remove one of them")
    variable = VARIABLE if settings.hosts_file is None else FILE_VARIABLE
    path = (settings.hosts_file or Path()).expanduser()
    try:
        document, mistakes = (
            (_parse_json(settings.hosts or ""), []) if settings.hosts_file is None else _parse_toml(path)
        )
        hosts = _Builder(settings, environ, path.parent).build(document, mistakes)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from error
    _log_ignored(variable, settings, environ)
    descriptions = {name: table.description for name, table in document.hosts.items() if table.description}
    return NamedHosts(hosts, document.default or next(iter(hosts)), descriptions)


def _parse_json(text: str) -> _Document:
    try:
        addresses = _ADDRESSES.validate_python(json.loads(text, object_pairs_hook=_unique))
    except (json.JSONDecodeError, RecursionError, ValidationError) as error:
        problem = 'must be a JSON object of names and addresses, such as {"gpu": "http://gpu:11434"}'
        raise ValueError(problem) from error
    return _Document(hosts={name: _Table(url=url) for name, url in addresses.items()})


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the pairs of a JSON object; `json` itself keeps only the last of equal names."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]}: the name occurs more than once")
    return dict(pairs)


def _parse_toml(path: Path) -> tuple[_Document, list[str]]:
    """Return the tables of a file that are sound, and the mistakes in the others."""
    try:
        # Editors of Windows begin a file with a byte order mark, which is not TOML.
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    try:
        return _Document.model_validate(content), []
    except ValidationError as error:
        problems = error.errors(include_input=False)
        faulty = {problem["loc"][1] for problem in problems if len(problem["loc"]) > 1}
        tables = cast("dict[str, object]", content["hosts"] if isinstance(content.get("hosts"), dict) else {})
        sound = {name: table for name, table in tables.items() if name not in faulty}
        return _Document.model_validate({"hosts": sound}), list(map(_explain, problems))


def _explain(problem: Any) -> str:
    """Return one mistake of a file with the place where it is."""
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        keys = _Table.model_fields if len(problem["loc"]) > 1 else _Document.model_fields
        return f"{where} is not a key; the keys are {', '.join(keys)}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {problem['msg'].removeprefix('Input ')}"


def _single_server_problems(settings: OllamaSettings) -> Iterator[str]:
    """Yield what belongs to the single server, and must not reach another one by mistake."""
    given = {
        "MCP_OLLAMA_API_KEY": (settings.api_key, "token_env"),
        "MCP_OLLAMA_HEADERS": (settings.headers, "headers_env"),
        "MCP_OLLAMA_MEMORY": (settings.memory, "memory"),
    }
    for single, (value, key) in given.items():
        if value:
            yield f"{single} cannot be set beside it; use {key} of a host in {FILE_VARIABLE}"


def _document_problems(document: _Document) -> Iterator[str]:
    """Yield the mistakes that are not of one host."""
    for name in document.hosts:
        if name == ALL_HOSTS or not _NAME.fullmatch(name):
            why = "is reserved" if name == ALL_HOSTS else "is not valid"
            yield f"the name {name[:80]!r} {why}; use up to 31 of a-z, 0-9 and -, no - first"
    if document.default is not None and document.default not in document.hosts:
        yield f"default {document.default[:80]!r} is none of {', '.join(document.hosts)}"


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds the settings of hosts.

    Args:
        settings: The settings that all hosts share.
        environ: Where the variables of secrets are.
        folder: Start of relative paths.
    """

    settings: OllamaSettings
    environ: Mapping[str, str]
    folder: Path

    def build(self, document: _Document, mistakes: Sequence[str]) -> dict[str, HostSettings]:
        """Return the settings of each host; the ValueError names every mistake, those known before first."""
        empty = [] if document.hosts or mistakes else ["names no host"]
        problems = [*mistakes, *_single_server_problems(self.settings), *empty, *_document_problems(document)]
        hosts: dict[str, HostSettings] = {}
        for name, table in document.hosts.items():
            try:
                hosts[name] = host = self._build_host(name, table)
            except ValueError as error:
                problems.append(str(error))
            else:
                problems += [
                    f"{name}: url is the one of {other}; a server needs one name"
                    for other, one in hosts.items()
                    if other != name and server_key(one.base_url) == server_key(host.base_url)
                ]
        if problems:
            raise ValueError("; ".join(problems))
        return hosts

    def _build_host(self, name: str, table: _Table) -> HostSettings:
        ca_file = self.folder / Path(table.ca_file).expanduser() if table.ca_file else None
        given: dict[str, Any] = {
            "base_url": table.url,
            "api_key": self.environ.get(table.token_env or "") or None,
            "headers": self.environ.get(table.headers_env or "") or {},
            "memory": table.memory,
            "access": max(table.access, self.settings.access, key=_TIERS.index),
        }
        checked, mistakes = _check_fields(given)
        problems = [*self._missing_variables(table), *_certificate_problems(ca_file), *mistakes]
        if problems:
            raise ValueError("; ".join(f"{name}: {problem}" for problem in problems))
        fields = {field: getattr(self.settings, field) for field in OllamaSettings.model_fields}
        fields |= {field: getattr(checked, field) for field in given}
        return HostSettings.model_construct(
            self.settings.model_fields_set | given.keys(),
            **fields,
            name=name,
            ca_file=ca_file,
            variables=tuple(filter(None, (table.token_env, table.headers_env))),
            server_access=self.settings.access,
        )

    def _missing_variables(self, table: _Table) -> Iterator[str]:
        for key, variable in (("token_env", table.token_env), ("headers_env", table.headers_env)):
            if variable is not None and not self.environ.get(variable):
                yield f"{key}: the variable {variable[:80]!r} is not set"


def _check_fields(given: Mapping[str, Any]) -> tuple[OllamaSettings | None, list[str]]:
    """Return the settings, or None and what they refuse; the texts never repeat a value of a secret."""
    if not given["base_url"].strip():
        # Ollama takes an empty address as this machine's.
        return None, ["url is empty"]
    if "@" in given["base_url"]:
        return None, ["url holds a user name or password; use token_env or headers_env instead"]
    try:
        return OllamaSettings(**given), []
    except ValidationError as error:
        return None, list(map(_field_problem, error.errors(include_url=False, include_input=False)))


def _field_problem(problem: Any) -> str:
    field = str(next(iter(problem["loc"]), ""))
    return f"{_KEYS.get(field, field)}: {problem['msg'].removeprefix('Value error, ').rstrip('.')}"


def _certificate_problems(ca_file: Path | None) -> Iterator[str]:
    if ca_file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError:
        yield f"ca_file: {ca_file} holds no PEM certificate"
    except OSError as error:
        yield f"ca_file: {ca_file} cannot be read: {error.strerror}"


def _log_ignored(variable: str, settings: OllamaSettings, environ: Mapping[str, str]) -> None:
    """Log the settings of a single server that the named hosts replace."""
    ignored = [one for one in BASE_URL_VARIABLES if environ.get(one)]
    if not ignored and "base_url" in settings.model_fields_set:
        ignored = ["--base-url"]
    if ignored:
        logger.warning("%s names the Ollama servers, in place of %s.", variable, " and ".join(ignored))
