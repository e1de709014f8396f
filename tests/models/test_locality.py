"""Whether Ollama runs on this machine: by its blobs, or by the process that listens."""

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mcp_ollama.models import locality
from mcp_ollama.models.hardware import System
from mcp_ollama.models.locality import Locality, LocalModel, is_own_address, locate_ollama

DIGEST = f"sha256-{'a' * 64}"
ADDRESS = "http://127.0.0.1:11434"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
INODE = 4711


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content, encoding="utf-8")


def add_process(root: Path, number: int, command: str, inode: int | None = None) -> Path:
    write(root, f"proc/{number}/comm", f"{command}\n")
    descriptors = root / "proc" / str(number) / "fd"
    descriptors.mkdir()
    (descriptors / "0").symlink_to("/dev/null")
    if inode is not None:
        (descriptors / "3").symlink_to(f"socket:[{inode}]")
    return descriptors


def add_listener(root: Path, port: int = 11434, owner: int = 1000, state: str = "0A", table: str = "tcp") -> None:
    line = f"   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {owner} 0 {INODE} 1"
    write(root, f"proc/net/{table}", f"{HEADER}\n{line}\n")


@pytest.fixture
def linux(tmp_path: Path) -> System:
    return System("linux", tmp_path, str(tmp_path / "bin"))


async def locate(system: System, base_url: str = ADDRESS, environment: Mapping[str, str] | None = None) -> str | None:
    return await locate_ollama(base_url, environment=environment or {}, system=system)


async def locate_by_blobs(system: System, model_bytes: int, *paths: object) -> str | None:
    model = LocalModel(model_bytes, tuple(map(str, paths)))
    return await locate_ollama("http://gpu:11434", model, environment={}, system=system)


async def test_blobs_of_the_right_size_prove_the_machine(linux: System) -> None:
    blob = linux.root / DIGEST
    blob.write_bytes(bytes(10_000))

    assert await locate_by_blobs(linux, 10_200, blob) == "machine"
    assert await locate_by_blobs(linux, 20_200, blob, blob) == "machine"


@pytest.mark.parametrize(("command", "expected"), [("ssh", None), ("ollama", "machine"), ("docker-proxy", "machine")])
async def test_blobs_prove_nothing_behind_a_tunnel(linux: System, command: str, expected: str | None) -> None:
    """The machine at the other end often has the same models at the same paths."""
    blob = linux.root / DIGEST
    blob.write_bytes(bytes(10_000))
    add_listener(linux.root)
    add_process(linux.root, 21, command, INODE)
    model = LocalModel(10_200, (str(blob),))
    assert await locate_ollama(ADDRESS, model, environment={}, system=linux) == expected


@pytest.mark.parametrize("model_bytes", [9999, 20_000, 5_000_000])
async def test_blobs_of_another_size_prove_nothing(linux: System, model_bytes: int) -> None:
    blob = linux.root / DIGEST
    blob.write_bytes(bytes(10_000))

    assert await locate_by_blobs(linux, model_bytes, blob) is None


@pytest.mark.parametrize("path", ["/absent/" + DIGEST, "llama3.2", "/etc/passwd", f"//server/share/{DIGEST}", DIGEST])
async def test_paths_that_are_no_blobs_here_prove_nothing(linux: System, path: str) -> None:
    assert await locate_by_blobs(linux, 2000, path) is None


async def test_folder_in_the_place_of_a_blob_proves_nothing(linux: System) -> None:
    (linux.root / DIGEST).mkdir()

    assert await locate_by_blobs(linux, 4096, linux.root / DIGEST) is None


@pytest.mark.parametrize("table", ["tcp", "tcp6"])
@pytest.mark.parametrize("base_url", [ADDRESS, "http://localhost:11434/v1", "http://[::1]:11434"])
async def test_ollama_that_listens_on_loopback_is_assumed_here(linux: System, base_url: str, table: str) -> None:
    add_listener(linux.root, table=table)
    add_process(linux.root, 1, "init")
    add_process(linux.root, 20, "ollama")
    add_process(linux.root, 21, "ollama", INODE)

    assert await locate(linux, base_url) == "machine_assumed"


@pytest.mark.parametrize("base_url", ["http://gpu:11434", "http://192.168.1.2:11434"])
async def test_other_address_is_not_assumed_here(linux: System, base_url: str) -> None:
    add_listener(linux.root)
    add_process(linux.root, 21, "ollama", INODE)

    assert await locate(linux, base_url) is None


@pytest.mark.parametrize("base_url", [ADDRESS, "http://localhost:1"])
def test_own_addresses_are_those_of_this_machine(base_url: str) -> None:
    assert is_own_address(base_url)


