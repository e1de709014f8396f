"""What a newcomer reads and installs is true: the README against the code, and each way in started as written."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import mcp_ollama
from mcp_ollama import tools
from mcp_ollama.cli.host_config import HOSTS, snippet
from mcp_ollama.cli.output import COMMAND
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import RunningSimulator
from scripts.readme import CLIENTS as CLIENTS_PAGE
from scripts.readme import README, ROOT, Start, commands, fences, install_links, links, rows, start_of
from scripts.stamp_version import STAMPED, stamp_version
from tests.conftest import Connect
from tests.support.wire import Wire, call, initialize, notification, request

TEXT = README.read_text(encoding="utf-8")
CLIENTS = CLIENTS_PAGE.read_text(encoding="utf-8")
SERVER = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
MANIFEST = json.loads((ROOT / "bundle" / "manifest.json").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAPERS = [
    *("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md", "CHANGELOG.md"),
    *(
        "docs/architecture.md",
        "docs/agents.md",
        "docs/clients.md",
        "docs/dashboard.md",
        "docs/memory.md",
        "docs/security.md",
    ),
]

UVX = ("uvx", COMMAND)
PATIENT = 30.0
SECRETS = {"MCP_OLLAMA_API_KEY", "MCP_OLLAMA_HEADERS", "MCP_OLLAMA_HTTP_TOKEN", "HF_TOKEN"}
HTTP_ONLY = {"MCP_OLLAMA_HTTP_TOKEN", "MCP_OLLAMA_HTTP_HOSTS"}


def variables() -> dict[str, str]:
    """The variable of every setting, and its default as one writes it."""
    fields = OllamaSettings.model_fields
    defaults = OllamaSettings().model_dump()
    return {
        str(field.validation_alias or f"MCP_OLLAMA_{name.upper()}"): written(defaults[name])
        for name, field in fields.items()
    }


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value else "none"


def first_words(heading: str) -> list[str]:
    return [re.findall(r"`([^`]+)`", row[0])[0] for row in rows(TEXT, heading)]


def host_snippets() -> dict[str, Start]:
    titles = {app.title for app in HOSTS.values()}
    return {fence.under: start_of(fence.language, fence.text) for fence in fences(CLIENTS) if fence.under in titles}


# The registry entry and the bundle


def test_server_json_is_valid_by_the_schema_that_it_names():
    date = re.findall(r"schemas/([0-9-]+)/server", SERVER["$schema"])[0].replace("-", "_")
    schema = files("skillsaw") / "schemas" / "mcp_registry" / f"v{date}" / "server.schema.json"
    jsonschema.validate(SERVER, json.loads(schema.read_text(encoding="utf-8")))


def test_there_is_one_version():
    (package,) = SERVER["packages"]
    newest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert {PROJECT["version"], SERVER["version"], package["version"], MANIFEST["version"], newest} == {
        version(COMMAND)
    }


def test_there_is_one_name():
    (package,) = SERVER["packages"]
    assert {PROJECT["name"], package["identifier"], MANIFEST["name"], *PROJECT["scripts"]} == {COMMAND}
    assert SERVER["repository"]["url"] == PROJECT["urls"]["Homepage"] == MANIFEST["repository"]["url"]
    assert SERVER["description"] == MANIFEST["description"]


def test_the_readme_and_the_image_prove_whose_the_registry_name_is():
    assert f"<!-- mcp-name: {SERVER['name']} -->" in TEXT.splitlines()
    assert f'io.modelcontextprotocol.server.name="{SERVER["name"]}"' in (ROOT / "Dockerfile").read_text(
        encoding="utf-8"
    )


def test_server_json_offers_every_setting_with_its_default_and_marks_the_secrets():
    (package,) = SERVER["packages"]
    offered = {one["name"]: one for one in package["environmentVariables"]}
    expected = {name: default for name, default in variables().items() if name not in HTTP_ONLY}
    assert {name: one.get("default", "none") for name, one in offered.items()} == expected
    assert {name for name, one in offered.items() if one.get("isSecret")} == SECRETS - HTTP_ONLY


def test_the_bundle_asks_for_what_it_passes_on():
    given: dict[str, str] = MANIFEST["server"]["mcp_config"]["env"]
    asked = {name for text in given.values() for name in re.findall(r"\$\{user_config\.(\w+)\}", text)}
    assert asked == MANIFEST["user_config"].keys()
    assert given.keys() <= variables().keys()
    assert given["MCP_OLLAMA_PULL_WAIT"] == str(HOSTS["claude-desktop"].wait_seconds)
    assert MANIFEST["user_config"]["api_key"]["sensitive"] is True
    assert (ROOT / MANIFEST["server"]["entry_point"]).is_file()


# The README's tables


def test_the_readme_lists_every_tool_and_no_other():
    assert sorted(first_words("Tools")) == sorted(tool.name for tool in tools.ALL)


async def test_the_readme_lists_every_resource_and_prompt_and_no_other(connect: Connect):
    async with connect() as host:
        resources = [str(one.uri) for one in (await host.client.list_resources()).resources]
        templates = [one.uri_template for one in (await host.client.list_resource_templates()).resource_templates]
        prompts = [one.name for one in (await host.client.list_prompts()).prompts]
    assert sorted(first_words("Resources")) == sorted(resources + templates)
    assert sorted(first_words("Prompts")) == sorted(prompts)


def test_the_readme_lists_every_setting_with_its_default():
    listed = {re.findall(r"`([^`]+)`", row[0])[0]: row[2].strip("`") for row in rows(TEXT, "Settings")}
    assert listed == variables()


def test_clients_page_says_how_long_each_client_lets_a_pull_wait_and_why():
    said = rows(CLIENTS, "Waiting")
    assert sorted(said) == sorted([app.title, str(app.wait_seconds), app.timeout_note] for app in HOSTS.values())


def test_readme_and_clients_page_name_every_client_of_print_config():
    assert all(app.title in TEXT for app in HOSTS.values())
    assert all(f"`{host}`" in CLIENTS for host in HOSTS)


# A newcomer's path: what the README says, run as it is written


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


def test_each_snippet_and_link_starts_a_server_that_answers_the_first_question(
    running: RunningSimulator, path_of_a_host: str
):
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


def test_the_variables_of_each_snippet_and_link_are_settings_as_they_are_meant(monkeypatch: pytest.MonkeyPatch):
    waits = {app.wait_seconds for app in HOSTS.values()}
    for start in ways_in():
        with monkeypatch.context() as environment:
            for name, value in start.variables.items():
                environment.setenv(name, value)
            settings = OllamaSettings.load()
        assert settings.base_url == "http://127.0.0.1:11434"
        assert settings.pull_wait in waits
        assert start.variables.keys() <= variables().keys()


def test_the_commands_of_the_readme_are_make_targets_or_ways_into_our_command():
    for words in commands(TEXT, "Install"):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE)
        elif words[0] == COMMAND:
            assert words[1:] in (["--check"], ["--print-config", "claude-desktop"])
        else:
            assert words == ["uv", "tool", "install", "."]


# What `make` sets up


def make_environment(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Make the virtual environment of the Makefile in a folder, with a script that stands for Python."""
    (folder / "python").write_text(f"#!/bin/sh\n{python}\n")
    (folder / "python").chmod(0o755)
    return subprocess.run(
        ["make", f"--file={ROOT / 'Makefile'}", f"--directory={folder}", "PYTHON=./python", ".venv/bin/python"],
        # Not those of the make that runs the tests.
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        timeout=PATIENT,
        check=False,
    )


