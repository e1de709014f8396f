"""Cost of the server beside that of its alternatives; writes `bench/RESULTS.md`.

The others: a bare SDK server (`bench.bare`), a server of the least code on the SDK and httpx (`bench.least`), and the
most used peer, npm's `ollama-mcp`. All take turns in one run, and medians count.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.backend import backend
from bench.comparison import PIPELINED, Rival, compare
from bench.polls import polls
from bench.process import Server, Start, call, median_start, start
from bench.turns import median, median_ratio, take_turns

RESULTS = Path(__file__).with_name("RESULTS.md")
BARE = [sys.executable, "-m", "bench.bare"]
OURS = Rival(
    command=[sys.executable, "-m", "mcp_ollama"],
    list_call=("list_models", {"limit": 200}),
    show_call=("show_model", {"model": "model-0000"}),
)
LEAST = Rival(
    command=[sys.executable, "-m", "bench.least"],
    list_call=("list_models", {"limit": 200}),
    show_call=("show_model", {"model": "model-0000"}),
)
QUIET_LOAD = 1.0
"""Load above which other work has taken part in the figures."""

INTRODUCTION = """\
Made by `make bench`. All servers took turns on one machine, against an Ollama of prepared answers, so the ratios count:
this server's time divided by the other's, the median over neighbouring measurements. Trust them to a tenth for starts
and pipelined lists, to a fifth for single calls; the times themselves are this machine's.

- bare SDK server: one tool that does nothing (`bench/bare.py`)
- least code: lists and shows models with the SDK and httpx, without filters, pages and checks (`bench/least.py`);
  it sends the same rows, without what is loaded and what a model can do
- ollama-mcp: the most used peer on npm; it passes Ollama's answers on, all rows at once
"""


def peer(command: Sequence[str]) -> Rival:
    """Return npm's `ollama-mcp`."""
    return Rival(command, list_call=("ollama_list", {}), show_call=("ollama_show", {"model": "model-0000"}))


def starts(rounds: int, rivals: Mapping[str, Rival]) -> list[str]:
    """Start all servers in turn."""
    commands = {
        "bare SDK server": BARE,
        "this server": OURS.command,
        **{name: one.command for name, one in rivals.items()},
    }
    runs: dict[str, list[Start]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(start(command))
    lines = [
        "| server | first answer | `tools/list` | CPU to there | memory | end of input to exit | `tools/list` size |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, done in runs.items():
        one = median_start(done)
        lines.append(
            f"| {name} | {one.first_answer:.2f} s | {one.tools_list:.2f} s | {one.cpu:.2f} s | {one.megabytes:.0f} MB "
            f"| {one.exit * 1000:.0f} ms | {one.tools_list_bytes:,} bytes |"
        )
    lines.append("")
    for name, done in runs.items():
        if name != "this server":
            lines.append(f"- this server to the {name}: {_start_ratios(runs['this server'], done)}")
    return lines


def _start_ratios(ours: Sequence[Start], others: Sequence[Start]) -> str:
    figures = {"first_answer": "first answer", "tools_list": "`tools/list`", "cpu": "CPU", "megabytes": "memory"}
    ratios = {
        name: median_ratio([getattr(one, figure) for one in ours], [getattr(one, figure) for one in others])
        for figure, name in figures.items()
    }
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())


def trivial_calls(rounds: int) -> list[str]:
    """Call a trivial tool of this server and of the bare one: one after the other, and all at once."""
    with Server(BARE) as bare, backend(1) as url, Server(OURS.command, {"MCP_OLLAMA_BASE_URL": url}) as ours:
        single = take_turns(
            rounds,
            {
                "bare": partial(bare.time, call("n", "nothing")),
                "ours": partial(ours.time, call("p", "list_pulls")),
            },
        )
        piped = take_turns(
            5,
            {
                "bare": partial(bare.time_pipelined, [call(number, "nothing") for number in range(PIPELINED)]),
                "ours": partial(ours.time_pipelined, [call(number, "list_pulls") for number in range(PIPELINED)]),
            },
        )
        memory = ours.resident_megabytes()
    lines = ["| what | bare SDK server | this server | ratio |", "|---|---|---|---|"]
    for what, taken in (("a trivial call (`list_pulls`)", single), (f"{PIPELINED} of them at once", piped)):
        floor, own = (f"{median(times) * 1000:.1f} ms" for times in taken.values())
        lines.append(f"| {what} | {floor} | {own} | {median_ratio(taken['ours'], taken['bare']):.2f} |")
    return [*lines, "", f"None of the {PIPELINED} was lost; memory after that: {memory:.0f} MB."]


def pulls(lines: int) -> list[str]:
    """Run the measurement of pulls, which is a program of its own."""
    command = [sys.executable, "-m", "bench.pulls", str(lines)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return ["```", *done.stdout.rstrip().splitlines(), "```"]


def machine(load: float) -> str:
    """Describe the machine in words, and what its load means for the figures."""
    system = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} processors"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    text = f"{system}, {python}, mcp {version('mcp')}, pydantic {version('pydantic')}. Load at the start: {load:.1f}."
    if load > QUIET_LOAD:
        text += " **Other programs ran meanwhile: the ratios are rough, the times mean nothing.**"
    return text


def main() -> None:
    """Measure all and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=shlex.split, metavar="CMD", help="starts npm's ollama-mcp; left out: without it")
    parser.add_argument("--rounds", type=int, default=10, help="starts of each server (10)")
    parser.add_argument("--lines", type=int, default=500_000, help="progress lines of the pull (500,000)")
    chosen = parser.parse_args()
    rivals = {"least code": LEAST} | ({"ollama-mcp": peer(chosen.peer)} if chosen.peer else {})
    document = ["# What it costs", "", INTRODUCTION, machine(os.getloadavg()[0])]
    parts: dict[str, Callable[[], list[str]]] = {
        "Start": partial(starts, chosen.rounds, rivals),
        "Lists and details": partial(compare, 8 * chosen.rounds, BARE, OURS, rivals),
        "Trivial calls": partial(trivial_calls, 20 * chosen.rounds),
        "The dashboard": partial(polls, chosen.rounds, BARE, OURS.command),
        "Pulls": partial(pulls, chosen.lines),
    }
    with TemporaryDirectory() as folder:
        os.environ["MCP_OLLAMA_STATE_DIR"] = folder
        for title, part in parts.items():
            sys.stderr.write(f"{title} ...\n")
            document += ["", f"## {title}", "", *part()]
    text = "\n".join(document) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
