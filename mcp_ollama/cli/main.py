"""The command line: serve on stdio or HTTP, or run `--check`, `--demo` or `--print-config`.

`--version` and `--help` are answered, and stdin and stdout are claimed, before anything heavy is imported.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from mcp_ollama.cli.output import COMMAND, exit_with_usage_error, print_note, print_text

if TYPE_CHECKING:
    from mcp_ollama.models.hosts import NamedHosts
    from mcp_ollama.server.server import OllamaServer
    from mcp_ollama.settings import OllamaSettings

    Serve = Callable[[OllamaServer, OllamaSettings], int]

OPTIONS = {
    "base_url": "the Ollama server, with or without /v1 (else OLLAMA_BASE_URL or OLLAMA_HOST)",
    "model_name": "default model of create_ollama_model()",
    "timeout": "seconds for one management request (30)",
    "pull_wait": "default wait_seconds of pull_model (45)",
    "stall_seconds": "seconds without new bytes until a transfer counts as stalled (60)",
    "access": "full, no-delete or read-only (full)",
    "confirm_delete": "ask before deleting: true or false (true)",
    "allow_push": "offer push_model: true or false (false)",
    "registries": "further registries, comma-separated; http://HOST:PORT for plain http",
    "http_hosts": "further names under which clients reach --http, comma-separated",
    "outage_seconds": "seconds that a running transfer waits for an unreachable Ollama server (900)",
    "state_dir": "directory of the journal of transfers, or off (the platform's state directory)",
    "resume": "resume interrupted transfers at the start: true or false (false)",
    "memory": "memory of the Ollama server where it cannot be detected, such as 24GB or gpu:24GB ram:64GB",
    "search": "on, or off: search_models asks only the Ollama server and, for one exact name, Ollama's library (on)",
    "hf_endpoint": "Hugging Face or a mirror (https://huggingface.co)",
    "hf_hub_offline": "search_models does not ask Hugging Face: true or false (false)",
    "hosts": "several Ollama servers: a JSON object of names and addresses",
    "hosts_file": "several Ollama servers: a TOML file, see docs/several-servers.md",
    "log_level": "DEBUG, INFO, WARNING or ERROR, on stderr (WARNING)",
}
"""The settings that are also flags. Secrets are not, because every user of a machine can read command lines."""


_DEMO: dict[str, str | None] = {"base_url": "http://127.0.0.1", "hosts": None, "hosts_file": None}
"""Settings that the demo does without: its server starts later, on a free port."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 2 for an invalid setting, for `--check` 1 when every Ollama server is down.
    """
    signal.signal(signal.SIGINT, _exit)
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    checks, demo, address, host = (given.pop(mode) for mode in ("check", "demo", "http", "print_config"))
    if address and (checks or host):
        parser.error(f"argument --http: not allowed with argument --{'check' if checks else 'print-config'}")
    chosen = {option: value for option, value in given.items() if value is not None}
    if checks:
        from mcp_ollama.cli.check import check

        return check(_load_hosts(_load_settings(chosen)))
    if host:
        from mcp_ollama.cli.host_config import print_config

        settings = _load_settings(chosen)
        return print_config(host, settings, _load_hosts(settings))
    return _serve(chosen, _http(*address) if address else _stdio(), demo=demo)


def _exit(signum: int, _: FrameType | None) -> NoReturn:
    # In place of a traceback, until a transport handles signals; at once, since Python would wait for the thread that
    # looks a name up.
    os._exit(128 + signum)


def _serve(chosen: dict[str, str], transport: "Serve", *, demo: bool) -> int:
    from mcp_ollama.transports import startup

    startup.pause_gc()
    startup.skip_pydantic_plugins()
    startup.defer_model_builds()
    settings = _load_settings(chosen | _DEMO if demo else chosen)
    if demo:
        from mcp_ollama.cli.demo import serve_demo

        return serve_demo(settings, transport)
    from mcp_ollama.server.server import build_server

    return transport(build_server(settings, hosts=_load_hosts(settings)), settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="MCP server that manages the models of an Ollama server. MCP clients start it and use stdin and "
        "stdout; at a terminal, run --check.",
        epilog="Each option with a VALUE is also an environment variable: MCP_OLLAMA_ and its name, as in "
        "MCP_OLLAMA_BASE_URL; HF_ENDPOINT and HF_HUB_OFFLINE are Hugging Face's own. Secrets are variables only: "
        "MCP_OLLAMA_API_KEY is sent to the Ollama server as a bearer token, MCP_OLLAMA_HEADERS as further request "
        "headers, HF_TOKEN to Hugging Face, and MCP_OLLAMA_HTTP_TOKEN is required of clients of --http.",
    )
    parser.add_argument("--version", action=_PrintVersion)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="check the Ollama server, print a report and exit")
    ways.add_argument("--demo", action="store_true", help="serve a simulated Ollama server, without a real one")
    ways.add_argument(
        "--print-config",
        type=_host,
        metavar="CLIENT",
        help="print the configuration for a client (claude-desktop, vscode, ...) and exit",
    )
    parser.add_argument(
        "--http",
        type=_address,
        metavar="[HOST:]PORT",
        help="serve over Streamable HTTP; HOST is 127.0.0.1 by default, and any that others can reach needs a token",
    )
    for option, text in OPTIONS.items():
        flag = option.removesuffix("_name").replace("_", "-")
        parser.add_argument(f"--{flag}", dest=option, metavar="VALUE", help=text)
    return parser


def _host(text: str) -> str:
    from mcp_ollama.cli.host_config import HOSTS

    if text not in HOSTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(HOSTS)}")
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or ("" if ":" in text else "127.0.0.1")
    if not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not [HOST:]PORT, such as 8000 or 192.168.1.5:8000")
    return host, int(port)


class _PrintVersion(argparse.Action):
    """Prints the version, and reads it only then: that takes 20 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print_text(f"{COMMAND} {version(COMMAND)}\n")
        parser.exit()