def test_a_python_that_is_too_old_is_told_before_an_environment_is_made_of_it(tmp_path: Path):
    pretending = "import sys; sys.version_info = (3, 10, 9); exec(sys.argv[2])"
    done = make_environment(tmp_path, f'exec "{sys.executable}" -c "{pretending}" "$@"')
    assert done.returncode == 2
    assert done.stderr.startswith(
        "This is Python 3.10, and 3.11 or newer is needed: name one, such as PYTHON=python3.12\n"
    )
    assert not (tmp_path / ".venv").exists()


def test_an_environment_that_was_left_half_made_is_made_anew(tmp_path: Path):
    # As without a network: Python is there, a link to a file that is older, and pip cannot be brought up to date.
    check = f'[ "$2" = venv ] || exec "{sys.executable}" "$@"'
    link = f'{check}; mkdir -p .venv/bin && ln -s "{{}}" .venv/bin/python'
    assert make_environment(tmp_path, link.format(shutil.which("false"))).returncode == 2
    assert not (tmp_path / ".venv" / "bin" / "python").is_symlink()
    assert make_environment(tmp_path, link.format(shutil.which("true"))).returncode == 0


# The tour


def tour(host: str, model: str = "llama3.2:3b", *, forked: bool = False) -> Wire:
    # A job in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = {"DEMO_HOST": host, "DEMO_MODEL": model}
    return Wire([sys.executable, str(ROOT / "examples" / "tour.py")], forked=forked, env=dict(os.environ) | own)


