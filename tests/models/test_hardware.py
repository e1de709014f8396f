"""GPUs and RAM, from imitated programs and imitated `/proc` and `/sys`."""

import os
import stat
from pathlib import Path
from time import monotonic

import pytest

from mcp_ollama.models.hardware import Gpu, Ram, System, read_gpus, read_ram
from mcp_ollama.models.machine import Memory, read_memory

GIB = 2**30
MIB = 2**20
MEMINFO = "MemTotal:       65536000 kB\nMemFree: 1 kB\nMemAvailable:   32768000 kB\nodd line\n"
RAM = Ram(65_536_000 * 1024, 32_768_000 * 1024)


def write(root: Path, path: str, content: object) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{content}\n", encoding="utf-8")


def imitate(folder: Path, name: str, script: str) -> None:
    """Put a program on the search path."""
    write(folder, f"bin/{name}", f"#!/bin/sh\n{script}")
    (folder / "bin" / name).chmod(stat.S_IRWXU)


@pytest.fixture
def linux(tmp_path: Path) -> System:
    write(tmp_path, "proc/meminfo", MEMINFO)
    return System("linux", tmp_path, str(tmp_path / "bin"))


def darwin(tmp_path: Path, *lines: str) -> System:
    imitate(tmp_path, "sysctl", "\n".join(f"echo '{line}'" for line in lines))
    return System("darwin", tmp_path, str(tmp_path / "bin"))


def add_amd(root: Path, card: int, **figures: object) -> None:
    defaults = {"vram_total": 16 * GIB, "vram_used": GIB, "gtt_total": 32 * GIB, "gtt_used": 2 * GIB}
    folder = f"sys/class/drm/card{card}/device"
    write(root, f"{folder}/vendor", figures.pop("vendor", "0x1002"))
    for name, value in {**defaults, **figures}.items():
        write(root, f"{folder}/mem_info_{name}", value)


def test_machine_without_gpu_has_none(linux: System) -> None:
    assert read_gpus(linux) == []


def test_nvidia_gpus_are_those_that_nvidia_smi_prints(linux: System) -> None:
    imitate(linux.root, "nvidia-smi", 'echo "NVIDIA RTX 4090, 24564, 23000"; echo "NVIDIA RTX 3060, 12288, 100"')

    assert read_gpus(linux) == [
        Gpu("NVIDIA RTX 4090", 24564 * MIB, 23000 * MIB),
        Gpu("NVIDIA RTX 3060", 12288 * MIB, 100 * MIB),
    ]


def test_nvidia_smi_is_asked_for_plain_numbers(linux: System) -> None:
    imitate(linux.root, "nvidia-smi", f'echo "$@" > {linux.root}/asked; echo "A, 1, 1"')

    read_gpus(linux)

    asked = (linux.root / "asked").read_text(encoding="utf-8").split()
    assert asked == ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]


def test_program_inherits_neither_stdin_nor_stdout(linux: System, capfd: pytest.CaptureFixture[str]) -> None:
    imitate(linux.root, "nvidia-smi", 'cat; echo "A, 1, 1"; echo noise >&2')
    linux = System(linux.platform, linux.root, f"{linux.search_path}:{os.environ['PATH']}")

    assert read_gpus(linux) == [Gpu("A", MIB, MIB)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("NVIDIA GB10, [N/A], [N/A]", [Gpu("NVIDIA GB10", RAM.total_bytes, RAM.available_bytes, is_unified=True)]),
        ("NVIDIA A100 MIG, [N/A], [N/A]", None),
        ("NVIDIA RTX, 100, [Not Supported]", None),
        ("NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.", []),
        ("", []),
    ],
)
def test_unusual_answer_of_nvidia_smi_invents_no_gpu(linux: System, printed: str, expected: list[Gpu] | None) -> None:
    imitate(linux.root, "nvidia-smi", f'echo "{printed}"; exit 9')

    assert read_gpus(linux) == expected


def test_nvidia_driver_without_its_program_is_unknown(linux: System) -> None:
    write(linux.root, "proc/driver/nvidia/version", "NVRM version")

    assert read_gpus(linux) is None


def test_amd_gpus_are_read_from_sysfs(linux: System) -> None:
    add_amd(linux.root, 0)
    add_amd(linux.root, 1, vram_total=512 * MIB)
    add_amd(linux.root, 2, vendor="0x8086")
    write(linux.root, "sys/class/drm/card3/device/vendor", "0x1002")

    assert read_gpus(linux) == [
        Gpu("AMD", 16 * GIB, 15 * GIB),
        Gpu("AMD", 32 * GIB, 30 * GIB, is_unified=True),
    ]


