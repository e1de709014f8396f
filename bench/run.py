"""What the server costs, each figure as a ratio to its floor in the same run; writes `bench/RESULTS.md`.

The floors: the SDK's bare server with one tool; one raw GET with `json.loads` on a kept-alive connection. Runs take
turns, and medians count. `--peer NAME=CMD` puts other servers into the table of starts.
"""

import argparse
import http.client
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from bench.backend import backend
from bench.process import Server, Start, call, median_start, start

RESULTS = Path(__file__).with_name("RESULTS.md")
BARE = [sys.executable, "-m", "bench.bare"]
OURS = [sys.executable, "-m", "mcp_ollama"]
MODELS = (1, 100, 1000)
PIPELINED = 500


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return sorted(values)[len(values) // 2]


def taking_turns(rounds: int, works: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure each in turn, so that a machine that slows down slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return taken


def verdict(value: float, limit: float) -> str:
    """Format whether a figure is within its limit."""
    return f"{value:.2f} (at most {limit:g}: {'yes' if value <= limit else 'NO'})"


def starts(rounds: int, peers: Mapping[str, Sequence[str]]) -> list[str]:
    """Start all servers in turn."""
    commands = {"bare SDK server": BARE, "this server": OURS, **peers}
    runs: dict[str, list[Start]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(start(command))
    medians = {name: median_start(done) for name, done in runs.items()}
    lines = [
        "| server | first answer | `tools/list` | CPU to there | memory | end of input to exit | `tools/list` size |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in medians.items():
        lines.append(
            f"| {name} | {one.first_answer:.2f} s | {one.tools_list:.2f} s | {one.cpu:.2f} s | {one.megabytes:.0f} MB "
            f"| {one.exit * 1000:.0f} ms | {one.tools_list_bytes:,} bytes |"
        )
    pairs = list(zip(runs["this server"], runs["bare SDK server"], strict=True))
    # Of neighbours, since the speed of a machine may double within minutes.
    first, tools, cpu, memory = (
        median([getattr(ours, figure) / getattr(bare, figure) for ours, bare in pairs])
        for figure in ("first_answer", "tools_list", "cpu", "megabytes")
    )
    ending = medians["this server"].exit * 1000
    lines += ["", f"This server to the bare one, medians of the ratios of {rounds} rounds:", ""]
    lines += [f"- first answer {verdict(first, 1.05)}, `tools/list` {verdict(tools, 1.05)}, CPU {cpu:.2f}"]
    lines += [f"- memory {verdict(memory, 1.10)}", f"- end of input to exit, in ms: {verdict(ending, 100)}"]
    return lines


def raw_get(connection: http.client.HTTPConnection) -> float:
    """Fetch the list of models and parse it."""
    began = time.perf_counter()
    connection.request("GET", "/api/tags")
    json.loads(connection.getresponse().read())
    return time.perf_counter() - began


def listings(rounds: int) -> list[str]:
    """List models, and fetch and parse the same answer of the server without us, in turn."""
    lines = [
        "| models | bare call | GET, parse | `list_models` p50 | p99 | bytes | 3 ms + 2 GET | 3 bare calls + 2 GET |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with Server(BARE) as bare:
        trivial = partial(bare.time, call("n", "nothing"))
        for models in MODELS:
            with backend(models) as base_url, Server(OURS, {"MCP_OLLAMA_BASE_URL": base_url}) as server:
                lines.append(listing(rounds, models, base_url, server, trivial))
    lines += ["", "A bare call took 1.04 ms on the machine for which the limit of 3 ms was set."]
    return lines


def listing(rounds: int, models: int, base_url: str, server: Server, trivial: Callable[[], float]) -> str:
    """Return the row for one number of models."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc)
    frame = call("list", "list_models")
    works = {"bare": trivial, "raw": partial(raw_get, connection), "ours": partial(server.time, frame)}
    taking_turns(10, works)
    taken = taking_turns(rounds, works)
    connection.close()
    floor, raw, ours = (median(times) * 1000 for times in taken.values())
    p99 = sorted(taken["ours"])[int(rounds * 0.99)] * 1000
    limits = [limit(ours, start + 2 * raw) for start in (3, 3 * floor)]
    return (
        f"| {models:,} | {floor:.2f} ms | {raw:.2f} ms | {ours:.2f} ms | {p99:.1f} ms | {len(server.ask(frame)):,} "
        f"| {limits[0]} | {limits[1]} |"
    )


def limit(taken: float, most: float) -> str:
    """Format whether a time in milliseconds is within its limit."""
    return f"{most:.1f} ms: {'yes' if taken <= most else 'NO'}"


def calls(rounds: int) -> list[str]:
    """Call a trivial tool of each server: one after the other, and all at once."""
    with (
        Server(BARE) as bare,
        backend(100) as base_url,
        Server(OURS, {"MCP_OLLAMA_BASE_URL": base_url}) as ours,
    ):
        trivial, pulls, show = (
            call("n", "nothing"),
            call("p", "list_pulls"),
            call("s", "show_model", model="model-0000"),
        )
        works = {
            "bare": partial(bare.time, trivial),
            "pulls": partial(ours.time, pulls),
            "show": partial(ours.time, show),
        }
        for work in works.values():
            work()
        single = {name: median(times) * 1000 for name, times in taking_turns(rounds, works).items()}
        batches = {
            "bare": [call(number, "nothing") for number in range(PIPELINED)],
            "ours": [call(number, "list_pulls") for number in range(PIPELINED)],
        }
        piped = taking_turns(
            9,
            {
                "bare": partial(bare.time_pipelined, batches["bare"]),
                "ours": partial(ours.time_pipelined, batches["ours"]),
            },
        )
        floor, taken = (median(times) for times in piped.values())
        size = len(ours.ask(show))
        memory = ours.resident_megabytes()
    return [
        "| what | bare SDK server | this server | ratio |",
        "|---|---|---|---|",
        (
            f"| a trivial call (`list_pulls`) | {single['bare']:.2f} ms | {single['pulls']:.2f} ms "
            f"| {single['pulls'] / single['bare']:.2f} |"
        ),
        f"| {PIPELINED} of them at once | {floor:.2f} s | {taken:.2f} s | {verdict(taken / floor, 1.2)} |",
        "",
        (
            f"`show_model` of a model that Ollama describes in 110 KB: {single['show']:.2f} ms, {size:,} bytes. "
            f"None of the {PIPELINED} was lost; memory after all of this: {memory:.0f} MB."
        ),
    ]


def pulls(lines: int) -> list[str]:
    """Run the measurement of pulls, which is a program of its own."""
    command = [sys.executable, "-m", "bench.pulls", str(lines)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return ["```", *done.stdout.rstrip().splitlines(), "```"]


def machine() -> str:
    """Describe the machine in words."""
    system = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} processors"
    load = f"{os.getloadavg()[0]:.1f}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{system} (load at the start {load}), {python}, mcp {version('mcp')}, pydantic {version('pydantic')}."


def peer(text: str) -> tuple[str, list[str]]:
    """Read NAME=CMD."""
    name, found, command = text.partition("=")
    if not (name and found and command):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=CMD")
    return name, shlex.split(command)


def main() -> None:
    """Measure all and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=peer, action="append", default=[], metavar="NAME=CMD")
    parser.add_argument("--rounds", type=int, default=15, help="starts of each server (15)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="progress lines of the pull (1,000,000)")
    chosen = parser.parse_args()
    document = [
        "# What it costs",
        "",
        "Made by `make bench`. Ratios count; the times are this machine's.",
        "",
        machine(),
    ]
    parts: dict[str, Callable[[], list[str]]] = {
        "Start": partial(starts, chosen.rounds, dict(chosen.peer)),
        "Listing models": partial(listings, 20 * chosen.rounds),
        "Calls": partial(calls, 20 * chosen.rounds),
        "Pulls": partial(pulls, chosen.lines),
    }
    for title, part in parts.items():
        sys.stderr.write(f"{title} ...\n")
        document += ["", f"## {title}", "", *part()]
    text = "\n".join(document) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
