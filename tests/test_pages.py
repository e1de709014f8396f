"""The Markdown pages: their links, the make targets that they name, and their length."""

import re

import pytest

from scripts.readme import ROOT, links

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
