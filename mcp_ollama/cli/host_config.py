"""`--print-config`: the configuration with which a client starts this command."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from mcp_ollama.cli.output import COMMAND, print_note, print_text
from mcp_ollama.models.hosts import NamedHosts
from mcp_ollama.models.persistence.state_dir import state_dir
from mcp_ollama.settings import OllamaSettings, variable_of

NAME = "ollama"
"""The name of the server in the configuration of a client."""

_OMITTED = {"api_key", "headers", "http_token", "http_hosts", "hf_token", "log_level"}
"""Settings that are secret, or of no use to a server that a client starts."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line with its environment variables; a client passes on no others of a shell."""

    command: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostApp:
    """An application that starts MCP servers.

    Args:
        title: Its name.
        config_path: The file or the place where the snippet belongs.
        wait_seconds: `MCP_OLLAMA_PULL_WAIT` there: how long one `pull_model` call may take.
        timeout_note: The reason for `wait_seconds`, with the application as the subject.
        format: Formats a launch as the application reads it.
    """

    title: str
    config_path: str
    wait_seconds: int
    timeout_note: str
    format: Callable[[Launch], str]


def print_config(host: str, settings: OllamaSettings, hosts: NamedHosts) -> int:
    """Print the snippet to stdout, and to stderr where it belongs and which secrets it omits.

    Args:
        host: A key of `HOSTS`.
        settings: The operator's settings.
        hosts: The Ollama servers that they name.
    """
    text = snippet(host, settings, start_command())
    print_note(f"For {HOSTS[host].title}, into {HOSTS[host].config_path}:")
    if secrets := omitted_secrets(hosts):
        print_note(f"Secrets are left out: add {' and '.join(secrets)} to its env.")
    print_text(f"{text}\n")
    return 0


def snippet(host: str, settings: OllamaSettings, start: tuple[str, ...]) -> str:
    """Return the configuration of an application.

    Args:
        host: A key of `HOSTS`.
        settings: The settings that become variables, except for secrets.
        start: The command and its arguments.
    """
    app = HOSTS[host]
    return app.format(Launch(start[0], start[1:], _variables(settings, app.wait_seconds)))


def omitted_secrets(hosts: NamedHosts) -> list[str]:
    """Return the variables of the secrets that are set; no snippet contains them."""
    secrets = [variable for settings in hosts.hosts.values() for variable in settings.secret_variables()]
    secrets += [variable_of("hf_token") for settings in hosts.hosts.values() if settings.hf_token]
    return list(dict.fromkeys(secrets))


def start_command() -> tuple[str, ...]:
    """Return the absolute command that starts this installation: desktop applications have a PATH of their own."""
    folder = Path(sys.executable).parent
    uvx = shutil.which("uvx")
    if uvx and any(part.startswith("archive-v") for part in folder.parts):
        # The script lies in uvx's cache, which may be emptied at any time.
        return (uvx, *_origin(), COMMAND)
    script = shutil.which(COMMAND, path=str(folder))
    return (script,) if script else (sys.executable, "-m", "mcp_ollama")


def _variables(settings: OllamaSettings, wait_seconds: int) -> dict[str, str]:
    chosen: dict[str, Any] = {"base_url": settings.base_url, "pull_wait": wait_seconds}
    chosen |= {name: getattr(settings, name) for name in settings.model_fields_set - _OMITTED}
    if settings.hosts is not None or settings.hosts_file is not None:
        del chosen["base_url"]
    if "state_dir" in chosen and (folder := state_dir(settings.state_dir)):
        chosen["state_dir"] = folder
    return {variable_of(name): _text(chosen[name]) for name in OllamaSettings.model_fields if name in chosen}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        # A client starts the server in another folder.
        return str(value.expanduser().absolute())
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _origin() -> tuple[str, ...]:
    """Return the arguments with which uvx finds a file, a folder or a repository; empty for the package index."""
    text = distribution(COMMAND).read_text("direct_url.json")  # PEP 610
    if not text:
        return ()
    origin: dict[str, Any] = json.loads(text)
    url = str(origin["url"])
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs.get('requested_revision') or vcs['commit_id']}"
    folder = origin.get("subdirectory")
    return ("--from", f"{url}#subdirectory={folder}" if folder else url)


