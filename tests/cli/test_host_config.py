"""`--print-config`: each client gets a snippet that starts this command."""

import json
import shutil
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from mcp_ollama.cli import host_config as hostconfig
from mcp_ollama.cli.host_config import HOSTS, snippet, start_command
from mcp_ollama.cli.main import OPTIONS, main
from mcp_ollama.cli.output import COMMAND
from mcp_ollama.settings import OllamaSettings, variable_of
from scripts.readme import Start, start_of

LANGUAGES = {"claude-code": "sh", "codex": "toml"}
ODD = ("/home/a b/bin/it's", "--from", 'C:\\wheels\\"x"\\ü𝄞.whl', COMMAND)


def decoded(host: str, text: str) -> Start:
    return start_of(LANGUAGES.get(host, "json"), text)


@pytest.mark.parametrize("host", HOSTS)
def test_a_snippet_gives_back_the_command_whatever_characters_it_has(host: str):
    start = decoded(host, snippet(host, OllamaSettings.load(), ODD))
    assert start.command == ODD


@pytest.mark.parametrize("host", HOSTS)
def test_a_snippet_sets_the_address_and_what_the_host_tolerates(host: str):
    start = decoded(host, snippet(host, OllamaSettings.load(base_url="ollama.lan/v1"), (COMMAND,)))
    assert start.variables == {
        "MCP_OLLAMA_BASE_URL": "http://ollama.lan:11434",
        "MCP_OLLAMA_PULL_WAIT": str(HOSTS[host].wait_seconds),
    }


def test_snippet_repeats_the_settings_and_the_server_reads_them_back():
    chosen = {
        "base_url": "https://ollama.example:443",
        "model_name": "qwen3:8b",
        "timeout": "7.5",
        "pull_wait": "20",
        "stall_seconds": "90",
        "access": "no-delete",
        "confirm_delete": "false",
        "allow_push": "true",
        "registries": "registry.example,localhost:5000",
    }
    variables = decoded("cursor", snippet("cursor", OllamaSettings.load(**chosen), (COMMAND,))).variables
    assert variables == {variable_of(option): value for option, value in chosen.items()}


def test_a_snippet_holds_no_secret_and_nothing_of_other_ways_in(monkeypatch: pytest.MonkeyPatch):
    for variable in ("MCP_OLLAMA_API_KEY", "OLLAMA_API_KEY", "MCP_OLLAMA_HTTP_TOKEN"):
        monkeypatch.setenv(variable, "s3cret")
    monkeypatch.setenv("MCP_OLLAMA_HEADERS", '{"X-Key": "s3cret"}')
    settings = OllamaSettings.load(http_hosts="a.example", log_level="DEBUG")
    for host in HOSTS:
        text = snippet(host, settings, (COMMAND,))
        assert "s3cret" not in text
        assert decoded(host, text).variables.keys() == {"MCP_OLLAMA_BASE_URL", "MCP_OLLAMA_PULL_WAIT"}


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (r"C:\Tools\mcp-ollama-manager.exe", r"C:\Tools\mcp-ollama-manager.exe"),
        (r"C:\Users\A B\mcp-ollama-manager.exe", r'"C:\Users\A B\mcp-ollama-manager.exe"'),
    ],
)
def test_on_windows_the_command_line_keeps_its_backslashes_and_spaces(
    monkeypatch: pytest.MonkeyPatch, path: str, word: str
):
    with monkeypatch.context() as windows:
        windows.setattr(hostconfig.os, "name", "nt")
        text = snippet("claude-code", OllamaSettings.load(), (path,))
    assert text.endswith(f" -- {word}")


def test_the_command_is_the_script_beside_the_interpreter():
    (script,) = start_command()
    assert Path(script) == Path(sys.executable).with_name(COMMAND)


