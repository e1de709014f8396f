"""Several hosts on the command line: invalid ones, `--check`, `--print-config` and `--demo`."""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from mcp_ollama.cli.main import main
from mcp_ollama.simulator import RunningSimulator
from scripts.readme import start_of
from tests.cli.test_main import COMMAND
from tests.support.fleet import Fleet, serve_fleet
from tests.support.wire import Wire, call


@pytest.fixture
def fleet(tmp_path: Path, nowhere: str) -> Generator[Fleet]:
    with serve_fleet(tmp_path, nowhere) as fleet:
        yield fleet


@pytest.mark.parametrize("mode", [["--check"], ["--print-config=zed"], []])
def test_invalid_hosts_are_one_line_and_status_2(mode: list[str]) -> None:
    variables = {"MCP_OLLAMA_HOSTS": '{"all": "x", "b": "ftp://x"}'}
    with Wire([*COMMAND, *mode], forked=True, env=dict(os.environ) | variables) as wire:
        assert wire.rest() == []
        assert wire.wait() == 2
        assert wire.errors.startswith("mcp-ollama-manager: MCP_OLLAMA_HOSTS: the name 'all' is reserved")
        assert "; b: url: An Ollama address begins with" in wire.errors
        assert wire.errors.count("\n") == 1


def test_check_shows_a_block_per_host_and_succeeds_while_one_is_up(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "--hosts-file", str(fleet.file)]) == 0
    shown = capsys.readouterr().out
    first_lines = [block.splitlines()[0] for block in shown.split("\n\n")]
    addresses = fleet.addresses()
    assert first_lines == [
        f"desk: degraded: Ollama at {addresses['desk']}",
        f"gpu: degraded: Ollama at {addresses['gpu']}",
        f"gone: down: Ollama at {addresses['gone']}",
    ]


def test_check_fails_when_all_hosts_are_down(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = json.dumps({"a": nowhere, "b": f"{nowhere}/b"})
    assert main(["--check", "--hosts", hosts]) == 1
    shown = capsys.readouterr().out
    assert shown.count("down: Ollama at") == 2
    assert shown.count("set its url where the hosts are named") == 2
    assert "MCP_OLLAMA_BASE_URL" not in shown


def test_print_config_passes_the_hosts_on_without_secrets(
    fleet: Fleet, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_TOKEN", "s3cret")
    text = fleet.file.read_text(encoding="utf-8").replace("[hosts.gone]", 'token_env = "GPU_TOKEN"\n[hosts.gone]')
    fleet.file.write_text(text, encoding="utf-8")
    monkeypatch.chdir(fleet.file.parent)
    assert main(["--print-config", "cursor", "--hosts-file", "hosts.toml"]) == 0
    shown = capfd.readouterr()
    variables = start_of("json", shown.out).variables
    assert variables["MCP_OLLAMA_HOSTS_FILE"] == str(fleet.file)
    assert "MCP_OLLAMA_BASE_URL" not in variables
    assert "add GPU_TOKEN to its env" in shown.err
    assert "s3cret" not in shown.out + shown.err


def test_print_config_passes_json_on_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = '{"a": "http://a:1", "b": "http://b:1"}'
    assert main(["--print-config", "cursor", "--hosts", hosts]) == 0
    assert start_of("json", capsys.readouterr().out).variables["MCP_OLLAMA_HOSTS"] == hosts


def test_demo_serves_its_own_host_only(running: RunningSimulator) -> None:
    hosts = json.dumps({"a": running.base_url, "b": "b"})
    with Wire([*COMMAND, "--demo", "--hosts", hosts], forked=True) as wire:
        wire.shake_hands()
        answer = wire.ask(call(1, "list_models"))
    assert "qwen3:8b" in json.dumps(answer)
    assert running.simulator.requests == []