def _json(key: str, /, **more: Any) -> Callable[[Launch], str]:
    def format_launch(launch: Launch) -> str:
        entry = {"command": launch.command, "args": list(launch.arguments), "env": dict(launch.variables)}
        server = {name: value for name, value in entry.items() if value}
        return json.dumps({key: {NAME: server | more}}, indent=2, ensure_ascii=False)

    return format_launch


def _opencode(launch: Launch) -> str:
    # `timeout` is that of the list of tools, in milliseconds; the default of 5 s is short for a first start.
    server = {
        "type": "local",
        "command": [launch.command, *launch.arguments],
        "environment": dict(launch.variables),
        "timeout": 60_000,
    }
    return json.dumps({"mcp": {NAME: server}}, indent=2, ensure_ascii=False)


def _toml(launch: Launch) -> str:
    # A JSON string is also a TOML string, as long as no character is escaped as a pair of surrogates.
    quoted = [json.dumps(word, ensure_ascii=False) for word in (launch.command, *launch.arguments)]
    lines = [
        f"[mcp_servers.{NAME}]",
        f"command = {quoted[0]}",
        f"args = [{', '.join(quoted[1:])}]",
        "startup_timeout_sec = 60",
        "tool_timeout_sec = 1800",
        "",
        f"[mcp_servers.{NAME}.env]",
        *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in launch.variables.items()),
    ]
    return "\n".join(lines)


def _claude_code(launch: Launch) -> str:
    words = ["claude", "mcp", "add", NAME, "--scope", "user"]
    for name, value in launch.variables.items():
        words += ["-e", f"{name}={value}"]
    words += ["--", launch.command, *launch.arguments]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


_mcp_servers = _json("mcpServers")
_CUT_AT_60 = "cuts calls after 60 s"

HOSTS: Mapping[str, HostApp] = {
    "claude-desktop": HostApp(
        "Claude Desktop",
        "claude_desktop_config.json (Settings > Developer > Edit Config)",
        45,
        f"{_CUT_AT_60} (some builds 4 min), whatever progress they are shown",
        _mcp_servers,
    ),
    "claude-code": HostApp(
        "Claude Code", "a terminal", 1500, "tolerates 30 min without output; progress resets the timeout", _claude_code
    ),
    "vscode": HostApp(
        "VS Code",
        ".vscode/mcp.json, or the command MCP: Open User Configuration",
        240,
        "has lost answers that took more than 5 min",
        _json("servers", type="stdio"),
    ),
    "cursor": HostApp(
        "Cursor", "~/.cursor/mcp.json", 45, f"documents no limit, and the usual SDK {_CUT_AT_60}", _mcp_servers
    ),
    "codex": HostApp(
        "Codex", "~/.codex/config.toml", 1500, "lets a server set its limit: the snippet says 30 min", _toml
    ),
    "gemini": HostApp("Gemini CLI", "~/.gemini/settings.json", 540, "cuts calls after 10 min", _mcp_servers),
    "zed": HostApp(
        "Zed",
        "settings.json (command zed: open settings file)",
        1500,
        "lets a server set its limit: the snippet says 30 min",
        _json("context_servers", timeout=1800),
    ),
    "lm-studio": HostApp("LM Studio", "mcp.json (Program > Install > Edit mcp.json)", 45, _CUT_AT_60, _mcp_servers),
    "opencode": HostApp("OpenCode", "opencode.json, or ~/.config/opencode/opencode.json", 45, _CUT_AT_60, _opencode),
    "pydantic-ai": HostApp(
        "Pydantic AI", "mcp.json, read by load_mcp_toolsets", 240, "gives up after 5 min", _mcp_servers
    ),
}
"""The applications that `--print-config` knows, by their name there."""
