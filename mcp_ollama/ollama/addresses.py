"""Addresses of Ollama servers, parsed as Ollama parses `OLLAMA_HOST`, and the API key for each."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

BASE_URL_VARIABLES = ("MCP_OLLAMA_BASE_URL", "OLLAMA_BASE_URL", "OLLAMA_HOST")
API_KEY_VARIABLE = "MCP_OLLAMA_API_KEY"
SHARED_API_KEY_VARIABLE = "OLLAMA_API_KEY"
DEFAULT_BASE_URL = "http://127.0.0.1:11434"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNEXPECTED = re.compile(r"""[^!-~]|[?#\\"'<>]""")
_PORT = re.compile(r"0*([0-9]{1,5})")
_DOTTED_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
# The lengths are DNS's: Python's resolver raises UnicodeError, not OSError, for a label outside them.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[\w-]{1,63}(\.[\w-]{1,63})*\.?", re.ASCII)


class InvalidAddress(ValueError):  # noqa: N818 - reads well: `except InvalidAddress`
    """Text that is not a valid address of an Ollama server; the message never repeats a password."""


def parse_host(text: str) -> str:
    """Convert a value of `OLLAMA_HOST` to the base URL to dial, without a trailing slash or `/v1`.

    Raises:
        InvalidAddress: The text is not an http or https address.
    """
    address = text.strip().strip("\"'").strip()
    _check_characters(address)
    before, separator, after = address.partition("://")
    authority, _, path = (after if separator else before).partition("/")
    scheme, default_port = _explicit_scheme(before) if separator else _implied_scheme(authority)
    host, port = _split_port(authority)
    return f"{scheme}://{_dialled_host(host)}:{_port(port, default_port)}{_prefix(path)}"


def openai_base_url(base_url: str) -> str:
    """Return the OpenAI-compatible form of a base URL from `parse_host`."""
    return f"{base_url}/v1"


def is_loopback(base_url: str) -> bool:
    """Return whether a base URL from `parse_host` stays on this machine."""
    host = urlsplit(base_url).hostname or ""
    address = _ip_address(host)
    return address.is_loopback if address else _is_localhost(host)


def is_ollama_com(base_url: str) -> bool:
    """Return whether a base URL from `parse_host` is ollama.com itself, where every model is remote."""
    return f".{urlsplit(base_url).hostname}".endswith(".ollama.com")


@lru_cache(maxsize=64)
def server_key(address: str) -> str:
    """Return the same text for all addresses of one server: `localhost`, `127.0.0.1` and `[::1]` are one host.

    Args:
        address: A base URL; any other text is its own key.
    """
    try:
        parts = urlsplit(parse_host(address))
    except InvalidAddress:
        return address
    host = (parts.hostname or "").rstrip(".")
    is_here = host in ("127.0.0.1", "::1") or _is_localhost(host)
    return f"{'localhost' if is_here else host}:{parts.port}{parts.path}"


def address_from_environment(environ: Mapping[str, str] | None = None) -> str:
    """Return the base URL of the first non-empty of `BASE_URL_VARIABLES`, else the default.

    Raises:
        InvalidAddress: The variable, named in the message, is not an address.
    """
    environ = os.environ if environ is None else environ
    for variable in BASE_URL_VARIABLES:
        if text := environ.get(variable, "").strip():
            try:
                return parse_host(text)
            except InvalidAddress as error:
                raise InvalidAddress(f"{variable}: {error}") from error
    return DEFAULT_BASE_URL


def key_for(base_url: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the environment's API key for a base URL from `parse_host`.

    `OLLAMA_API_KEY` is ollama.com's key and exported in many shells: it never goes over plain http to
    another machine.
    """
    environ = os.environ if environ is None else environ
    if key := environ.get(API_KEY_VARIABLE, "").strip():
        return key
    if base_url.startswith("https://") or is_loopback(base_url):
        return environ.get(SHARED_API_KEY_VARIABLE, "").strip() or None
    return None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _check_characters(address: str) -> None:
    # In the whole text: a password that contains a slash would look like a path.
    if "@" in address:
        raise InvalidAddress(
            "An Ollama address carries no user name or password: leave out the part up to the @ "
            "and set MCP_OLLAMA_HEADERS or MCP_OLLAMA_API_KEY instead."
        )
    if found := _UNEXPECTED.search(address):
        raise InvalidAddress(f"An Ollama address looks like {DEFAULT_BASE_URL} and cannot contain {found[0]!a}.")


def _explicit_scheme(text: str) -> tuple[str, int]:
    scheme = text.lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidAddress(f"An Ollama address begins with http:// or https://, not {_shown(text + '://')}.")
    return scheme, _DEFAULT_PORTS[scheme]


def _implied_scheme(authority: str) -> tuple[str, int]:
    return ("https", 443) if authority == "ollama.com" else ("http", 11434)


def _split_port(authority: str) -> tuple[str, str]:
    # The colons of a bare IPv6 address do not start a port.
    bare = authority.strip("[]")
    if ":" not in authority or _ip_address(bare):
        return bare, ""
    host, _, port = authority.rpartition(":")
    return host.strip("[]"), port


def _dialled_host(host: str) -> str:
    address = _ip_address(host or "127.0.0.1")
    if isinstance(address, IPv4Address):
        return "127.0.0.1" if address.is_unspecified else str(address)
    if isinstance(address, IPv6Address):
        return "[::1]" if address.is_unspecified else f"[{address}]"
    if not _HOST_NAME.fullmatch(host) or _DOTTED_NUMBERS.fullmatch(host):
        raise InvalidAddress(f"{_shown(host)} is neither a host name nor an IP address.")
    return host


def _ip_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # Python accepts any text as a zone, even a port: fe80::1%eth0:11434.
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _port(text: str, default: int) -> int:
    # Ollama itself falls back to the default port, with a warning.
    match = _PORT.fullmatch(text)
    return int(match[1]) if match and int(match[1]) <= 65535 else default


def _prefix(path: str) -> str:
    segments = [segment for segment in path.split("/") if segment]
    while segments and segments[-1] == "v1":
        segments.pop()
    return "".join(f"/{segment}" for segment in segments)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