@pytest.mark.parametrize("name", ["lmem_total_bytes", "tile0/physical_vram_size_bytes"])
def test_discrete_intel_gpu_is_unknown(linux: System, name: str) -> None:
    write(linux.root, f"sys/class/drm/card0/device/{name}", 16 * GIB)

    assert read_gpus(linux) is None


def test_windows_knows_only_nvidia(tmp_path: Path) -> None:
    windows = System("win32", tmp_path, str(tmp_path / "bin"))
    assert (read_gpus(windows), read_ram(windows)) == (None, None)

    imitate(tmp_path, "nvidia-smi", 'echo "NVIDIA RTX, 8192, 8000"')
    assert read_gpus(windows) == [Gpu("NVIDIA RTX", 8192 * MIB, 8000 * MIB)]


@pytest.mark.parametrize(
    ("total", "wired", "free_percent", "usable", "free"),
    [
        (24, 0, 100, 16 * GIB, 16 * GIB),
        (64, 0, 50, 48 * GIB, 32 * GIB),
        (64, 60_000, 100, 60_000 * MIB, 60_000 * MIB),
    ],
)
def test_apple_gpu_has_a_share_of_the_ram(
    tmp_path: Path, total: int, wired: int, free_percent: int, usable: int, free: int
) -> None:
    system = darwin(
        tmp_path,
        f"hw.memsize: {total * GIB}",
        "hw.optional.arm64: 1",
        f"iogpu.wired_limit_mb: {wired}",
        f"kern.memorystatus_level: {free_percent}",
    )

    assert read_gpus(system) == [Gpu("Apple", usable, free, is_unified=True)]
    assert read_ram(system) == Ram(total * GIB, total * GIB * free_percent // 100)


def test_intel_mac_has_an_unknown_gpu(tmp_path: Path) -> None:
    system = darwin(tmp_path, "hw.memsize: 17179869184", "sysctl: unknown oid")

    assert (read_gpus(system), read_ram(system)) == (None, Ram(16 * GIB, 16 * GIB))


def test_ram_is_that_of_meminfo(linux: System) -> None:
    assert read_ram(linux) == RAM


@pytest.mark.parametrize(
    ("folder", "limit", "used", "cache"),
    [
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_limit_of_a_container_counts(linux: System, folder: str, limit: str, used: str, cache: str) -> None:
    write(linux.root, f"{folder}/{limit}", 8 * GIB)
    write(linux.root, f"{folder}/{used}", 3 * GIB)
    write(linux.root, f"{folder}/memory.stat", f"anon 5\n{cache} {GIB}")

    assert read_ram(linux) == Ram(8 * GIB, 6 * GIB)


def test_container_without_limit_has_the_ram(linux: System) -> None:
    write(linux.root, "sys/fs/cgroup/memory.max", "max")
    write(linux.root, "sys/fs/cgroup/memory.current", 3 * GIB)
    write(linux.root, "sys/fs/cgroup/memory.stat", "anon 5")

    assert read_ram(linux) == RAM


async def test_memory_of_this_machine_has_gpus_and_ram(linux: System) -> None:
    imitate(linux.root, "nvidia-smi", 'echo "A, 1, 1"')

    assert await read_memory("machine_assumed", linux) == Memory((Gpu("A", MIB, MIB),), RAM, "machine_assumed")


async def test_probe_that_hangs_is_given_up(linux: System) -> None:
    imitate(linux.root, "nvidia-smi", "exec sleep 60")
    linux = System(linux.platform, linux.root, f"{linux.search_path}:{os.environ['PATH']}")
    started = monotonic()

    memory = await read_memory(system=linux)

    assert memory == Memory(None, RAM, "machine")
    assert monotonic() - started < 10


@pytest.mark.parametrize("broken", ["proc/meminfo", "sys/class/drm/card0/device/mem_info_vram_used"])
async def test_probe_that_fails_leaves_its_part_unknown(linux: System, broken: str) -> None:
    add_amd(linux.root, 0)
    write(linux.root, broken, "broken")

    memory = await read_memory(system=linux)

    assert (memory.ram is None, memory.gpus is None) == ("meminfo" in broken, "drm" in broken)


async def test_program_that_cannot_start_leaves_its_part_unknown(linux: System) -> None:
    write(linux.root, "bin/nvidia-smi", "not a program")
    (linux.root / "bin/nvidia-smi").write_bytes(b"\x7fELF")
    (linux.root / "bin/nvidia-smi").chmod(stat.S_IRWXU)

    assert (await read_memory(system=linux)).gpus is None


async def test_mac_without_sysctl_is_unknown(tmp_path: Path) -> None:
    memory = await read_memory(system=System("darwin", tmp_path, str(tmp_path)))

    assert memory == Memory(None, None, "machine")


async def test_this_very_machine_can_be_read() -> None:
    memory = await read_memory()

    assert memory.origin == "machine"