def test_localhost_is_own_where_ipv6_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    no_family = 99

    def resolve(*_: object, **__: object) -> list[object]:
        return [(no_family, socket.SOCK_DGRAM, 0, "", ("::1", 0, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert is_own_address("http://localhost:11434")


def test_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - each system has another text
        is_own_address("http://192.0.2.1:11434")


@pytest.mark.parametrize(
    ("command", "port", "state"), [("ssh", 11434, "0A"), ("ollama", 11435, "0A"), ("ollama", 11434, "01")]
)
async def test_tunnel_or_other_socket_is_not_assumed_here(linux: System, command: str, port: int, state: str) -> None:
    add_listener(linux.root, port, state=state)
    add_process(linux.root, 21, command, INODE)
    add_process(linux.root, 22, "ollama")

    assert await locate(linux) is None


async def test_process_that_ends_meanwhile_is_passed_over(linux: System) -> None:
    add_listener(linux.root)
    (linux.root / "proc/5").mkdir()
    write(linux.root, "proc/6/comm", "ollama")
    write(linux.root, "proc/7/comm", "ollama")
    write(linux.root, "proc/7/fd/3", "not a link")

    assert await locate(linux) is None


@pytest.mark.parametrize(("is_own", "expected"), [(True, "machine_assumed"), (False, None)])
async def test_service_whose_descriptors_are_hidden_is_known_by_its_user(
    linux: System, monkeypatch: pytest.MonkeyPatch, is_own: bool, expected: str | None
) -> None:
    descriptors = add_process(linux.root, 21, "ollama")
    owner = 1234
    add_listener(linux.root, owner=owner)
    hide(monkeypatch, descriptors, owner if is_own else owner + 1)

    assert await locate(linux) == expected


async def test_hidden_process_of_root_is_not_assumed_here(linux: System, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = add_process(linux.root, 21, "ollama")
    add_listener(linux.root, owner=0)
    hide(monkeypatch, descriptors, 0)

    assert await locate(linux) is None


def hide(monkeypatch: pytest.MonkeyPatch, descriptors: Path, owner: int) -> None:
    """Make a process another user's, which only root could do truly."""
    iterdir, own_stat = Path.iterdir, Path.stat

    def refuse(path: Path) -> Iterator[Path]:
        if path == descriptors:
            raise PermissionError(path)
        return iterdir(path)

    def stat_of(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = own_stat(path, follow_symlinks=follow_symlinks)
        return os.stat_result((*found[:4], owner, *found[5:])) if path == descriptors.parent else found

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(Path, "stat", stat_of)


@pytest.mark.parametrize(
    ("path", "content", "environment"),
    [
        (".dockerenv", "", {}),
        ("run/.containerenv", "", {}),
        ("proc/1/cgroup", "0::/docker/abc", {}),
        ("proc/1/cgroup", "12:memory:/kubepods/besteffort", {}),
        ("x", "", {"container": "podman"}),
    ],
)
async def test_sign_of_a_container_forbids_the_assumption(
    linux: System, path: str, content: str, environment: dict[str, str]
) -> None:
    write(linux.root, path, content)
    add_listener(linux.root)
    add_process(linux.root, 21, "ollama", INODE)

    assert await locate(linux, environment=environment) is None


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("p1\ncollama\n", "machine_assumed"),
        ("p1\nccom.docker.backend\n", None),
        ("p1\ncollama\np2\ncssh\n", None),
        ("", None),
    ],
)
async def test_mac_is_asked_through_lsof(tmp_path: Path, printed: str, expected: str | None) -> None:
    write(tmp_path, "bin/lsof", f"#!/bin/sh\nprintf '{printed}'")
    (tmp_path / "bin/lsof").chmod(stat.S_IRWXU)

    assert await locate(System("darwin", tmp_path, str(tmp_path / "bin"))) == expected


async def test_windows_is_never_assumed(tmp_path: Path) -> None:
    assert await locate(System("win32", tmp_path)) is None


async def test_listener_of_this_very_process_is_not_ollama() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert await locate_ollama(f"http://127.0.0.1:{port}") is None


async def test_place_is_remembered_for_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = tmp_path / DIGEST
    blob.write_bytes(bytes(10_000))
    model = LocalModel(10_200, (str(blob),))
    place = Locality("http://127.0.0.1:1")
    monkeypatch.setattr(locality, "REMEMBERED_SECONDS", 3600)
    assert await place.find(model) == "machine"
    blob.unlink()
    assert await place.find(model) == "machine"
    assert await place.find(LocalModel(10_201, model.sources)) is None
    assert await place.find(model) is None
    blob.write_bytes(bytes(10_000))
    assert await place.find(model) is None
    monkeypatch.setattr(locality, "REMEMBERED_SECONDS", 0)
    assert await place.find(model) == "machine"
