"""A server under attack, from outside: its memory, the longest block of its event loop, and a pull in progress."""

import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mcp_ollama.simulator import RunningSimulator, Simulator, Stall, serve
from tests.support.wire import Wire, call, request

GROWTH_LIMIT_MEGABYTES = 64.0
BLOCK_LIMIT_SECONDS = 0.5
SAMPLE_NANOSECONDS = 50_000_000
PULLED = "registry.ollama.ai/library/pulled:latest"


@dataclass
class Victim:
    """The server, the simulated Ollama and registry behind it, and where it writes its longest block."""

    wire: Wire
    ollama: RunningSimulator
    file: Path
    memory_before: float = 0

    def begin(self) -> None:
        """Start to measure: the peak of memory and the longest block from now on."""
        restart = self.file.with_suffix(".restart")
        restart.touch()
        while restart.exists():
            self.wire.process.poll()
        Path(f"/proc/{self.wire.process.pid}/clear_refs").write_text("5", encoding="ascii")
        self.memory_before = self._memory("VmRSS")

    def report(self, attack: str) -> tuple[float, float]:
        """Print and return the growth of memory in megabytes, and the longest block in seconds."""
        growth = self._memory("VmHWM") - self.memory_before
        now = time.time_ns()
        while self.file.stat().st_mtime_ns < now + SAMPLE_NANOSECONDS:
            self.wire.process.poll()
        block = self._longest_block()
        sys.stdout.write(f"\n{attack:<50} {growth:6.1f} MB {block:6.3f} s")
        return growth, block

    def assert_within_limits(self, attack: str, *, growth_limit: float = GROWTH_LIMIT_MEGABYTES) -> None:
        """Check the limits, and that the pull in progress was not lost."""
        growth, block = self.report(attack)
        assert growth < growth_limit
        assert block < BLOCK_LIMIT_SECONDS * slowness()
        assert self.ollama.simulator.in_flight["/api/pull"] == 1

    def _memory(self, field: str) -> float:
        status = Path(f"/proc/{self.wire.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def _longest_block(self) -> float:
        return float(self.file.read_text(encoding="ascii") or 0)


@contextmanager
def victim(*flags: str) -> Generator[Victim]:
    """Start a server whose pull of a model stands still, over a simulated Ollama and registry."""
    simulator = Simulator(tick=0.002)
    simulator.install("kept:latest", capabilities=("completion",))
    simulator.registry.publish(PULLED, size_bytes=30_000_000)
    simulator.faults.add(PULLED, Stall(at=0.5))
    with serve(simulator) as ollama, TemporaryDirectory() as folder:
        file = Path(folder) / "block"
        file.touch()
        own = {
            "MCP_OLLAMA_BASE_URL": ollama.base_url,
            "ATTACK_REGISTRY": ollama.base_url,
            "MCP_OLLAMA_STATE_DIR": folder,
            "MCP_OLLAMA_STALL_SECONDS": "600",
        }
        command = [sys.executable, "-m", "tests.attack.victim", str(file), *flags]
        with Wire(command, env=dict(os.environ) | own) as wire:
            yield Victim(wire, ollama, file)


def start_pull(attacked: Victim) -> None:
    """Start the pull that no attack may end, over stdio."""
    attacked.wire.ask(request("ready", "server/discover", modern=True))
    begun = attacked.wire.ask(call("pull", "pull_model", model="pulled", wait_seconds=0, modern=True))
    assert "error" not in begun
    simulator = attacked.ollama.simulator
    simulator.wait_until(lambda: simulator.in_flight["/api/pull"] == 1, timeout=10)


def write_for(wire: Wire, data: bytes, seconds: float) -> int:
    """Write data again and again without reading, until the time is over; returns the bytes written."""
    assert wire.process.stdin
    fd = wire.process.stdin.fileno()
    over = threading.Event()
    sent = 0

    def write() -> None:
        nonlocal sent
        while not over.is_set():
            try:
                sent += os.write(fd, data)
            except OSError:
                return

    threading.Thread(target=write, daemon=True).start()
    over.wait(seconds)
    over.set()
    return sent


def slowness() -> float:
    """Return how much slower this machine is than an idle one, by the processes that want to run."""
    return max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
