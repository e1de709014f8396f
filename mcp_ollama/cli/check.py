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
    lines.append(next_step(report.status, report.base_url, report.installed))
    return "\n".join(lines) + "\n"


def next_step(status: str, base_url: str, installed: int | None) -> str:
    """Return the next step from nothing to a client that uses the server.

    Args:
        status: The status of the report.
        base_url: The Ollama server that was checked.
        installed: The number of its models; None when it could not be asked.
    """
    if status == "down" and is_loopback(base_url) and shutil.which("ollama") is None:
        return (
            "There is no `ollama` command on this machine's PATH: install Ollama (https://ollama.com/download), start "
            f"it, and look again: {COMMAND} --check"
        )
    if status == "down":
        return f"Mend what is marked x, then look again: {COMMAND} --check"
    hosts = f"Give your host the text that {COMMAND} --print-config HOST prints; HOST is one of {', '.join(HOSTS)}."
    return hosts if installed else f"{hosts} Then ask it to pull a first model, such as llama3.2:1b (1.3 GB)."


def _exit(signum: int, _: FrameType | None) -> NoReturn:
    os._exit(128 + signum)  # at once: Python would wait for the thread that looks a name up
