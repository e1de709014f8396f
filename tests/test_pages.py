"""The Markdown pages: their links, the make targets that they name, and their length."""

import re
from pathlib import Path

import pytest

from scripts.readme import ROOT, links

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAPERS = [
    *("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md", "CHANGELOG.md"),
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
PACKAGE = ROOT / "mcp_ollama"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("paper", PAPERS)
def test_links_lead_somewhere(paper: str):
    for link in links((ROOT / paper).read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if "//" in target:
            assert target.startswith("https://")
            continue
        page = (ROOT / paper).parent / target if target else ROOT / paper
        assert page.exists(), link
        assert not anchor or anchor in anchors(page), link


@pytest.mark.parametrize("paper", PAPERS)
def test_every_make_target_that_is_named_exists(paper: str):
    named = set(re.findall(r"`(?:\w+=\S+ )?make ([a-z-]+)", (ROOT / paper).read_text(encoding="utf-8")))
    assert {name for name in named if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)} == set()


@pytest.mark.parametrize(("paper", "most"), [("README.md", 250), ("AGENTS.md", 40), ("docs/architecture.md", 80)])
def test_papers_are_short(paper: str, most: int):
    assert len((ROOT / paper).read_text(encoding="utf-8").splitlines()) <= most


def named_modules() -> dict[str, set[str]]:
    """Return the modules that the block of docs/architecture.md names, by their folder below the package."""
    folders: list[str] = []
    named: dict[str, set[str]] = {}
    block = ARCHITECTURE.partition("mcp_ollama/\n")[2].partition("```")[0]
    for line in block.splitlines():
        if start := re.match(r"(?P<indent> {2,4})(?P<folder>[a-z]+)(?:/ |$)", line):
            is_folder = start[0].endswith("/ ")
            folders = [*folders[: len(start["indent"]) // 2 - 1], *([start["folder"]] if is_folder else [])]
            line = line[start.end() :] if is_folder else line
        # What stands in brackets, or is a sentence, names no module.
        named.setdefault("/".join(folders), set()).update(re.findall(r"(?:^|[,:] ?) *(\w+)(?=,| \(|$)", line))
    return named


def test_architecture_page_names_each_module_where_it_is_and_no_other():
    named = named_modules()
    folders = [
        path.parent for path in PACKAGE.rglob("__init__.py") if path.parent not in (PACKAGE, PACKAGE / "simulator")
    ]
    actual = {str(folder.relative_to(PACKAGE)): {path.stem for path in folder.glob("*.py")} for folder in folders}
    assert {name: named[name] for name in actual} == {name: found - {"__init__"} for name, found in actual.items()}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_module_and_data_file_that_is_named_exists(paper: str):
    text = (ROOT / paper).read_text(encoding="utf-8")
    files = {str(path.relative_to(ROOT)) for top in ("mcp_ollama", "tests") for path in (ROOT / top).rglob("*.*")}
    named = set(re.findall(r"`([\w/]+\.(?:py|jsonl))`", text))
    assert {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()
