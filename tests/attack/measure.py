"""A server under attack, from outside: its memory, the longest block of its event loop, and a pull in progress."""

import os
import re
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mcp_ollama.simulator import RunningSimulator, Simulator, Stall, serve
from tests.support.wire import Wire, call, request

GROWTH_LIMIT_MEGABYTES = 64.0
BLOCK_LIMIT_SECONDS = 0.5
ANSWER_SECONDS = 60.0
PULLED = "registry.ollama.ai/library/pulled:latest"

Record = Callable[[str, object], None]
"""Takes the name and the value of a property of a test, which `conftest.py` prints."""


@dataclass
class Victim:
    """The server, the simulated Ollama and registry behind it, and the socket over which it reports its blocks."""

    wire: Wire
    ollama: RunningSimulator
    gauge: socket.socket
    record: Record
    memory_before: float = 0

    def start_pull(self) -> None:
        """Start the pull that no attack may end, over stdio."""
        self.wire.ask(request("ready", "server/discover", modern=True))
        begun = self.wire.ask(call("pull", "pull_model", model="pulled", wait_seconds=0, modern=True))
        assert "error" not in begun
        self.begin()

    def begin(self) -> None:
        """Check that the pull is in progress, and start to measure."""
        simulator = self.ollama.simulator
        simulator.wait_until(lambda: simulator.in_flight["/api/pull"] == 1, timeout=ANSWER_SECONDS)
        self._longest_block()
        Path(f"/proc/{self.wire.process.pid}/clear_refs").write_text("5", encoding="ascii")
        self.memory_before = self._memory("VmRSS")

    def assert_within_limits(self, attack: str, *, growth_limit: float = GROWTH_LIMIT_MEGABYTES) -> None:
        """Check the peak of memory and the longest block since `begin`, and that the pull was not lost."""
        growth, block = self._memory("VmHWM") - self.memory_before, self._longest_block()
        self.record("attack", f"{attack:<52} {growth:6.1f} MB {block:7.3f} s")
        assert growth < growth_limit
        assert block < BLOCK_LIMIT_SECONDS
        assert self.ollama.simulator.in_flight["/api/pull"] == 1

    def _memory(self, field: str) -> float:
        status = Path(f"/proc/{self.wire.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def _longest_block(self) -> float:
        self.gauge.sendall(b"?")
        return float(self.gauge.recv(100))


@contextmanager
def victim(record: Record, *flags: str) -> Generator[Victim]:
    """Start a server over a simulated Ollama and registry, in which a pull of the model `pulled` stands still."""
    simulator = Simulator(tick=0.002)
    simulator.install("kept:latest", capabilities=("completion",))
    simulator.registry.publish(PULLED, size_bytes=30_000_000)
    simulator.faults.add(PULLED, Stall(at=0.5))
    with serve(simulator) as ollama, TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/gauge"
        listener.bind(address)
        listener.listen()
        listener.settimeout(ANSWER_SECONDS)
        command = [sys.executable, "-m", "tests.attack.victim", address, *flags]
        with Wire(command, env=_environment(ollama, folder)) as wire, listener.accept()[0] as gauge:
            gauge.settimeout(ANSWER_SECONDS)
            yield Victim(wire, ollama, gauge, record)


def _environment(ollama: RunningSimulator, folder: str) -> dict[str, str]:
    # To measure which lines run takes several times as long as to run them.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    return inherited | {
        "MCP_OLLAMA_BASE_URL": ollama.base_url,
        "MCP_OLLAMA_CONFIRM_DELETE": "false",
        "MCP_OLLAMA_STATE_DIR": folder,
        "MCP_OLLAMA_STALL_SECONDS": "600",
        "ATTACK_REGISTRY": ollama.base_url,
    }


def url_of(attacked: Victim) -> str:
    """Return the address of a server that was started with `--http`."""
    attacked.wire.hear("/mcp\n", timeout=ANSWER_SECONDS)
    found = re.search(r"Serving on (http://.*/mcp)\n", attacked.wire.errors)
    assert found
    return found[1]