def _stdio() -> "Serve":
    """Claim stdin and stdout at once, and return the function that serves on them."""
    from mcp_ollama.transports.std_streams import claim

    if sys.stdin is not None and sys.stdin.isatty():
        print_note(f"{COMMAND} waits for an MCP client on stdin. To check the Ollama server, run {COMMAND} --check")
    pipes = claim()

    def serve_stdio(server: "OllamaServer", _: "OllamaSettings") -> int:
        from mcp_ollama.tools import ALL
        from mcp_ollama.transports.stdio import serve

        return serve(server, pipes, waiting_tools=frozenset(tool.name for tool in ALL if tool.waits))

    return serve_stdio


def _http(host: str, port: int) -> "Serve":
    def serve_http(server: "OllamaServer", settings: "OllamaSettings") -> int:
        from mcp_ollama.transports.http import Address, serve

        try:
            return serve(server, Address(host, port), token=settings.http_token, names=settings.http_hosts)
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]  # the rest repeats the address
            exit_with_usage_error(
                f"--http: cannot listen on {host}, port {port}: {why}; name a free port and an address of this machine",
                error,
            )
        except ValueError as error:
            exit_with_usage_error(str(error), error)

    return serve_http


def _load_hosts(settings: "OllamaSettings") -> "NamedHosts":
    """Load the hosts; an invalid one ends the process with one line and status 2."""
    from mcp_ollama.models.hosts import load_hosts

    try:
        return load_hosts(settings)
    except ValueError as error:
        exit_with_usage_error(str(error), error)


def _load_settings(chosen: Mapping[str, str | None]) -> "OllamaSettings":
    """Load the settings and configure the log; an invalid one ends the process with one line and status 2."""
    import logging

    from mcp_ollama.settings import OllamaSettings, unknown_variables

    try:
        settings = OllamaSettings.load(**chosen)
    except ValueError as error:
        exit_with_usage_error(str(error), error)
    # Before the SDK does: its handler would print whole tracebacks in colour.
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for sentence in unknown_variables():
        logging.getLogger("mcp_ollama").warning(sentence)
    # At DEBUG they log cookies, presigned URLs, and whole messages with confirmation tokens.
    for library in ("httpx", "httpcore", "mcp", "sse_starlette"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return settings
