"""The door: flags, then one of serving hosts on stdio or HTTP, `--check`, `--demo` and `--print-config`.

`--version` and `--help` are answered, and stdin and stdout are claimed, before anything heavy is imported.
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mcp_ollama.server.server import OllamaServer
    from mcp_ollama.settings import OllamaSettings
    from mcp_ollama.tools.health import Health

    Door = Callable[[OllamaServer, OllamaSettings], int]

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
    "http_hosts": "further names under which clients reach --http, comma-separated",
    "log_level": "DEBUG, INFO, WARNING or ERROR, on stderr (WARNING)",
}
"""The settings that are flags, too. The keys and the headers are not: a command line can be seen by all."""


def variable_of(option: str) -> str:
    """Name the environment variable of a setting."""
    return f"MCP_OLLAMA_{'MODEL' if option == 'model_name' else option.upper()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status: 2 for a wrong setting, for `--check` 1 when Ollama is down."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    check, demo, address, host = (given.pop(way) for way in ("check", "demo", "http", "print_config"))
    if address and (check or host):
        parser.error(f"argument --http: not allowed with argument --{'check' if check else 'print-config'}")
    chosen = {option: value for option, value in given.items() if value is not None}
    if check:
        signal.signal(signal.SIGINT, _leave)
        return _check(chosen)
    if host:
        return _print_config(host, chosen)
    door = _http_door(*address) if address else _stdio_door()
    # Collecting garbage among half a million objects that all stay costs the start a tenth of its time.
    gc.disable()
    _defer_models()
    settings = _settings(chosen | {"base_url": "http://127.0.0.1"} if demo else chosen)
    return _demo(settings, door) if demo else _serve(settings, door)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="MCP server that manages the models of an Ollama server. Hosts start it and talk to it on stdin "
        "and stdout; a person can look with --check.",
        epilog="Each option is also an environment variable: MCP_OLLAMA_ and its name, as in MCP_OLLAMA_BASE_URL. "
        "A key for the server goes into MCP_OLLAMA_API_KEY, further request headers into MCP_OLLAMA_HEADERS, "
        "and what clients of --http have to show into MCP_OLLAMA_HTTP_TOKEN.",
    )
    parser.add_argument("--version", action=_PrintVersion)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="say whether the Ollama server is well, and leave")
    ways.add_argument("--demo", action="store_true", help="serve a simulated Ollama server, for a look without one")
    ways.add_argument(
        "--print-config",
        type=_host,
        metavar="HOST",
        help="print what to give to a host (claude-desktop, vscode, ...) so that it starts this command, and leave",
    )
    parser.add_argument(
        "--http",
        type=_address,
        metavar="[HOST:]PORT",
        help="serve over Streamable HTTP, on this machine alone unless HOST says more, which takes a token",
    )
    for option, text in OPTIONS.items():
        flag = variable_of(option).removeprefix("MCP_OLLAMA_").lower().replace("_", "-")
        parser.add_argument(f"--{flag}", dest=option, metavar="VALUE", help=text)
    return parser


def _host(text: str) -> str:
    from mcp_ollama.cli.host_config import HOSTS

    if text not in HOSTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(HOSTS)}")
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or ("" if ":" in text else "127.0.0.1")
    if not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not [HOST:]PORT, such as 8000 or 192.168.1.5:8000")
    return host, int(port)


class _PrintVersion(argparse.Action):
    """Looks the version up when it is asked for: that takes 20 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="print the version and leave")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"{COMMAND} {version(COMMAND)}\n")
        parser.exit()


def _stdio_door() -> "Door":
    """Take stdin and stdout at once; what is given back serves on them."""
    from mcp_ollama.transports.std_streams import claim

    if sys.stdin is not None and sys.stdin.isatty():
        _say(f"{COMMAND} waits for an MCP host on stdin. To see whether Ollama is well: {COMMAND} --check")
    pipes = claim()

    def door(server: "OllamaServer", _: "OllamaSettings") -> int:
        from mcp_ollama.transports.stdio import serve

        gc.enable()
        return serve(server, pipes, notifications=server.announced())

    return door


