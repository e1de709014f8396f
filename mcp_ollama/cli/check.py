"""`--check`: the report of `health` for a person at a terminal, without the MCP SDK."""

import shutil
from typing import TYPE_CHECKING

import anyio

from mcp_ollama.cli.host_config import HOSTS
from mcp_ollama.cli.output import COMMAND, print_text
from mcp_ollama.models.concurrency import for_each
from mcp_ollama.models.health import examine
from mcp_ollama.models.hosts import NamedHosts, open_hosts
from mcp_ollama.ollama.addresses import is_loopback

if TYPE_CHECKING:
    from mcp_ollama.models.health import Health

_MARKS = {"ok": "+", "warn": "!", "fail": "x", "unknown": "?"}


def check(named: NamedHosts) -> int:
    """Print a report for each host, and return the exit status: 1 when all are down, else 0."""
    reports = anyio.run(_examine_all, named)
    blocks = [named.adapt_advice(format_report(report, host)) for host, report in reports.items()]
    print_text("\n".join(blocks))
    return 1 if all(report.status == "down" for report in reports.values()) else 0


async def _examine_all(named: NamedHosts) -> dict[str, "Health"]:
    """Return the report of each host, in their order."""
    reports: dict[str, Health] = {}

    async def examine_one(host: str) -> None:
        reports[host] = await examine(await hosts.app(host))

    async with open_hosts(named) as hosts:
        await for_each(named.hosts, examine_one, at_once=len(named.hosts))
    return {host: reports[host] for host in named.hosts}


def format_report(report: "Health", host: str = "") -> str:
    """Format a report: a line for each check, then the next step; the name of a host first, when there is one."""
    lines = [f"{f'{host}: ' if host else ''}{report.status}: Ollama at {report.base_url}"]
    for one in report.checks:
        lines.append(f"  {_MARKS[one.status]} {one.name}: {one.detail}")
        if one.fix:
            lines.append(f"      {one.fix}")
    lines.append(next_step(report))
    return "\n".join(lines) + "\n"


def next_step(report: "Health") -> str:
    """Return the next step towards a client that uses the server."""
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
