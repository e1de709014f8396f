"""The command line: flags, invalid settings, and what a person at a terminal sees."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mcp_ollama.cli.main import OPTIONS, main
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import PULLABLE
from tests.support.wire import Wire, call, request

COMMAND = [sys.executable, "-m", "mcp_ollama"]
NOWHERE = "http://127.0.0.1:9"
SECRETS = {"api_key", "headers", "http_token", "hf_token"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=dict(os.environ) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_version_names_the_command_and_its_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"mcp-ollama-manager {version('mcp-ollama-manager')}\n",
        "",
    )


def test_help_names_every_way_in_and_a_flag_like_each_variable():
    done = run("--help")
    assert done.returncode == 0
    flags = {option.removesuffix("_name").replace("_", "-") for option in OPTIONS}
    assert all(f"--{word} " in done.stdout for word in {"check", "demo", "http", "version"} | flags)


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_are_answered_before_anything_heavy_is_imported(flag: str):
    code = (
        "import sys\nfrom mcp_ollama.cli.main import main\n"
        f"try: main(['{flag}'])\n"
        "except SystemExit: pass\n"
        "sys.exit(sorted({'mcp', 'pydantic', 'httpx', 'asyncio'} & sys.modules.keys()) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_but_the_secrets_is_a_flag():
    assert OPTIONS.keys() == OllamaSettings.model_fields.keys() - SECRETS


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        (["--timeout", "soon"], {}, "MCP_OLLAMA_TIMEOUT: should be a valid number"),
        ([], {"MCP_OLLAMA_ACCESS": "some"}, "MCP_OLLAMA_ACCESS: should be 'full', 'no-delete' or 'read-only'"),
        ([], {"OLLAMA_HOST": "ftp://x"}, "OLLAMA_HOST: "),
        (["--check", "--base-url", "http://u:pa55@h"], {}, "MCP_OLLAMA_BASE_URL: "),
        (["--demo"], {"MCP_OLLAMA_HEADERS": "pa55"}, "MCP_OLLAMA_HEADERS: must be a JSON object"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_variable_and_status_2(
    arguments: list[str], variables: dict[str, str], complaint: str
):
    with Wire([*COMMAND, *arguments], forked=True, env=dict(os.environ) | variables) as wire:
        assert wire.rest() == []
        assert wire.wait() == 2
        assert re.fullmatch(r"mcp-ollama-manager: .*\n", wire.errors)
        assert complaint in wire.errors
        assert "pa55" not in wire.errors


@pytest.mark.parametrize("address", ["", ":8000", "http://127.0.0.1:", "127.0.0.1", "host:", "host:65536", "8,000"])
def test_an_address_to_serve_at_is_a_port_with_or_without_a_host(address: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--http", address])
    assert ended.value.code == 2
    assert f"{address!r} is not [HOST:]PORT, such as 8000" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["--check", "--print-config=zed"])
def test_what_looks_and_leaves_serves_nothing(other: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([other, "--http", "0"])
    assert ended.value.code == 2
    complaint = f"error: argument --http: not allowed with argument {other.partition('=')[0]}\n"
    assert capsys.readouterr().err.endswith(complaint)


@pytest.mark.parametrize(("flag", "status"), [("--print-config=zed", 0), ("--timeout=soon", 2)])
def test_a_missing_stderr_changes_nothing_else(flag: str, status: int):
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    done = subprocess.run([*shell, *COMMAND, flag], stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (status, "" if status else run(flag).stdout)


@pytest.mark.parametrize(("flags", "status"), [(["--version"], 0), (["--check", "--base-url", NOWHERE], 1)])
@pytest.mark.parametrize("stdout", [">&-", "| true"], ids=["closed", "without reader"])
def test_a_missing_stdout_changes_nothing_else(flags: list[str], status: int, stdout: str):
    shell = ["bash", "-c", f'set -o pipefail; "$@" {stdout}', "bash"]
    done = subprocess.run([*shell, *COMMAND, *flags], stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_full_disk_under_stdout_is_one_line_and_status_1():
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    reason = "mcp-ollama-manager: stdout cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, reason)


def test_a_locale_without_the_letters_of_a_path_gets_utf8():
    done = run("--print-config", "zed", "--state-dir", "/stäte", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert json.loads(done.stdout)["context_servers"]["ollama"]["env"]["MCP_OLLAMA_STATE_DIR"] == "/stäte"


@pytest.mark.parametrize("mode", [["--check"], ["--http", "0"], ["--print-config", "zed"], []])
def test_an_interrupt_during_the_start_leaves_no_traceback(mode: list[str], tmp_path: Path):
    hosts = tmp_path / "hosts.toml"
    os.mkfifo(hosts)
    with Wire([*COMMAND, *mode, "--hosts-file", str(hosts)]) as wire:
        with hosts.open("w"):  # opens once the process reads its settings
            wire.signal(signal.SIGINT)
            assert wire.wait() == 130
        assert wire.errors == ""


def test_an_unknown_flag_is_refused_with_status_2():
    done = run("--api-key", "secret")
    assert (done.returncode, done.stdout) == (2, "")


def test_on_a_terminal_it_says_what_it_waits_for():
    terminal, child = pty.openpty()
    with Wire(COMMAND, stdin=child, env=dict(os.environ) | {"MCP_OLLAMA_BASE_URL": NOWHERE}) as wire:
        os.close(child)
        wire.hear("waits for an MCP client on stdin")
        os.close(terminal)
        assert wire.rest() == []
        assert wire.wait() == 0


def test_demo_serves_a_few_models_without_an_ollama_server():
    with Wire([*COMMAND, "--demo"], forked=True, env=dict(os.environ) | {"MCP_OLLAMA_BASE_URL": NOWHERE}) as wire:
        wire.send(request("list", "tools/list", modern=True), call("models", "list_models", modern=True))
        wire.send(call("found", "search_models", modern=True, query="coder", sources=["huggingface", "cloud"]))
        tools, models, found = wire.answers("list", "models", "found")
        sources = {row["source"] for row in found["result"]["structuredContent"]["models"]}
        assert sources == {"huggingface"}
        assert {row["status"] for row in found["result"]["structuredContent"]["sources"]} == {"ok"}
        plan = wire.ask(call("plan", "plan_pull", modern=True, model="ollama.com/library/llama3.2:1b"))["result"]
        assert plan["structuredContent"]["memory"]["kv_bytes"] > 0
        assert "pull_model" in {tool["name"] for tool in tools["result"]["tools"]}
        assert len(models["result"]["structuredContent"]["models"]) >= 5
        instructions = wire.ask(request("words", "server/discover", modern=True))["result"]["instructions"]
        wire.close_input()
        assert wire.wait() == 0
        for words in (instructions, wire.errors):
            assert all(name in words.partition("it can pull ")[2] for name in PULLABLE)


def test_unknown_variable_is_named_in_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("MCP_OLLAMA_PULLWAIT", "5")
    main(["--print-config", "cursor"])
    assert "MCP_OLLAMA_PULLWAIT is not a setting and is ignored. Did you mean MCP_OLLAMA_PULL_WAIT?" in caplog.text
