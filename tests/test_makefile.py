"""The Makefile and the workflows: the environment that make sets up, and the targets that workflows run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.readme import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PATIENT = 30.0
MAKE = shutil.which("make") or "make"
NO_BROWSER = "Browser not found: name a Chromium with BROWSER=path, or run as root on Debian.\n"


def make(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the Makefile in a folder, with more variables of the environment."""
    # Not those of the make that runs the tests.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [MAKE, f"--file={ROOT / 'Makefile'}", f"--directory={folder}", *words],
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=PATIENT,
        check=False,
    )


def script(path: Path, text: str) -> None:
    """Write a shell script that stands for a program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def make_environment(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Make the virtual environment of the Makefile in a folder, with a script that stands for Python."""
    script(folder / "python", python)
    return make(folder, "PYTHON=./python", ".venv/bin/python")


def test_python_that_is_too_old_is_refused_before_an_environment_is_made(tmp_path: Path):
    pretending = "import sys; sys.version_info = (3, 10, 9); exec(sys.argv[2])"
    done = make_environment(tmp_path, f'exec "{sys.executable}" -c "{pretending}" "$@"')
    assert done.returncode == 2
    assert done.stderr.startswith(
        "This is Python 3.10, and 3.11 or newer is needed: name one, such as PYTHON=python3.12\n"
    )
    assert not (tmp_path / ".venv").exists()


def test_environment_that_was_left_half_made_is_made_again(tmp_path: Path):
    # As without a network: Python is there, a link to a file that is older, and pip cannot be brought up to date.
    check = f'[ "$2" = venv ] || exec "{sys.executable}" "$@"'
    link = f'{check}; mkdir -p .venv/bin && ln -s "{{}}" .venv/bin/python'
    assert make_environment(tmp_path, link.format(shutil.which("false"))).returncode == 2
    assert not (tmp_path / ".venv" / "bin" / "python").is_symlink()
    assert make_environment(tmp_path, link.format(shutil.which("true"))).returncode == 0


@pytest.mark.parametrize(("user", "installer"), [("1000", "apt-get"), ("0", "dnf")])
def test_browser_that_cannot_be_installed_is_refused_first(tmp_path: Path, user: str, installer: str):
    script(tmp_path / "id", f"echo {user}")
    script(tmp_path / installer, "touch installed")
    missing = str(tmp_path / "chromium")
    done = make(tmp_path, f"DEBIAN_BROWSER={missing}", f"BROWSER={missing}", "browser-test", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(NO_BROWSER)
    assert {path.name for path in tmp_path.iterdir()} == {"id", installer}


def test_browser_that_is_named_and_missing_is_never_installed(tmp_path: Path):
    script(tmp_path / "id", "echo 0")
    script(tmp_path / "apt-get", "touch installed")
    done = make(tmp_path, "browser-test", BROWSER=str(tmp_path / "google-chrome"), PATH=str(tmp_path))
    assert done.stderr.startswith(NO_BROWSER)
    assert {path.name for path in tmp_path.iterdir()} == {"id", "apt-get"}


def test_browser_of_the_desktop_is_not_the_one_of_the_tests(tmp_path: Path):
    (tmp_path / "chromium").touch()
    words = (f"DEBIAN_BROWSER={tmp_path / 'chromium'}", "--dry-run", "browser-test")
    assert "Browser not found" not in make(ROOT, *words, BROWSER="firefox").stdout
    assert "Browser not found" in make(ROOT, *words, BROWSER="google-chrome").stdout
    assert "Browser not found" in make(ROOT, *words, "BROWSER=firefox").stdout


def test_browser_that_is_missing_is_installed_as_root(tmp_path: Path):
    browser = tmp_path / "chromium"
    script(tmp_path / "id", "echo 0")
    script(tmp_path / "apt-get", f'[ "$1" = update ] || : > "{browser}"')
    assert make(tmp_path, f"DEBIAN_BROWSER={browser}", str(browser), PATH=str(tmp_path)).returncode == 0
    assert browser.exists()


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
    assert used
    assert [one for one in used if not re.fullmatch(r"[a-z]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


def test_workflows_start_with_no_permissions():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}
        assert all("permissions" in job for job in workflow["jobs"].values())


def test_sdist_holds_each_file_that_the_makefile_names():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    # The build adds the project's own file.
    included = {name.removeprefix("/") for name in build["targets"]["sdist"]["include"]} | {"pyproject.toml"}
    files = {path.name for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert {name for name in files if re.search(rf"(?<![\w/]){re.escape(name)}\b", MAKEFILE)} <= included


def test_workflow_of_the_checks_measures_coverage_as_contributing_says():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^(make check \S+) +# .* as in CI", contributing, re.MULTILINE)
    assert any(step.get("run") == command for steps in workflows() for step in steps)