def test_a_tour_that_cannot_go_on_ends_in_one_line(running: RunningSimulator, nowhere: str):
    running.simulator.install("llama3.2:3b")
    ended = {
        nowhere: f"Nothing answers at {nowhere}. ",
        "ftp://x": "mcp-ollama-manager: MCP_OLLAMA_BASE_URL: An Ollama address begins with http:// or https://, ",
        running.base_url: "llama3.2:3b is installed already: ",
    }
    with ExitStack() as tours:
        started = {host: tours.enter_context(tour(host, forked=True)) for host in ended}
        for host, wire in started.items():
            assert wire.wait() == 1
            assert wire.errors.startswith(ended[host])
            assert wire.errors.count("\n") == 1


def test_a_tour_that_is_interrupted_ends_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as silent, tour(f"http://127.0.0.1:{silent.getsockname()[1]}") as wire:
        silent.settimeout(PATIENT)
        with silent.accept()[0]:
            wire.signal(signal.SIGINT)
            assert wire.wait() == 130
        assert wire.errors == "Interrupted: the part of llama3.2:3b that was downloaded is kept.\n"


def test_the_image_starts_our_command():
    entry = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert [Path(word).name for word in json.loads(entry)] == [COMMAND]


def test_the_python_of_the_readme_is_python_and_imports_what_there_is():
    agents = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    for fence in (*fences(TEXT), *fences(agents)):
        if fence.language == "python":
            tree = ast.parse(fence.text)
            compile(tree, fence.under, "exec")
            ours = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module == "mcp_ollama"]
            assert {name.name for one in ours for name in one.names} <= set(mcp_ollama.__all__)


# The other papers


@pytest.mark.parametrize("paper", PAPERS)
def test_links_lead_somewhere(paper: str):
    text = (ROOT / paper).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in text.splitlines()}
    for link in links(text):
        target, _, anchor = link.partition("#")
        if "//" in target:
            assert target.startswith("https://")
        elif target:
            assert (ROOT / paper).parent.joinpath(target).exists(), link
        else:
            assert anchor in headings, link


@pytest.mark.parametrize("paper", PAPERS)
def test_every_make_target_that_is_named_exists(paper: str):
    named = set(re.findall(r"`(?:\w+=\S+ )?make ([a-z-]+)", (ROOT / paper).read_text(encoding="utf-8")))
    assert {name for name in named if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)} == set()


@pytest.mark.parametrize(("paper", "most"), [("README.md", 250), ("AGENTS.md", 40), ("docs/architecture.md", 80)])
def test_papers_are_short(paper: str, most: int):
    assert len((ROOT / paper).read_text(encoding="utf-8").splitlines()) <= most


def test_the_architecture_page_names_every_module_of_the_package():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "mcp_ollama"
    modules = {path.name for path in package.rglob("*.py") if "simulator" not in path.parts}
    assert {name for name in modules - {"__init__.py"} if name.removesuffix(".py") not in text} == set()


def test_the_picture_is_small_and_shows_the_tour_as_it_is():
    picture = ROOT / "docs" / "tour.svg"
    drawn = {text.text for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")}
    model = "llama3.2:1b"
    assert {"list_models", f"pull_model {model}", f"show_model {model}", f"delete_model {model}"} <= drawn
    assert picture.stat().st_size < 30_000


def workflows() -> list[list[dict[str, Any]]]:
    """The steps of each workflow."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    return [[step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]] for text in texts]


def test_the_workflows_do_what_the_make_targets_do():
    for steps in workflows():
        targets = [word for step in steps for word in re.findall(r"make ([a-z-]+)", step.get("run", ""))]
        assert targets
        assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_workflow_actions_are_pinned_by_commit_with_their_version():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    used = [line.split("uses: ")[1] for text in texts for line in text.splitlines() if "uses: " in line]
    official = [action for action in used if action.startswith("actions/")]
    assert official
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in official)
    assert set(used) - set(official) == {"pypa/gh-action-pypi-publish@release/v1"}


def test_workflows_start_with_no_permissions():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}
        assert all("permissions" in job for job in workflow["jobs"].values())


def test_constraints_pin_every_requirement_and_name_no_address():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.+]*", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    assert {re.split(r"[<>=]", one)[0].strip() for one in PROJECT["dependencies"]} <= pinned


def test_stamp_version_is_a_no_op_on_what_is_committed():
    for name in STAMPED:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert stamp_version(text, PROJECT["version"]) == text
        assert '"version": "9.9.9"' in stamp_version(text, "9.9.9")
