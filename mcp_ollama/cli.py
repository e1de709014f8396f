"""The door: flags, then one of serving stdio, `--check` and `--demo`.

`--version` and `--help` are answered, and stdin and stdout are claimed, before anything heavy is imported.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mcp_ollama.settings import OllamaSettings
    from mcp_ollama.tools.health import Health

COMMAND = "mcp-ollama-manager"

OPTIONS = {
    "base_url": "the Ollama server, with or without /v1 (else OLLAMA_BASE_URL or OLLAMA_HOST)",
    "model_name": "model of create_ollama_model() when none is named",
    "timeout": "seconds for one management request (30)",
    "pull_wait": "seconds that pull_model waits when the call does not say (45)",
    "stall_seconds": "no new bytes for so long is a stall (60)",
    "access": "full, no-delete or read-only (full)",
    "confirm_delete": "ask before deleting: true or false (true)",
    "allow_push": "offer push_model: true or false (false)",
    "registries": "further registries, comma-separated",
    "log_level": "DEBUG, INFO, WARNING or ERROR, on stderr (WARNING)",
}
"""The settings that are flags, too. The key and the headers are not: a command line can be seen by all."""


def variable_of(option: str) -> str:
    """Name the environment variable of a setting."""
    return f"MCP_OLLAMA_{'MODEL' if option == 'model_name' else option.upper()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status: 2 for a wrong setting, for `--check` 1 when Ollama is down."""
    given = vars(_parser().parse_args(arguments))
    check, demo = given.pop("check"), given.pop("demo")
    chosen = {option: value for option, value in given.items() if value is not None}
    if check:
        return _check(chosen)
    return _demo(chosen) if demo else _serve(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="MCP server that manages the models of an Ollama server. Hosts start it and talk to it on stdin "
        "and stdout; a person can look with --check.",
        epilog="Each option is also an environment variable: MCP_OLLAMA_ and its name, as in MCP_OLLAMA_BASE_URL. "
        "A key for the server goes into MCP_OLLAMA_API_KEY, further request headers into MCP_OLLAMA_HEADERS.",
    )
    parser.add_argument("--version", action=_PrintVersion)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="say whether the Ollama server is well, and leave")
    ways.add_argument("--demo", action="store_true", help="serve a simulated Ollama server, for a look without one")
    for option, text in OPTIONS.items():
        flag = variable_of(option).removeprefix("MCP_OLLAMA_").lower().replace("_", "-")
        parser.add_argument(f"--{flag}", dest=option, metavar="VALUE", help=text)
    return parser


class _PrintVersion(argparse.Action):
    """Looks the version up when it is asked for: that takes 20 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="print the version and leave")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"{COMMAND} {version(COMMAND)}\n")
        parser.exit()


def _serve(chosen: dict[str, str]) -> int:
    from mcp_ollama.pipes import claim

    if sys.stdin is not None and sys.stdin.isatty():
        _say(f"{COMMAND} waits for an MCP host on stdin. To see whether Ollama is well: {COMMAND} --check")
    pipes = claim()
    # Collecting garbage among half a million objects that all stay costs the start a tenth of its time.
    gc.disable()
    settings = _settings(chosen)
    from mcp_ollama.server import build_server
    from mcp_ollama.stdio import serve

    server = build_server(settings)
    gc.enable()
    return serve(server, pipes)


def _demo(chosen: dict[str, str]) -> int:
    from mcp_ollama.pipes import claim

    pipes = claim()
    from mcp_ollama.ollama.registry import Registry
    from mcp_ollama.server import build_server
    from mcp_ollama.simulator import demo_simulator, serve
    from mcp_ollama.stdio import serve as serve_stdio

    with serve(demo_simulator()) as running:
        settings = _settings(chosen | {"base_url": running.base_url})
        registry = Registry((), {"registry.ollama.ai": running.base_url})
        return serve_stdio(build_server(settings, registry=registry), pipes)


def _check(chosen: dict[str, str]) -> int:
    import anyio

    from mcp_ollama.context import living
    from mcp_ollama.tools.health import examine

    async def look() -> "Health":
        async with living(settings) as app:
            return await examine(app)

    settings = _settings(chosen)
    report = anyio.run(look)
    marks = {"ok": "+", "warn": "!", "fail": "x", "unknown": "?"}
    lines = [f"{report.status}: Ollama at {report.base_url}"]
    for check in report.checks:
        lines.append(f"  {marks[check.status]} {check.name}: {check.detail}")
        if check.fix:
            lines.append(f"      {check.fix}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if report.status == "down" else 0


def _settings(chosen: dict[str, str]) -> "OllamaSettings":
    """Read the settings and set up the log; a wrong one ends the process with one line and status 2."""
    import logging

    from mcp_ollama.settings import OllamaSettings

    try:
        settings = OllamaSettings.load(**chosen)
    except ValueError as error:
        _say(f"{COMMAND}: {error}")
        raise SystemExit(2) from error
    # Before the SDK does: its own handler would print whole tracebacks in colour.
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return settings


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())
