"""Pages of the package that a newcomer on a fresh machine needs."""

import re
import tomllib
from pathlib import Path

import pytest

from mcp_ollama.agents.provider import INSTALL

ROOT = Path(__file__).parents[1]
README, CLIENTS = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/clients.md"))

EXAMPLES = tuple((ROOT / "examples").glob("*.py"))


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("page", "said"), [(README, "until then `uvx` does not find it"), (CLIENTS, "only once it is")]
)
def test_page_says_before_its_snippets_that_uvx_finds_nothing_yet(page: str, said: str):
    before = words(page.partition("uvx mcp-ollama-manager\n```")[0])
    assert said in before
    assert "uv tool install ." in before
    assert "--print-config" in before


def test_link_to_install_stands_below_the_word_published():
    assert "once the package is published:" in CLIENTS.partition("[![VS Code]")[0].splitlines()[-2]


def test_hint_of_the_extra_installs_what_the_extra_does():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = project["optional-dependencies"]["pydantic-ai"]
    assert f"pip install '{requirement}'" == INSTALL


def test_commands_that_install_the_extra_work_in_a_checkout():
    pages = [README, *(path.read_text(encoding="utf-8") for path in (*(ROOT / "docs").glob("*.md"), *EXAMPLES))]
    commands = [found for page in pages for found in re.findall(r"(?:pip|uv pip) install (\S+)", page)]
    assert commands
    assert {command.strip("'\"") for command in commands} <= {".[pydantic-ai]"}


def test_readme_says_where_the_command_lies_and_how_long_tests_take():
    assert re.search(r"~/\.local/bin; `uv tool update-shell` adds that to PATH", README)
    (minutes,) = re.findall(r"make test +# the tests (\(\d to \d minutes on two cores\))", README)
    assert f"## Run the tests {minutes}" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_readme_leads_to_the_snippets_of_every_way_in():
    (paragraph,) = (one for one in README.split("\n\n") if "see\n[docs/clients.md]" in one)
    assert "OpenCode" in paragraph
    assert "`--http`" in paragraph


def test_clients_page_has_a_snippet_for_http_and_the_openai_agents_sdk():
    assert '"url": "http://127.0.0.1:8000/mcp"' in CLIENTS.partition("## Streamable HTTP")[2]
    assert "after 5 s by default" in words(CLIENTS)
    assert "client_session_timeout_seconds=300" in CLIENTS
