"""The installed package, and the cost of importing it."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import mcp_ollama
from scripts.readme import README, links

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project() -> dict[str, Any]:
    """The project's own description."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_projects(project: dict[str, Any]) -> None:
    assert mcp_ollama.__version__ == project["version"] == distribution("mcp-ollama-manager").version


def test_a_command_has_the_name_of_the_project(project: dict[str, Any]) -> None:
    (command,) = distribution("mcp-ollama-manager").entry_points.select(group="console_scripts")
    assert project["scripts"] == {command.name: command.value}
    assert command.name == project["name"] == "mcp-ollama-manager"
    assert callable(command.load())


def test_page_on_pypi_has_no_relative_links() -> None:
    page = README.read_text(encoding="utf-8")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    for rule in tool["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(rule["pattern"], rule["replacement"], page)
    assert [link for link in links(page) if not link.startswith(("https://", "#"))] == []


def test_package_has_the_marker_for_type_checkers() -> None:
    assert (files("mcp_ollama") / "py.typed").is_file()


def test_all_public_names_are_there_and_in_order() -> None:
    assert mcp_ollama.__all__ == sorted(mcp_ollama.__all__)
    assert len(set(mcp_ollama.__all__)) == len(mcp_ollama.__all__)
    assert dir(mcp_ollama) == mcp_ollama.__all__
    for name in mcp_ollama.__all__:
        assert getattr(mcp_ollama, name) is not None
    assert {"ModelError", "OllamaClient", "OllamaSettings", "build_server"} <= set(mcp_ollama.__all__)


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="module 'mcp_ollama' has no attribute 'OllamaClint'"):
        getattr(mcp_ollama, "OllamaClint")  # noqa: B009


def test_constraints_pin_every_requirement_and_name_no_address(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.+]*", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    assert {re.split(r"[<>=]", one)[0].strip() for one in project["dependencies"]} <= pinned


HEAVY = ("mcp", "mcp_types", "pydantic_ai", "openai", "fastmcp", "httpx", "starlette", "uvicorn")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import mcp_ollama", ()),
        ("from mcp_ollama import OllamaClient", ()),
        ("import mcp_ollama.cli.main", ()),
        ("from mcp_ollama import build_server; build_server()", ("mcp", "mcp_types", "httpx", "starlette", "uvicorn")),
    ],
)
def test_an_import_costs_only_what_it_needs(statement: str, allowed: tuple[str, ...]) -> None:
    unwanted = sorted(set(HEAVY) - set(allowed))
    program = f"import sys; {statement}; print(*(name for name in {unwanted} if name in sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert ended.stdout.split() == []


def test_check_of_a_server_imports_no_mcp_sdk() -> None:
    program = (
        "import sys; from mcp_ollama.cli.main import main; main(['--check', '--base-url', 'http://127.0.0.1:9']); "
        "sys.exit(' '.join({'mcp', 'mcp_types', 'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert ended.stdout.startswith("down: ")
    assert ended.stderr.strip() == ""
