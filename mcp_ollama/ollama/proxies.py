"""Proxies of the environment, with the entries of NO_PROXY that can be read.

httpx reads the same variables, and fails altogether at an entry such as `[::1]` or `fd07::/64`.
"""

import logging
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies

_LOG = logging.getLogger(__name__)
_HOST = re.compile(r"\.?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies to use.

    Args:
        by_scheme: Address of the proxy for `http`, `https` and `all`.
        bypassed: Hosts (a domain includes its subdomains) and IP addresses that are reached without a proxy, with
            their port when given.
    """

    by_scheme: dict[str, str]
    bypassed: tuple[str, ...]

    def find(self, url: str) -> str | None:
        """Return the proxy for a URL; None for a direct connection."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if any(_matches(entry, host, parts.port) for entry in self.bypassed):
            return None
        return self.by_scheme.get(parts.scheme) or self.by_scheme.get("all")

    def bypass_patterns(self) -> list[str]:
        """Return the bypassed hosts as keys of httpx's `mounts`."""
        return [f"all://{entry}" if _is_exact(entry) else f"all://*{entry.lstrip('.')}" for entry in self.bypassed]


def read_proxies() -> Proxies:
    """Read HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system's settings (`urllib.request.getproxies`).

    Entries of NO_PROXY that cannot be read are dropped with a warning in the log.
    """
    found = getproxies()
    entries = [entry.strip().lower() for entry in found.get("no", "").split(",")]
    read = {entry: _read_entry(entry) for entry in entries if entry}
    if dropped := [entry for entry, parsed in read.items() if parsed is None]:
        _LOG.warning("NO_PROXY: ignored entries that are not host names or IP addresses: %s", ", ".join(dropped)[:200])
    if "*" in read.values():
        return Proxies({}, ())
    by_scheme = {
        scheme: address if "://" in address else f"http://{address}"
        for scheme in ("http", "https", "all")
        if (address := found.get(scheme))
    }
    return Proxies(by_scheme, tuple(parsed for parsed in read.values() if parsed))


def _read_entry(entry: str) -> str | None:
    if entry == "*":
        return entry
    bare = entry.rpartition("://")[2].removeprefix("*").strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        return bare if _HOST.fullmatch(bare) else None
    return f"[{address}]" if address.version == 6 else str(address)


def _is_exact(entry: str) -> bool:
    return entry.startswith("[") or entry == "localhost" or entry.replace(".", "").isdigit()


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry.startswith("["):
        return entry.strip("[]") == host
    name, _, wanted = entry.partition(":")
    if wanted and str(port) != wanted:
        return False
    name = name.lstrip(".")
    return host == name or (not _is_exact(name) and host.endswith(f".{name}"))
