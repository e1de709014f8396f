"""This server beside what people would use instead, all in one interleaved run; only ratios count."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.backend import backend, count_connections
from bench.process import Frame, Server, call
from bench.turns import median, median_ratio, take_turns

MODELS = 100
MANY_MODELS = 1000
PIPELINED = 500
OWN_REGISTRY = [sys.executable, "-m", "bench.registry_here"]
"""This server; how long the real registry takes says nothing about it."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A server to compare with.

    Args:
        command: Starts it on stdio.
        list_call: Name and arguments of its tool that lists all models.
        show_call: The same for the tool that shows one.
    """

    command: Sequence[str]
    list_call: tuple[str, Mapping[str, object]]
    show_call: tuple[str, Mapping[str, object]]

    def list_frame(self, number: object) -> Frame:
        """Return a request for a list."""
        name, arguments = self.list_call
        return call(number, name, **arguments)

    def show_frame(self, number: object) -> Frame:
        """Return a request for the details of a model."""
        name, arguments = self.show_call
        return call(number, name, **arguments)


def compare(rounds: int, bare: Sequence[str], ours: Rival, rivals: Mapping[str, Rival]) -> list[str]:
    """Return tables of calls and of pipelined lists."""
    servers = {"this server": ours, **rivals}
    lines = [
        "| what | " + " | ".join(servers) + " | " + " | ".join(f"to {name}" for name in rivals) + " |",
        "|---" * (1 + len(servers) + len(rivals)) + "|",
    ]
    lines.append(_row("200 rows of 1,000 models", _single(rounds, MANY_MODELS, servers, Rival.list_frame)))
    lines.append(_row("100 rows of 100 models", _single(rounds, MODELS, servers, Rival.list_frame)))
    lines.append(_row("one model, 110 KB in Ollama", _single(rounds, MODELS, servers, Rival.show_frame)))
    taken, connections = _pipelined(servers)
    lines.append(_row(f"{PIPELINED} lists at once", taken))
    lines += ["", "Connections to Ollama for all lists: " + _listed(connections) + ".", ""]
    return lines + _health(rounds, bare, ours)


def _single(
    rounds: int, models: int, servers: Mapping[str, Rival], frame: Callable[[Rival, object], Frame]
) -> dict[str, list[float]]:
    """Call all servers in turn."""
    with ExitStack() as stack:
        url = stack.enter_context(backend(models))
        works = {
            name: partial(stack.enter_context(_started(rival.command, url)).time, frame(rival, "x"))
            for name, rival in servers.items()
        }
        take_turns(5, works)
        return take_turns(rounds, works)


def _pipelined(servers: Mapping[str, Rival]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Send each server all requests at once, in turn; each has a backend of its own, which counts connections."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(backend(MODELS)) for name in servers}
        works: dict[str, Callable[[], float]] = {}
        for name, rival in servers.items():
            frames = [rival.list_frame(number) for number in range(PIPELINED)]
            works[name] = partial(stack.enter_context(_started(rival.command, urls[name])).time_pipelined, frames)
        taken = take_turns(3, works)
        return taken, {name: count_connections(url) for name, url in urls.items()}


def _health(rounds: int, bare: Sequence[str], ours: Rival) -> list[str]:
    """Compare `health` with a bare call, in its second call after a list, and then."""
    with backend(MODELS) as url, _started(bare, url) as floor, _started(OWN_REGISTRY, url) as server:
        health = call("h", "health")
        server.time(ours.list_frame("x"))
        server.time(health)
        second = server.time(health)
        works = {"bare": partial(floor.time, call("n", "nothing")), "health": partial(server.time, health)}
        taken = take_turns(rounds, works)
    bare_call, later = median(taken["bare"]), median(taken["health"])
    return [
        (
            f"After a list, `health` of {MODELS} models took {second / bare_call:.1f} bare calls of "
            f"{bare_call * 1000:.2f} ms in its second call, {later / bare_call:.1f} later (the registry answers here)."
        )
    ]


def _started(command: Sequence[str], url: str) -> Server:
    return Server(command, {"MCP_OLLAMA_BASE_URL": url, "OLLAMA_HOST": url})


def _row(what: str, taken: Mapping[str, Sequence[float]]) -> str:
    ours, *others = taken.values()
    times = " | ".join(_milliseconds(median(times)) for times in taken.values())
    ratios = " | ".join(f"{median_ratio(ours, them):.2f}" for them in others)
    return f"| {what} | {times} | {ratios} |"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
