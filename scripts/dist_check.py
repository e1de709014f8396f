"""Tries what is shipped as a newcomer would: `make dist-check`, after `make bundle`.

The wheel in an empty environment of every Python that this machine has, the README's commands and links, the bundle;
each is started as its host would start it, with no more variables than that, and has to answer a tool call.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.readme import CLIENTS, README, ROOT, Start, commands, fences, install_links, links, start_of

NAME = "mcp-ollama-manager"
DIST = ROOT / "dist"
OLDEST = (3, 11)
HOST_BLOCKS = {"json", "toml", "sh"}
FILES_IN_SDIST = {
    *("mcp_ollama", "tests", "examples", "scripts", "bench", "bundle", "docs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md", "LICENSE", "constraints.txt"),
    *("pyproject.toml", "server.json", "Makefile", "Dockerfile", ".dockerignore", ".gitignore", "PKG-INFO"),
}


def main() -> None:
    """Run all checks up to the first that fails."""
    uv = shutil.which("uv", path=sysconfig.get_path("scripts")) or sys.exit(
        "uv is missing: make dist-check installs it"
    )
    shutil.rmtree(DIST / "built", ignore_errors=True)
    run(uv, "build", "--quiet", "--out-dir", str(DIST / "built"), str(ROOT))
    (wheel,) = (DIST / "built").glob("*.whl")
    (sdist,) = (DIST / "built").glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist))
    done("twine", "wheel and sdist are fit to be published")
    check_contents(wheel, sdist)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for python in pythons():
            check_environment(uv, python, wheel, place)
        bin_folder = stand_in_for_uvx(uv, wheel, place)
        check_readme(bin_folder)
        check_bundle(uv, place)
        check_newcomer(uv, sdist, place)
    done("dist-check", "all is well")


def check_contents(wheel: Path, sdist: Path) -> None:
    """Check that the wheel holds the package and its documents, the sdist all that a developer needs, and no more."""
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mcp_ollama").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        page = archive.read(metadata).decode()
    expect(names == package, f"the wheel differs from mcp_ollama/: {sorted(names ^ package)}")
    astray = [link for link in links(page) if not link.startswith(("https://", "#"))]
    expect("mcp-name: io.github." in page and not astray, f"the page on PyPI has links that lead nowhere: {astray}")
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
        junk = [name for name in archive.getnames() if re.search(r"__pycache__|\.pyc$|/\.venv/|/node_modules/", name)]
    expect(tops == FILES_IN_SDIST, f"the sdist has more or less than it should: {sorted(tops ^ FILES_IN_SDIST)}")
    expect(not junk, f"the sdist holds {junk[:5]}")
    done(
        "contents",
        f"wheel {wheel.stat().st_size // 1000} kB, {len(names)} files; sdist {sdist.stat().st_size // 1000} kB",
    )


def check_environment(uv: str, python: Path, wheel: Path, place: Path) -> None:
    """Install the wheel into an empty environment of one Python, read its version, serve the demo, call a tool."""
    environment = place / f"env-{python.name}-{abs(hash(python))}"
    run(uv, "venv", "--quiet", "--no-python-downloads", "--python", str(python), str(environment))
    run(uv, "pip", "install", "--quiet", "--python", str(environment), str(wheel))
    command = str(environment / ("Scripts" if os.name == "nt" else "bin") / NAME)
    version = run(command, "--version").strip()
    expect(re.fullmatch(rf"{NAME} \d+\.\d+\.\d+", version) is not None, f"--version says {version!r}")
    answer = first_call(Start((command, "--demo"), {}))
    models = [model["name"] for model in answer["models"]]
    expect("llama3.2:3b" in models, f"the demo lists {models}")
    release = run(str(python), "-c", "import platform; print(platform.python_version())").strip()
    done(f"Python {release}", f"{version}; --demo lists {len(models)} models")


def check_readme(bin_folder: Path) -> None:
    """Check that every snippet and link of the clients page starts the wheel and answers without Ollama."""
    text = CLIENTS.read_text(encoding="utf-8")
    starts = {f"link {link[:40]}…": start for link, start in install_links(text).items()}
    for fence in fences(text):
        if fence.language in HOST_BLOCKS and NAME in fence.text and ("command" in fence.text or " -- " in fence.text):
            starts[fence.under] = start_of(fence.language, fence.text)
    expect(len(starts) >= 12, f"only {len(starts)} ways in were found in docs/clients.md")
    for under, start in starts.items():
        expect(start.command == ("uvx", NAME), f"{under}: starts {start.command}")
        answer = first_call(start, path=bin_folder)
        expect(answer["status"] in {"ok", "degraded", "down"}, f"{under}: {answer}")
        done("clients", f"{under}: uvx --from WHEEL {NAME}, health says {answer['status']}")


def check_bundle(uv: str, place: Path) -> None:
    """Unpack the bundle and run its command with the defaults that the dialogue shows."""
    unpacked = place / "bundle"
    shutil.unpack_archive(DIST / f"{NAME}.mcpb", unpacked, "zip")
    manifest = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    values = {f"user_config.{key}": str(one["default"]) for key, one in manifest["user_config"].items()}
    values["__dirname"] = str(unpacked)
    config = manifest["server"]["mcp_config"]

    def filled(word: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: values[found[1]], word)

    words = tuple(filled(word) for word in (config["command"], *config["args"]))
    answer = first_call(
        Start(words, {name: filled(value) for name, value in config["env"].items()}), path=Path(uv).parent
    )
    done("bundle", f"{' '.join(config['args'])}: health says {answer['status']} at {answer['base_url']}")


def check_newcomer(uv: str, sdist: Path, place: Path) -> None:
    """Run the README's own commands as they are written, in the unpacked sources and with an empty home."""
    shutil.unpack_archive(sdist, place / "sources")
    (sources,) = (place / "sources").iterdir()
    home, text = place / "home", README.read_text(encoding="utf-8")
    home.mkdir()
    variables = {"HOME": str(home), "UV_TOOL_BIN_DIR": str(home / "bin"), "UV_TOOL_DIR": str(home / "tools")}
    path = os.pathsep.join((str(home / "bin"), str(Path(uv).parent), os.environ["PATH"]))
    for words in commands(text, "Install"):
        if words == ["make", "test"]:
            continue  # minutes, and part of `make check` on every fresh clone
        # There may be no Ollama here: then --check says so, and that is its job.
        allowed = (0, 1) if "--check" in words else (0,)
        said = run(*words, cwd=sources, variables=variables | {"PATH": path}, allowed=allowed)
        if "--print-config" in words:
            start = start_of("json", said)
            expect(Path(start.command[0]).is_absolute(), f"--print-config names {start.command}")
            first_call(start)
        done("newcomer", " ".join(words))


