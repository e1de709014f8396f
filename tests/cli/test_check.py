"""`--check`: the report, its exit status, and the next step."""

import re
import signal
import socket
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from mcp_ollama.cli.host_config import HOSTS
from mcp_ollama.cli.main import main
from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.support.wire import Wire

COMMAND = [sys.executable, "-m", "mcp_ollama"]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def ollama() -> Iterator[RunningSimulator]:
    with serve(Simulator()) as running:
        yield running


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_check_of_nothing_says_how_to_start_ollama(capsys: pytest.CaptureFixture[str]):
    assert main(["--check", "--base-url", NOWHERE]) == 1
    shown = capsys.readouterr().out
    assert f"down: Ollama at {NOWHERE}" in shown
    assert "x reachable: " in shown
    assert "ollama serve" in shown


def test_check_without_an_ollama_command_says_to_install_it(empty_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--check", "--base-url", NOWHERE]) == 1
    assert last_line(capsys).startswith("No `ollama` command is on this machine's PATH. Install Ollama")


def test_check_with_an_ollama_command_says_to_fix_the_checks(empty_path: Path, capsys: pytest.CaptureFixture[str]):
    (empty_path / "ollama").write_text("#!/bin/sh\n")
    (empty_path / "ollama").chmod(0o755)
    assert main(["--check", "--base-url", NOWHERE]) == 1
    assert last_line(capsys).startswith("Fix the checks marked x")


def test_check_of_another_machine_never_says_to_install_it(empty_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--check", "--base-url", "http://ollama.invalid:9"]) == 1
    assert last_line(capsys).startswith("Fix the checks marked x")


@pytest.mark.parametrize("path", ["", "/foo"])
def test_check_of_something_else_never_says_to_install_ollama(
    path: str, empty_path: Path, capsys: pytest.CaptureFixture[str]
):
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        assert main(["--check", "--base-url", f"http://127.0.0.1:{other.server_port}{path}"]) == 1
        other.shutdown()
    assert last_line(capsys).startswith("Fix the checks marked x")


def test_check_succeeds_for_a_server_without_models(ollama: RunningSimulator, capsys: pytest.CaptureFixture[str]):
    assert main(["--check", "--base-url", ollama.base_url]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"degraded: Ollama at {ollama.base_url}\n")
    assert "ask it to pull a first model" in shown.splitlines()[-1]


def test_check_of_a_healthy_server_names_every_client(ollama: RunningSimulator, capsys: pytest.CaptureFixture[str]):
    ollama.simulator.install("llama3.2:3b", capabilities=("completion", "tools"))
    assert main(["--check", "--base-url", f"{ollama.base_url}/v1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"ok: Ollama at {ollama.base_url}\n")
    assert re.search(r"It answers in [1-9]\d* ms\.\n", shown)
    assert all(host in shown.splitlines()[-1] for host in HOSTS)


def test_check_that_is_interrupted_prints_nothing_more():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        with Wire([*COMMAND, "--check", "--base-url", f"127.0.0.1:{silent.getsockname()[1]}"]) as wire:
            with silent.accept()[0]:
                wire.signal(signal.SIGINT)
                assert wire.wait() == 130
            assert wire.rest() == []
            assert wire.errors == ""
