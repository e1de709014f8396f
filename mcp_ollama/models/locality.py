"""Whether an Ollama server runs on this machine, so that this machine's memory is its memory."""

import math
import os
import re
import socket
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mcp_ollama.models.hardware import System
from mcp_ollama.models.machine import Origin, run_probe
from mcp_ollama.ollama.addresses import is_loopback

_BLOB_NAME = re.compile(r"sha256[-:][0-9a-f]{64}")
_MOST_BYTES_OF_TEXTS = 4_000_000
"""A model's size counts its template, licence and parameters too, which no `FROM` line of the modelfile names."""
_CONTAINER_FILES = (".dockerenv", "run/.containerenv")
_CONTAINER_GROUPS = ("docker", "lxc", "kubepods", "containerd", "libpod")
_LISTENING = "0A"
_OLLAMA = frozenset({"ollama"})
_TUNNELS = frozenset({"ssh", "autossh", "kubectl", "socat", "cloudflared", "chisel"})
"""Programs that forward a port of this machine to another one, whose models may lie at the same paths."""
REMEMBERED_SECONDS = 5
"""Lifetime of an answer: to look takes some milliseconds on a machine of many sockets."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """An installed model that can prove that Ollama runs on this machine.

    Attributes:
        size_bytes: Size of the model, from `/api/tags`.
        sources: What its modelfile names: the paths of its blobs on the server.
    """

    size_bytes: int
    sources: tuple[str, ...]

    @property
    def blobs(self) -> list[Path]:
        """Paths of its blobs, if the server is this machine."""
        return [Path(source) for source in self.sources if _is_blob_path(source)]


class Locality:
    """Where one Ollama server runs; the last answer is remembered for `REMEMBERED_SECONDS`.

    Args:
        base_url: The address of the server.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._own: tuple[float, bool] = -math.inf, False
        self._found: tuple[float, LocalModel | None, Origin | None] = -math.inf, None, None

    async def has_own_address(self) -> bool:
        """Return whether the address of the server is this machine's."""
        checked_at, is_own = self._own
        if not _is_recent(checked_at):
            is_own = await run_probe(lambda: is_own_address(self._base_url)) or False
            self._own = time.monotonic(), is_own
        return is_own

    async def find(self, model: LocalModel | None) -> Origin | None:
        """Find out whether the server runs on this machine, see `locate_ollama`."""
        found_at, question, origin = self._found
        if question != model or not _is_recent(found_at):
            # A copy of the same models on this machine proves nothing about a server at another address.
            origin = await locate_ollama(self._base_url, model) if await self.has_own_address() else None
            self._found = time.monotonic(), model, origin
        return origin


async def locate_ollama(
    base_url: str,
    model: LocalModel | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    system: System | None = None,
) -> Origin | None:
    """Find out whether Ollama runs on this machine; None when that is not certain.

    Args:
        base_url: The address of the Ollama server.
        model: An installed model.
        environment: The environment of this process.
        system: Where the operating system is looked at.

    Returns:
        `machine` when the blobs are here; `machine_assumed` when the address is loopback, the process that listens
        there is `ollama`, and nothing points at a container.
    """
    system = system or System()
    environment = os.environ if environment is None else environment
    port = urlsplit(base_url).port if is_loopback(base_url) else None
    listening = [] if port is None else await run_probe(lambda: read_listening_programs(port, system)) or []
    if _are_all(listening, _TUNNELS):
        return None
    if model and await run_probe(lambda: has_blobs(model)):
        return "machine"
    if port is None or await run_probe(lambda: is_contained(environment, system)) is not False:
        return None
    return "machine_assumed" if _are_all(listening, _OLLAMA) else None


def is_own_address(base_url: str) -> bool:
    """Check that every address of a host is one of this machine's interfaces.

    Raises:
        OSError: The name does not resolve, or an address is another machine's, to which no socket can be bound.
    """
    host = urlsplit(base_url).hostname
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
        # `localhost` has an IPv6 address also where IPv6 is disabled, and nothing can be bound to it.
        if address[0] != "::1":
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    return True


def has_blobs(model: LocalModel) -> bool:
    """Check that the blobs of a model exist on this machine and make up its size.

    Raises:
        OSError: A blob does not exist here, or its folder is not readable.
    """
    files = [path.stat() for path in model.blobs]
    total = sum(file.st_size for file in files if stat.S_ISREG(file.st_mode))
    return 0 <= model.size_bytes - total <= _MOST_BYTES_OF_TEXTS and total * 2 > model.size_bytes


def is_contained(environment: Mapping[str, str], system: System) -> bool:
    """Check for signs that this process runs in a container, where loopback is another machine's."""
    if environment.get("container") or any((system.root / name).exists() for name in _CONTAINER_FILES):
        return True
    with suppress(OSError):
        return any(group in system.read("proc/1/cgroup") for group in _CONTAINER_GROUPS)
    return False


def read_listening_programs(port: int, system: System) -> list[set[str]]:
    """Return, for each socket that listens on a port, the commands of the known programs that may own it.

    Known are `ollama` and the usual tunnels; of another program's socket the set is empty.

    Raises:
        OSError: The system's tables are not readable.
    """
    if system.platform == "darwin":
        printed = system.run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fc") or ""
        return [{line[1:].lower()} for line in printed.splitlines() if line.startswith("c")]
    if system.platform != "linux":
        return []
    listeners = list(_read_listeners(port, system))
    known = list(_read_known_processes(system)) if listeners else []
    return [{command for command, process in known if _has_socket(process, owner, inode)} for owner, inode in listeners]


def _are_all(listening: Collection[set[str]], commands: Collection[str]) -> bool:
    return bool(listening) and all(found.intersection(commands) for found in listening)


def _is_recent(moment: float) -> bool:
    return time.monotonic() - moment < REMEMBERED_SECONDS


def _is_blob_path(path: str) -> bool:
    # Looking at a path on a network share would log in to a host that the Ollama server names.
    is_share = path[:2] in ("\\\\", "//")
    return not is_share and Path(path).is_absolute() and bool(_BLOB_NAME.fullmatch(Path(path).name))


def _read_listeners(port: int, system: System) -> Iterator[tuple[int, str]]:
    """Yield owner and inode of each socket that listens on a port."""
    # The tables have a line for each connection of the machine, of which only these are split.
    row = re.compile(rf"^ *\d+: \w+:{port:04X} \w+:\w+ {_LISTENING} .*", re.MULTILINE)
    for table in ("proc/net/tcp", "proc/net/tcp6"):
        with suppress(FileNotFoundError):
            for line in row.findall(system.read(table)):
                fields = line.split()
                yield int(fields[7]), fields[9]


def _read_known_processes(system: System) -> Iterator[tuple[str, Path]]:
    for process in (system.root / "proc").glob("[0-9]*"):
        if (command := _read_command(process)) in _OLLAMA | _TUNNELS:
            yield command, process


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