def test_without_a_script_beside_it_the_interpreter_starts_the_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    # Where this interpreter lies is given, and beside it lies a script.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert start_command() == (str(tmp_path / "python3"), "-m", "mcp_ollama")


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("", ()),
        ('{"url": "file:///downloads/ours.whl", "archive_info": {}}', ("--from", "file:///downloads/ours.whl")),
        (
            '{"url": "https://git.example/o", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}, "subdirectory": "a"}',
            ("--from", "git+https://git.example/o@c0ffee#subdirectory=a"),
        ),
        (
            '{"url": "ssh://git@x/o", "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "v1"}}',
            ("--from", "git+ssh://git@x/o@v1"),
        ),
    ],
)
def test_under_uvx_the_command_is_uvx_and_not_its_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: str, words: tuple[str, ...]
):
    class Installed(Distribution):
        def read_text(self, filename: str) -> str:
            return origin

        def locate_file(self, path: object) -> Path:
            raise NotImplementedError

    def distribution(name: str) -> Installed:
        return Installed()

    (tmp_path / "uvx").write_text("#!/bin/sh\n")
    (tmp_path / "uvx").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    # What uvx makes is made of a package index, which no test asks.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "archive-v0" / "x1" / "bin" / "python3"))
    monkeypatch.setattr(hostconfig, "distribution", distribution)
    assert start_command() == (shutil.which("uvx"), *words, COMMAND)


def test_print_config_prints_only_the_snippet_and_its_place_on_stderr(capfd: pytest.CaptureFixture[str]):
    assert main(["--print-config", "claude-desktop", "--access", "read-only"]) == 0
    shown = capfd.readouterr()
    start = decoded("claude-desktop", shown.out)
    assert start.command == start_command()
    assert start.variables["MCP_OLLAMA_ACCESS"] == "read-only"
    assert "claude_desktop_config.json" in shown.err


@pytest.mark.parametrize("folder", ["state", "~/state", "/state"])
def test_print_config_makes_the_state_folder_absolute(folder: str, capfd: pytest.CaptureFixture[str]):
    assert main(["--print-config", "zed", "--state-dir", folder]) == 0
    printed = decoded("zed", capfd.readouterr().out).variables["MCP_OLLAMA_STATE_DIR"]
    assert printed == str(Path(folder).expanduser().absolute())


def test_print_config_keeps_a_journal_that_is_off(capfd: pytest.CaptureFixture[str]):
    assert main(["--print-config", "zed", "--state-dir", "off"]) == 0
    assert decoded("zed", capfd.readouterr().out).variables["MCP_OLLAMA_STATE_DIR"] == "off"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MCP_OLLAMA_API_KEY": "s3cret", "OLLAMA_API_KEY": "s3cret"}, "MCP_OLLAMA_API_KEY"),
        ({"MCP_OLLAMA_HEADERS": '{"X-Key": "s3cret"}'}, "MCP_OLLAMA_HEADERS"),
        ({"HF_TOKEN": "s3cret", "MCP_OLLAMA_API_KEY": "s3cret"}, "MCP_OLLAMA_API_KEY and HF_TOKEN"),
        (
            {"OLLAMA_API_KEY": "s3cret", "MCP_OLLAMA_HEADERS": '{"X": "s3cret"}'},
            "OLLAMA_API_KEY and MCP_OLLAMA_HEADERS",
        ),
        ({"OLLAMA_API_KEY": "s3cret", "OLLAMA_HOST": "ollama.lan", "MCP_OLLAMA_HTTP_TOKEN": "s3cret"}, ""),
    ],
)
def test_print_config_names_the_secrets_that_it_leaves_out(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert main(["--print-config", "cursor"]) == 0
    shown = capfd.readouterr()
    assert "s3cret" not in shown.out + shown.err
    said = [line for line in shown.err.splitlines() if "left out" in line]
    assert said == ([f"Secrets are left out: add {named} to its env."] if named else [])


def test_print_config_refuses_an_unknown_host_and_names_the_known(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["--print-config", "emacs"])
    shown = capsys.readouterr().err
    assert all(host in shown for host in HOSTS)


def test_every_option_that_a_host_can_set_is_in_the_settings():
    assert OPTIONS.keys() >= OllamaSettings.model_fields.keys() - {"api_key", "headers", "http_token", "hf_token"}
    assert json.loads(snippet("zed", OllamaSettings.load(), (COMMAND,)))["context_servers"]["ollama"]["timeout"] == 1800
