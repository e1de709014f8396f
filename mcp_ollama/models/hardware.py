"""GPUs and RAM of the machine that this process runs on.

All of it blocks; `machine.read_memory` calls it in threads, within a time limit. A probe that fails raises an
`OSError` or a `ValueError`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROBE_SECONDS = 2.0
_PROGRAM_SECONDS = 1.8
"""A program that a probe runs is killed before the probe itself is given up."""
MIB = 2**20
_LARGEST_CARVE_OUT = 4 * 2**30
"""AMD GPUs with less memory of their own are integrated: they work in GTT, which is RAM."""
_AMD = "0x1002"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; `is_unified` says that its memory is a part of the RAM."""

    name: str
    total_bytes: int
    free_bytes: int
    is_unified: bool = False


@dataclass(frozen=True, slots=True)
class Ram:
    """The RAM of a machine or a container."""

    total_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class System:
    """Where the operating system is looked at."""

    platform: str = sys.platform
    root: Path = field(default_factory=lambda: Path(os.sep))
    search_path: str | None = None

    def read(self, path: str) -> str:
        """Read a file of `/proc` or `/sys`, without the space around its text."""
        return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()

    def run(self, command: str, *arguments: str) -> str | None:
        """Run a program and return what it prints; None when it is not installed.

        Raises:
            OSError: It cannot be started.
            ValueError: It does not end within 1.8 s.
        """
        program = shutil.which(command, path=self.search_path)
        if program is None:
            return None
        # The descriptor of our own stdout carries JSON-RPC: no child may inherit it.
        process = subprocess.Popen(  # noqa: S603 - a fixed command, found on the user's own PATH
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        try:
            output = process.communicate(timeout=_PROGRAM_SECONDS)[0]
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{command} does not end within {_PROGRAM_SECONDS:g} s.") from error
        finally:
            _discard(process)
        return output.decode(errors="replace")


def read_gpus(system: System) -> list[Gpu] | None:
    """Read the GPUs that Ollama can use; None when there may be some whose memory cannot be read."""
    if system.platform == "darwin":
        return _read_apple(system)
    nvidia = _read_nvidia(system)
    amd = list(_read_amd(system))
    if nvidia is None or (not nvidia and not amd and _may_have_others(system)):
        return None
    return nvidia + amd


def read_ram(system: System) -> Ram | None:
    """Read the RAM, within the limit of a container; None on Windows.

    Linux reports in `/proc/meminfo` and in the cgroup of the process, macOS in `sysctl`.
    """
    if system.platform == "darwin":
        values = _read_sysctl(system)
        total = values["hw.memsize"]
        return Ram(total, total * min(100, values.get("kern.memorystatus_level", 100)) // 100)
    if system.platform != "linux":
        return None
    fields = dict(line.split(":", 1) for line in system.read("proc/meminfo").splitlines() if ":" in line)
    total, available = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    for limit, used in _read_cgroup(system):
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Ram(total, available)


def _discard(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    assert process.stdout is not None
    process.stdout.close()
    # A driver that hangs keeps its process from ending even when killed: such a one is left behind.
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)


def _read_nvidia(system: System) -> list[Gpu] | None:
    query = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
    printed = system.run("nvidia-smi", *query)
    lines = (line.split(",") for line in (printed or "").splitlines())
    rows = [[field.strip() for field in line] for line in lines if len(line) == 3]
    if not rows:
        return None if (system.root / "proc/driver/nvidia/version").exists() else []
    gpus = [_parse_nvidia(system, *row) for row in rows]
    return None if None in gpus else [gpu for gpu in gpus if gpu]


def _parse_nvidia(system: System, name: str, total: str, free: str) -> Gpu | None:
    if total.isdigit() and free.isdigit():
        return Gpu(name, int(total) * MIB, int(free) * MIB)
    # GB10 prints "[N/A]" because its memory is the RAM; elsewhere (MIG) that means unknown.
    ram = read_ram(system) if "GB10" in name else None
    return Gpu(name, ram.total_bytes, ram.available_bytes, is_unified=True) if ram else None


def _read_amd(system: System) -> Iterator[Gpu]:
    for device in _drm_devices(system):
        if not (device / "mem_info_vram_total").exists() or system.read(str(device / "vendor")) != _AMD:
            continue
        vram, vram_used, gtt, gtt_used = (
            int(system.read(str(device / f"mem_info_{kind}")))
            for kind in ("vram_total", "vram_used", "gtt_total", "gtt_used")
        )
        is_integrated = vram < _LARGEST_CARVE_OUT
        total, used = (gtt, gtt_used) if is_integrated else (vram, vram_used)
        yield Gpu("AMD", total, max(0, total - used), is_unified=is_integrated)


def _may_have_others(system: System) -> bool:
    """Find out whether there may be a GPU that only its driver's own interface describes."""
    if system.platform == "win32":
        return True
    names = ("lmem_total_bytes", "tile*/physical_vram_size_bytes")  # Intel's i915 and xe
    return any(any(device.glob(name)) for device in _drm_devices(system) for name in names)


def _drm_devices(system: System) -> list[Path]:
    return sorted((system.root / "sys/class/drm").glob("card[0-9]*/device"))


def _read_apple(system: System) -> list[Gpu] | None:
    """Read the part of unified memory that Metal lets a process use.

    Metal's own figure needs Metal. Seen: 10,922 MiB of 16 GiB and 98,304 MiB of 128 GiB.
    """
    values = _read_sysctl(system)
    if not values.get("hw.optional.arm64"):
        return None
    total = values["hw.memsize"]
    wired = values.get("iogpu.wired_limit_mb", 0) * MIB
    share = total * 2 // 3 if total <= 36 * 2**30 else total * 3 // 4
    usable = wired or share
    ram = read_ram(system)
    return [Gpu("Apple", usable, min(usable, ram.available_bytes if ram else usable), is_unified=True)]


def _read_sysctl(system: System) -> dict[str, int]:
    names = ("hw.memsize", "hw.optional.arm64", "iogpu.wired_limit_mb", "kern.memorystatus_level")
    printed = system.run("sysctl", *names) or ""
    pairs = (line.partition(":") for line in printed.splitlines())
    values = {name: int(value) for name, _, value in pairs if value.strip().isdigit()}
    if "hw.memsize" not in values:
        raise ValueError("sysctl does not print hw.memsize.")
    return values


def _read_cgroup(system: System) -> Iterator[tuple[int, int]]:
    """Yield limit and use of the container's memory, of cgroup v2 and v1."""
    folder = "sys/fs/cgroup"
    for limit, used, cache in (
        (f"{folder}/memory.max", f"{folder}/memory.current", "inactive_file"),
        (f"{folder}/memory/memory.limit_in_bytes", f"{folder}/memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError):
            stated = system.read(limit)
            # The page cache counts as used, and is dropped when memory is needed.
            statistics = dict(
                line.split() for line in system.read(f"{limit.rpartition('/')[0]}/memory.stat").splitlines()
            )
            reclaimable = int(statistics.get(cache, 0))
            yield sys.maxsize if stated == "max" else int(stated), max(0, int(system.read(used)) - reclaimable)
