"""The page of clients: each snippet and each link starts a server as written."""

import json
import stat
import sys
from pathlib import Path

import pytest

from mcp_ollama.cli.host_config import HOSTS, snippet
from mcp_ollama.cli.output import COMMAND
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import RunningSimulator
from scripts.readme import CLIENTS as CLIENTS_PAGE
from scripts.readme import README, Start, fences, install_links, rows, start_of
from tests.support.settings import variables
from tests.support.wire import Wire, call, initialize, notification, request

TEXT = README.read_text(encoding="utf-8")
CLIENTS = CLIENTS_PAGE.read_text(encoding="utf-8")
UVX = ("uvx", COMMAND)
PATIENT = 30.0


def host_snippets() -> dict[str, Start]:
    titles = {app.title for app in HOSTS.values()}
    return {fence.under: start_of(fence.language, fence.text) for fence in fences(CLIENTS) if fence.under in titles}


def test_clients_page_says_how_long_each_client_lets_a_pull_wait_and_why():
    said = rows(CLIENTS, "Waiting")
    assert sorted(said) == sorted([app.title, str(app.wait_seconds), app.timeout_note] for app in HOSTS.values())


def test_readme_and_clients_page_name_every_client_of_print_config():
    assert all(app.title in TEXT for app in HOSTS.values())
    assert all(f"`{host}`" in CLIENTS for host in HOSTS)


def test_readme_snippets_are_those_of_the_clients_page():
    titles = {app.title for app in HOSTS.values()}
    shown = {fence.text for fence in fences(TEXT) if fence.under in titles and "make " not in fence.text}
    assert len(shown) == 2
    assert shown <= {fence.text for fence in fences(CLIENTS)}


def test_clients_page_snippets_are_what_print_config_prints():
    settings = OllamaSettings(base_url="http://127.0.0.1:11434")
    expected = {
        app.title: start_of(fence.language, snippet(host, settings, UVX))
        for host, app in HOSTS.items()
        for fence in fences(CLIENTS)
        if fence.under == app.title
    }
    assert host_snippets() == expected
    assert len(expected) == len(HOSTS)


def test_each_json_snippet_has_the_form_that_its_host_reads():
    settings = OllamaSettings(base_url="http://127.0.0.1:11434")
    shown = {fence.under: json.loads(fence.text) for fence in fences(CLIENTS) if fence.language == "json"}
    for host, app in HOSTS.items():
        if app.title in shown:
            assert shown[app.title] == json.loads(snippet(host, settings, UVX))


def test_each_one_click_link_installs_what_the_snippet_of_its_host_does():
    hosts = {"insiders.vscode.dev": "VS Code", "cursor.com": "Cursor", "lmstudio.ai": "LM Studio"}
    snippets = host_snippets()
    installs = {hosts[link.split("/")[2]]: start for link, start in install_links(CLIENTS).items()}
    assert installs == {title: snippets[title] for title in hosts.values()}


@pytest.fixture
def path_of_a_host(tmp_path: Path) -> str:
    """A PATH on which there is nothing but a `uvx` that knows our command."""
    uvx = tmp_path / "bin" / "uvx"
    uvx.parent.mkdir()
    uvx.write_text(f'#!/bin/sh\n[ "$1" = {COMMAND} ] || exit 64\nshift\nexec "{sys.executable}" -m mcp_ollama "$@"\n')
    uvx.chmod(uvx.stat().st_mode | stat.S_IXUSR)
    return str(uvx.parent)


def ways_in() -> list[Start]:
    return [*host_snippets().values(), *install_links(CLIENTS).values()]


def test_each_snippet_and_link_starts_a_server_that_answers(running: RunningSimulator, path_of_a_host: str):
    running.simulator.install("llama3.2:3b", capabilities=("completion",))
    # They differ in their variables alone, which the next test reads; `make dist-check` starts them all.
    (command,) = {start.command for start in ways_in()}
    # The variables of a host, and no others; the address stands for an Ollama on this machine.
    given = {**ways_in()[0].variables, "MCP_OLLAMA_BASE_URL": running.base_url, "PATH": path_of_a_host}
    with Wire([f"{path_of_a_host}/{command[0]}", *command[1:]], env=given) as wire:
        wire.ask(initialize(), timeout=PATIENT)
        wire.send(
            notification("notifications/initialized"), request("tools", "tools/list"), call("models", "list_models")
        )
        listed, models = wire.answers("tools", "models", timeout=PATIENT)
    assert {"pull_model", "health"} <= {tool["name"] for tool in listed["result"]["tools"]}
    assert [one["name"] for one in models["result"]["structuredContent"]["models"]] == ["llama3.2:3b"]


def test_variables_of_each_snippet_and_link_are_valid_settings(monkeypatch: pytest.MonkeyPatch):
    waits = {app.wait_seconds for app in HOSTS.values()}
    for start in ways_in():
        with monkeypatch.context() as environment:
            for name, value in start.variables.items():
                environment.setenv(name, value)
            settings = OllamaSettings.load()
        assert settings.base_url == "http://127.0.0.1:11434"
        assert settings.pull_wait in waits
        assert start.variables.keys() <= variables().keys()