def stand_in_for_uvx(uv: str, wheel: Path, place: Path) -> Path:
    """Write a `uvx` that takes the package from the wheel, since it may not be published yet."""
    folder = place / "uvx"
    folder.mkdir()
    script = folder / "uvx"
    script.write_text(f'#!/bin/sh\nexec "{uv}" tool run --from "{wheel}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return folder


def first_call(start: Start, path: Path | None = None) -> dict[str, Any]:
    """Start a server as a host does, shake hands, call its first tool, and return the result."""
    tool = "list_models" if "--demo" in start.command else "health"
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "dist-check", "version": "1"}}
    frames: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": {}}},
    ]
    text = "".join(json.dumps(frame) + "\n" for frame in frames)
    search = os.environ["PATH"] if path is None else f"{path}{os.pathsep}{os.environ['PATH']}"
    said = run(*start.command, variables={"PATH": search, **start.variables}, given=text)
    answers = {frame.get("id"): frame for frame in map(json.loads, said.splitlines())}
    expect(answers.keys() >= {1, 2}, f"{start.command} did not answer: {said[:500]}")
    result: dict[str, Any] = answers[2]["result"]["structuredContent"]
    return result


def pythons() -> list[Path]:
    """Find one interpreter of each release from 3.11 on: on the PATH, and where pyenv and uv keep theirs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    kept = [*pyenv.glob("versions/*/bin"), *Path.home().glob(".local/share/uv/python/*/bin")]
    found: dict[tuple[int, int], Path] = {}
    for folder in [Path(sys.executable).resolve().parent, *kept, *folders]:
        for python in sorted(folder.glob("python3.*")):
            if re.fullmatch(r"python3\.\d+", python.name) and (release := release_of(python)) and release >= OLDEST:
                found.setdefault(release, python)
    return [found[release] for release in sorted(found)]


def release_of(python: Path) -> tuple[int, int] | None:
    """Return the release of an interpreter; None when it cannot be run."""
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        return None
    major, minor = asked.stdout.split()
    return int(major), int(minor)


def run(
    *words: str,
    cwd: Path = ROOT,
    variables: Mapping[str, str] | None = None,
    given: str = "",
    allowed: Sequence[int] = (0,),
) -> str:
    """Run a command without the settings of this shell, and return its output; a failure ends the check."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_OLLAMA_", "OLLAMA_"))}
    kept.pop("VIRTUAL_ENV", None)
    environment = kept | dict(variables or {})
    program = shutil.which(words[0], path=environment["PATH"]) or sys.exit(f"there is no {words[0]}")
    finished = subprocess.run(
        [program, *words[1:]],
        cwd=cwd,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    expect(
        finished.returncode in allowed,
        f"{' '.join(words)}\nended with {finished.returncode}\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}",
    )
    return finished.stdout


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    """End the check with a sentence unless something holds."""
    if not holds:
        sys.exit(f"dist-check: {otherwise}")


def done(what: str, how: str) -> None:
    """Print a check that passed."""
    print(f"{what}: {how}", flush=True)


if __name__ == "__main__":
    main()
