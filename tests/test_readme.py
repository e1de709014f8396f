"""The README and the pages beside it against the code: their tables, commands and Python."""

import ast
import re

import mcp_ollama
from mcp_ollama import tools
from mcp_ollama.cli.output import COMMAND
from scripts.readme import README, ROOT, commands, fences, rows
from tests.conftest import Connect
from tests.support.settings import variables

TEXT = README.read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def first_words(heading: str) -> list[str]:
    return [re.findall(r"`([^`]+)`", row[0])[0] for row in rows(TEXT, heading)]


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


def test_commands_of_the_readme_are_make_targets_or_our_command():
    for words in commands(TEXT, "Install"):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE)
        elif words[0] == COMMAND:
            assert words[1:] in (["--check"], ["--print-config", "claude-desktop"])
        else:
            assert words == ["uv", "tool", "install", "."]


def test_the_python_of_the_readme_is_python_and_imports_what_there_is():
    agents = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    for fence in (*fences(TEXT), *fences(agents)):
        if fence.language == "python":
            tree = ast.parse(fence.text)
            compile(tree, fence.under, "exec")
            ours = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module == "mcp_ollama"]
            assert {name.name for one in ours for name in one.names} <= set(mcp_ollama.__all__)


def test_page_of_several_servers_names_the_tools_that_answer_for_all_hosts():
    page = (ROOT / "docs" / "several-servers.md").read_text(encoding="utf-8")
    (lists,) = (row[0] for row in rows(page, "`host` in the tools") if row[0].startswith("lists:"))
    assert set(re.findall(r"`(\w+)`", lists)) == {tool.name for tool in tools.ALL if tool.rows is not None}
