"""The release runs only what was looked at, and the package imports only what it declares."""

import ast
import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
OPTIONAL = {"openai", "pydantic_ai"}
"""Packages of the extra, imported inside functions."""


def jobs() -> list[dict[str, Any]]:
    workflows = (ROOT / ".github" / "workflows").glob("*.yml")
    return [job for path in workflows for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()]


def test_download_of_a_workflow_is_checked_before_it_is_used():
    steps = [step["run"] for job in jobs() for step in job["steps"] if "curl " in step.get("run", "")]
    assert steps
    for commands in steps:
        (output,) = re.findall(r"--output (\S+)", commands)
        rest = commands.partition("curl ")[2]
        checked = rest.index(f'{output}" | sha256sum --check --strict')
        assert "tar --extract" not in rest[:checked]


def imported() -> set[str]:
    """Return the top-level names of all packages that the package imports."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "mcp_ollama").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def installed_with(package: str, found: set[str] | None = None) -> set[str]:
    """Return a package and all that it requires without an extra, under the names of their modules."""
    found = set() if found is None else found
    if package not in found:
        found.add(package)
        with suppress(PackageNotFoundError):
            for one in requires(package) or []:
                if "extra ==" not in one:
                    installed_with(re.split(r"[\[<>=!~; ]", one)[0].lower().replace("-", "_"), found)
    return found


def test_each_imported_package_is_installed_with_the_requirements():
    installed = installed_with("mcp_ollama_manager") | OPTIONAL | {"mcp_ollama"}
    assert imported() - installed <= sys.stdlib_module_names
