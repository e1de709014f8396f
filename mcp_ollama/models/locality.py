"""Whether an Ollama server runs on this machine, so that this machine's memory is its memory."""

import ipaddress
import os
import re
import socket
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from mcp_ollama.models.hardware import System
from mcp_ollama.models.machine import Origin, run_probe

_FROM = re.compile(r"^FROM\s+(?P<path>\S.*?)\s*$", re.MULTILINE)
_BLOB_NAME = re.compile(r"sha256[-:][0-9a-f]{64}")
_MOST_BYTES_OF_TEXTS = 4_000_000
"""A model's size counts its template, licence and parameters too, which no `FROM` line of the modelfile names."""
_CONTAINER_FILES = (".dockerenv", "run/.containerenv")
_CONTAINER_GROUPS = ("docker", "lxc", "kubepods", "containerd", "libpod")
_LISTENING = "0A"
_OLLAMA = frozenset({"ollama"})
_TUNNELS = frozenset({"ssh", "autossh", "kubectl", "socat", "cloudflared", "chisel"})
"""Programs that forward a port of this machine to another one, whose models may lie at the same paths."""


async def locate_ollama(
    base_url: str,
    *,
    modelfile: str | None = None,
    model_bytes: int | None = None,
    environment: Mapping[str, str] | None = None,
    system: System | None = None,
) -> Origin | None:
    """Find out whether Ollama runs on this machine; None when that is not certain.

    Args:
        base_url: The address of the Ollama server.
        modelfile: The modelfile of an installed model, from `/api/show`; it names the paths of its blobs.
        model_bytes: The size of that model, from `/api/tags`.
        environment: The environment of this process.
        system: Where the operating system is looked at.

    Returns:
        `machine` when the blobs are here; `machine_assumed` when the address is loopback, the process that listens
        there is `ollama`, and nothing points at a container.
    """
    system = system or System()
    environment = os.environ if environment is None else environment
    port = _loopback_port(base_url)
    if port is not None and await run_probe(lambda: _is_listening(port, system, _TUNNELS)):
        return None
    if modelfile and model_bytes and await run_probe(lambda: has_blobs(modelfile, model_bytes)):
        return "machine"
    if port is None or await run_probe(lambda: is_contained(environment, system)) is not False:
        return None
    return "machine_assumed" if await run_probe(lambda: is_ollama_listening(port, system)) else None


def is_own_address(base_url: str) -> bool:
    """Check that every address of a host is one of this machine's interfaces.

    Raises:
        OSError: The name does not resolve, or an address is another machine's, to which no socket can be bound.
    """
    host = urlsplit(base_url).hostname
    if not host:
        return False
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    return True


def has_blobs(modelfile: str, model_bytes: int) -> bool:
    """Check that the blobs of a modelfile exist on this machine and make up the model's size.

    Raises:
        OSError: A blob does not exist here, or its folder is not readable.
    """
    paths = [Path(path) for path in _FROM.findall(modelfile) if _is_blob_path(path)]
    files = [path.stat() for path in paths]
    total = sum(file.st_size for file in files if stat.S_ISREG(file.st_mode))
    return bool(paths) and 0 <= model_bytes - total <= _MOST_BYTES_OF_TEXTS and total * 2 > model_bytes


def is_contained(environment: Mapping[str, str], system: System) -> bool:
    """Check for signs that this process runs in a container, where loopback is another machine's."""
    if environment.get("container") or any((system.root / name).exists() for name in _CONTAINER_FILES):
        return True
    with suppress(OSError):
        return any(group in system.read("proc/1/cgroup") for group in _CONTAINER_GROUPS)
    return False


def is_ollama_listening(port: int, system: System) -> bool:
    """Check that the process that listens on a port is `ollama`, and not a tunnel or a container's proxy.

    Raises:
        OSError: The system's tables are not readable.
    """
    return _is_listening(port, system, _OLLAMA)


def _is_listening(port: int, system: System, commands: Collection[str]) -> bool:
    """Check that something listens on a port, and that all of it are these programs."""
    if system.platform == "darwin":
        printed = system.run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fc") or ""
        found = {line[1:].lower() for line in printed.splitlines() if line.startswith("c")}
        return bool(found) and found <= set(commands)
    if system.platform != "linux":
        return False
    listeners = list(_read_listeners(port, system))
    return bool(listeners) and all(_is_owned_by(commands, system, owner, inode) for owner, inode in listeners)


def _loopback_port(base_url: str) -> int | None:
    with suppress(ValueError):
        address = urlsplit(base_url)
        host = address.hostname or ""
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return address.port or (443 if address.scheme == "https" else 80)
    return None


def _is_blob_path(path: str) -> bool:
    # Looking at a path on a network share would log in to a host that the Ollama server names.
    is_share = path[:2] in ("\\\\", "//")
    return not is_share and Path(path).is_absolute() and bool(_BLOB_NAME.fullmatch(Path(path).name))


def _read_listeners(port: int, system: System) -> Iterator[tuple[int, str]]:
    """Yield owner and inode of each socket that listens on a port."""
    for table in ("proc/net/tcp", "proc/net/tcp6"):
        with suppress(FileNotFoundError):
            for line in system.read(table).splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield int(fields[7]), fields[9]


def _is_owned_by(commands: Collection[str], system: System, owner: int, inode: str) -> bool:
    return any(
        _has_socket(process, owner, inode)
        for process in (system.root / "proc").glob("[0-9]*")
        if _read_command(process) in commands
    )


def _read_command(process: Path) -> str:
    # A process, or a descriptor of it, can go between the listing and the look.
    with suppress(OSError):
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _has_socket(process: Path, owner: int, inode: str) -> bool:
    try:
        return any(_points_at(descriptor, inode) for descriptor in (process / "fd").iterdir())
    except FileNotFoundError:
        return False
    except PermissionError:
        # The service runs as a user of its own, which runs nothing else; root runs proxies of containers, too.
        return owner != 0 and process.stat().st_uid == owner


def _points_at(descriptor: Path, inode: str) -> bool:
    with suppress(OSError):
        return str(descriptor.readlink()) == f"socket:[{inode}]"
    return False
