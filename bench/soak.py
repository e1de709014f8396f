"""Hours in minutes: pulls, cancels, restarts of Ollama and 50 calls a second, and whether anything stays behind.

`python -m bench.soak [MINUTES] [--stdio]`, ten minutes by default, over HTTP with another client that subscribes to
changes and never reads them, or over stdio. Ends with status 1 when memory, descriptors or tasks have grown, an answer
was wrong, or the other client was cut off.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio import to_thread
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from bench.slow_subscriber import slow_subscriber
from mcp_ollama.simulator import Drop, RunningSimulator, Simulator, serve

CALLS_PER_SECOND = 50
RESTART_SECONDS = 15
START_SECONDS = 30
IDLE_SECONDS = 6  # longer than the client keeps a connection that it does not use
INSTALLED = [f"kept-{number}:latest" for number in range(20)]
PULLED = [f"pulled-{number}:latest" for number in range(6)]  # from a registry that is the simulator itself
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("list_models", {"limit": 200}),
    ("list_pulls", {}),
    ("show_model", {"model": INSTALLED[0]}),
    ("list_running_models", {}),
    ("list_models", {"contains": "kept-1"}),
)
EXCUSES = ("is not installed", "is being pulled", "is being deleted")
ALLOWED = {"megabytes": 4.0, "descriptors": 3, "tasks": 3, "threads": 3}


class Sample(NamedTuple):
    """Memory, descriptors, tasks and threads of an idle process."""

    megabytes: float
    descriptors: int
    tasks: int
    threads: int


@dataclass
class Soak:
    """One run.

    Args:
        client: Talks to the server.
        ollama: What the server manages.
        report: The file in which the server reports on itself.
        seconds: How long to go on.
    """

    client: Client
    ollama: RunningSimulator
    report: Path
    seconds: float
    began: float = field(default_factory=time.monotonic)
    down: float = 0.0
    answers: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def registry(self) -> str:
        """Where models are pulled from: the simulator, so that nothing leaves the machine."""
        return f"{registry_of(self.ollama)}/library/"

    async def run(self) -> list[Sample]:
        """Soak in three parts, and return what the server holds before, between and after them."""
        await self.part(min(20.0, self.seconds / 6))
        samples = [await self.sample("start")]
        for name in ("middle", "end"):
            await self.part(self.seconds / 2)
            samples.append(await self.sample(name))
        return samples

    async def part(self, seconds: float) -> None:
        """Do everything at once for a while, and wait until it is over."""
        until = time.monotonic() + seconds
        async with anyio.create_task_group() as group:
            for work in (self.call, self.restart, *[self.pull] * 3):
                group.start_soon(work, until)
        for model in PULLED:
            await self.client.call_tool("cancel_pull", {"model": self.registry + model})

    async def use(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """Call a tool; None for an error, which only a restart excuses, or another worker at the same model."""
        began = time.monotonic()
        result = await self.client.call_tool(tool, arguments)
        self.answers[f"{tool}{' (error)' if result.is_error else ''}"] += 1
        if not result.is_error:
            return result.structured_content or {}
        text = next((part.text for part in result.content if isinstance(part, TextContent)), "")
        if began > self.down + 1 and not any(excuse in text for excuse in EXCUSES):
            self.wrong.append(f"{tool} {arguments}: {text}")
        return None

    async def call(self, until: float) -> None:
        """Call 50 times a second, whether the last one is answered or not."""
        due = time.monotonic()
        async with anyio.create_task_group() as group:
            number = 0
            while (due := due + 1 / CALLS_PER_SECOND) < until:
                number += 1
                group.start_soon(self.look, *CALLS[number % len(CALLS)])
                await anyio.sleep_until(anyio.current_time() + max(0.0, due - time.monotonic()))

    async def look(self, tool: str, arguments: dict[str, Any]) -> None:
        """Call a tool whose answer is known."""
        answer = await self.use(tool, **arguments)
        if answer is None:
            return
        match tool, arguments:
            case "list_models", {"contains": _}:
                right = answer["matched_count"] == 11
            case "list_models", _:
                right = set(INSTALLED) <= {model["name"] for model in answer["models"]}
            case "show_model", _:
                right = answer["name"] == INSTALLED[0]
            case _:
                right = True
        if not right:
            self.wrong.append(f"{tool} {arguments}: {answer}")

    async def restart(self, until: float) -> None:
        """Stop Ollama for a moment, again and again."""
        while time.monotonic() + RESTART_SECONDS < until:
            await anyio.sleep(RESTART_SECONDS)
            self.down = time.monotonic() + 60
            await to_thread.run_sync(self.ollama.stop)
            await anyio.sleep(0.5)
            await to_thread.run_sync(self.ollama.start)
            self.down = time.monotonic()

    async def pull(self, until: float) -> None:
        """Pull, wait or cancel, and delete what has come."""
        while time.monotonic() < until:
            model = self.registry + random.choice(PULLED)
            await self.use("pull_model", model=model, insecure=True, wait_seconds=random.choice((0, 1, 3)))
            if random.random() < 0.3:
                await self.use("cancel_pull", model=model)
            if self.ollama.simulator.is_installed(model):
                await self.use("delete_model", model=model)
            await anyio.sleep(random.random())

    async def sample(self, name: str) -> Sample:
        """Wait until the server is idle, and measure it from outside; only its number of tasks is its own report."""
        await anyio.sleep(IDLE_SECONDS)
        await self.client.call_tool("list_pulls", {})
        pid = int(self.report.read_text(encoding="ascii").split()[0])
        os.kill(pid, signal.SIGUSR1)
        await self.client.call_tool("list_pulls", {})
        proc = Path(f"/proc/{pid}")
        status = (proc / "status").read_text(encoding="ascii")
        sample = Sample(
            int(status.partition("VmRSS:")[2].split()[0]) / 1024,
            len(list((proc / "fd").iterdir())),
            int(self.report.read_text(encoding="ascii").split()[1]),
            len(list((proc / "task").iterdir())),
        )
        say(
            f"{name:>6}, {time.monotonic() - self.began:4.0f} s: {sample.megabytes:.1f} MB, {sample.descriptors} "
            f"descriptors, {sample.tasks} tasks, {sample.threads} threads, {self.answers.total():,} answers"
        )
        return sample


def registry_of(ollama: RunningSimulator) -> str:
    """Return the host and port of the simulator, which is a registry, too."""
    return ollama.base_url.removeprefix("http://")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def grown(samples: list[Sample]) -> list[str]:
    """Format what has grown from the middle to the end, when all caches had long been full."""
    _, middle, end = (sample._asdict() for sample in samples)
    return [
        f"{name} grew by {end[name] - middle[name]:g}"
        for name, most in ALLOWED.items()
        if end[name] - middle[name] > most
    ]


Problems = Callable[[], list[str]]
"""Checks the connections at the end."""


@asynccontextmanager
async def over_stdio(ollama: RunningSimulator, report: Path) -> AsyncGenerator[tuple[Client, Problems]]:
    """Start the server over stdio."""
    parameters = StdioServerParameters(command=sys.executable, args=soaked(report), env=environment(ollama, report))
    async with Client(stdio_client(parameters)) as client:
        yield client, list[str]


@asynccontextmanager
async def over_http(ollama: RunningSimulator, report: Path) -> AsyncGenerator[tuple[Client, Problems]]:
    """Start the server over HTTP, with a subscriber that does not read."""
    with serving(ollama, report) as url, slow_subscriber(url) as slow:
        async with Client(url) as client:
            yield client, lambda: [] if slow.is_attached() else ["the subscriber that does not read was cut off"]


@contextmanager
def serving(ollama: RunningSimulator, report: Path) -> Generator[str]:
    """Serve over HTTP on a free port, and yield the address."""
    log = report.with_suffix(".log")
    command = [sys.executable, *soaked(report), "--http", "0"]
    with log.open("wb") as stderr, subprocess.Popen(command, env=environment(ollama, report), stderr=stderr) as process:
        try:
            yield served_url(log)
        finally:
            process.terminate()


def served_url(log: Path) -> str:
    """Wait until a server has written its address."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(r"Serving on (http://.*/mcp)\n", log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.05)
    raise TimeoutError(f"The server did not start in {START_SECONDS} s: {log.read_text(encoding='utf-8')}")


def soaked(report: Path) -> list[str]:
    """Return the arguments of Python for the server."""
    return ["-m", "bench.soaked", str(report)]


def environment(ollama: RunningSimulator, report: Path) -> dict[str, str]:
    """Return the settings of the server, which pulls from the simulator and keeps its state beside its report."""
    return dict(os.environ) | {
        "MCP_OLLAMA_BASE_URL": ollama.base_url,
        "MCP_OLLAMA_CONFIRM_DELETE": "false",
        "MCP_OLLAMA_REGISTRIES": registry_of(ollama),
        "MCP_OLLAMA_LOG_LEVEL": "ERROR",
        "MCP_OLLAMA_STATE_DIR": str(report.with_suffix(".state")),
    }


async def soak(seconds: float, report: Path, *, stdio: bool) -> bool:
    """Run it all, and return whether it went well."""
    simulator = Simulator(tick=0.01, rate=50_000_000)
    for name in INSTALLED:
        simulator.install(name, size_bytes=2_000_000_000, capabilities=("completion", "tools"))
    with serve(simulator) as ollama:
        for name in PULLED:
            full = f"{registry_of(ollama)}/library/{name}"
            simulator.registry.publish(full, size_bytes=150_000_000, weights=name)
            simulator.faults.add(full, Drop(at=0.5), times=3)
        async with (over_stdio if stdio else over_http)(ollama, report) as (client, find_problems):
            run = Soak(client, ollama, report, seconds)
            samples = await run.run()
            problems = find_problems()
    for tool, count in sorted(run.answers.items()):
        say(f"  {tool}: {count:,}")
    problems += grown(samples) + run.wrong[:10]
    for problem in problems:
        say(f"NOT WELL: {problem}")
    say("well" if not problems else f"{len(run.wrong)} wrong answers, {len(grown(samples))} leaks")
    return not problems


def main() -> int:
    """Soak for the given number of minutes."""
    minutes = next((float(argument) for argument in sys.argv[1:] if argument != "--stdio"), 10.0)
    with tempfile.TemporaryDirectory() as folder:
        run = partial(soak, minutes * 60, Path(folder) / "report", stdio="--stdio" in sys.argv)
        return 0 if anyio.run(run) else 1


if __name__ == "__main__":
    sys.exit(main())
