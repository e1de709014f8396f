"""`--check`: the report of `health` for a person at a terminal, without the MCP SDK."""

import os
import shutil
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import anyio

from mcp_ollama.cli.host_config import HOSTS
from mcp_ollama.cli.output import COMMAND
from mcp_ollama.models.app import open_app
from mcp_ollama.models.health import examine
from mcp_ollama.ollama.addresses import is_loopback

if TYPE_CHECKING:
    from mcp_ollama.models.health import Health
    from mcp_ollama.settings import OllamaSettings

_MARKS = {"ok": "+", "warn": "!", "fail": "x", "unknown": "?"}


def check(settings: "OllamaSettings") -> int:
    """Print the report, and return the exit status: 1 when Ollama is down, else 0."""
    signal.signal(signal.SIGINT, _exit)

    async def run() -> "Health":
        async with open_app(settings) as app:
            return await examine(app)

    report = anyio.run(run)
    sys.stdout.write(format_report(report))
    return 1 if report.status == "down" else 0


def format_report(report: "Health") -> str:
    """Format a report: a line for each check, then the next step."""
    lines = [f"{report.status}: Ollama at {report.base_url}"]
    for one in report.checks:
        lines.append(f"  {_MARKS[one.status]} {one.name}: {one.detail}")
        if one.fix:
            lines.append(f"      {one.fix}")
    lines.append(next_step(report))
    return "\n".join(lines) + "\n"


def next_step(report: "Health") -> str:
    """Return the next step from nothing to a client that uses the server."""
    if report.status == "down":
        return _repair_step(report)
    hosts = f"Add the output of {COMMAND} --print-config CLIENT to your client; CLIENT is one of {', '.join(HOSTS)}."
    return hosts if report.installed else f"{hosts} Then ask it to pull a first model, such as llama3.2:1b (1.3 GB)."


def _repair_step(report: "Health") -> str:
    # Ollama can answer from a container, without a command on this machine: then it must not be installed again.
    unreachable = any(one.name == "reachable" and one.status == "fail" for one in report.checks)
    if unreachable and is_loopback(report.base_url) and shutil.which("ollama") is None:
        return (
            "No `ollama` command is on this machine's PATH. Install Ollama (https://ollama.com/download), start it, "
            f"then run {COMMAND} --check again."
        )
    return f"Fix the checks marked x, then run {COMMAND} --check again."


def _exit(signum: int, _: FrameType | None) -> NoReturn:
    os._exit(128 + signum)  # at once: Python would wait for the thread that looks a name up