def _http_door(host: str, port: int) -> "Door":
    def door(server: "OllamaServer", settings: "OllamaSettings") -> int:
        from mcp_ollama.transports.http import Address, serve

        gc.enable()
        try:
            return serve(
                server,
                Address(host, port),
                token=settings.http_token,
                names=settings.http_hosts,
                notifications=server.announced(),
            )
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]  # what follows repeats the address
            _refuse(f"--http: cannot listen on {host}, port {port}: {why}", error)
        except ValueError as error:
            _refuse(str(error), error)

    return door


def _serve(settings: "OllamaSettings", door: "Door") -> int:
    from mcp_ollama.server.server import build_server

    return door(build_server(settings), settings)


def _demo(settings: "OllamaSettings", door: "Door") -> int:
    from mcp_ollama.server.server import build_server
    from mcp_ollama.simulator import demo_simulator, serve
    from mcp_ollama.sources.registry import Registry

    with serve(demo_simulator()) as running:
        simulated = settings.model_copy(update={"base_url": running.base_url})
        registry = Registry((), {"registry.ollama.ai": running.base_url})
        return door(build_server(simulated, registry=registry), simulated)


def _check(chosen: dict[str, str]) -> int:
    import anyio

    from mcp_ollama.models.app import open_app
    from mcp_ollama.tools.health import examine

    settings = _settings(chosen)

    async def look() -> int:
        async with open_app(settings) as app:
            return _tell(await examine(app))

    return anyio.run(look)


def _leave(signum: int, _: FrameType | None) -> NoReturn:
    os._exit(128 + signum)  # at once: a name that is being looked up would be waited for


def _tell(report: "Health") -> int:
    from mcp_ollama.cli.host_config import next_step

    marks = {"ok": "+", "warn": "!", "fail": "x", "unknown": "?"}
    lines = [f"{report.status}: Ollama at {report.base_url}"]
    for check in report.checks:
        lines.append(f"  {marks[check.status]} {check.name}: {check.detail}")
        if check.fix:
            lines.append(f"      {check.fix}")
    lines.append(next_step(report.status, report.base_url, report.installed))
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if report.status == "down" else 0


def _print_config(host: str, chosen: dict[str, str]) -> int:
    from mcp_ollama.cli.host_config import HOSTS, left_out, snippet, start_command

    settings = _settings(chosen)
    text = snippet(host, settings, start_command())
    # What is printed can be piped to where it belongs; where that is goes to the person.
    _say(f"For {HOSTS[host].title}, into {HOSTS[host].place}:")
    if secrets := left_out(settings):
        _say(f"Secrets are left out: add {' and '.join(secrets)} to its env.")
    sys.stdout.write(f"{text}\n")
    return 0


def _defer_models() -> None:
    """Have each pydantic model built when it is first used, in this process, which is ours.

    The SDK has hundreds, three for each message of the protocol, and a conversation uses a few dozen of them.
    """
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True


def _settings(chosen: dict[str, str]) -> "OllamaSettings":
    """Read the settings and set up the log; a wrong one ends the process with one line and status 2."""
    import logging

    from mcp_ollama.settings import OllamaSettings

    try:
        settings = OllamaSettings.load(**chosen)
    except ValueError as error:
        _refuse(str(error), error)
    # Before the SDK does: its own handler would print whole tracebacks in colour.
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # They would tell of cookies and addresses that are secrets.
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return settings


def _refuse(why: str, error: Exception) -> NoReturn:
    _say(f"{COMMAND}: {why}")
    raise SystemExit(2) from error


def _say(line: str) -> None:
    with suppress(OSError):  # there may be no stderr, or nobody who reads it
        os.write(2, f"{line}\n".encode())
