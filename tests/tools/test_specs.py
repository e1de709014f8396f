"""Rules for every tool, as clients see it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_ollama import tools
from mcp_ollama.tools.spec import ToolSpec
from tests.support.client import listed_tools

READ_ONLY, DESTRUCTIVE, IDEMPOTENT, OPEN = "read_only", "destructive", "idempotent", "open_world"
HINTS = {
    "list_models": {READ_ONLY, IDEMPOTENT},
    "show_model": {READ_ONLY, IDEMPOTENT},
    "open_dashboard": {READ_ONLY, IDEMPOTENT},
    "list_running_models": {READ_ONLY, IDEMPOTENT},
    "pull_model": {IDEMPOTENT, OPEN},
    "list_pulls": {READ_ONLY, IDEMPOTENT},
    "cancel_pull": {IDEMPOTENT},
    "plan_pull": {READ_ONLY, IDEMPOTENT, OPEN},
    "plan_cleanup": {READ_ONLY, IDEMPOTENT},
    "check_updates": {READ_ONLY, IDEMPOTENT, OPEN},
    "search_models": {READ_ONLY, IDEMPOTENT, OPEN},
    "copy_model": {DESTRUCTIVE},
    "create_model": {DESTRUCTIVE},
    "push_model": {IDEMPOTENT, OPEN},
    "delete_model": {DESTRUCTIVE, IDEMPOTENT},
    "load_model": {IDEMPOTENT},
    "measure_model": {IDEMPOTENT},
    "unload_model": {IDEMPOTENT},
    "health": {READ_ONLY, IDEMPOTENT, OPEN},
}
PLAIN_NUMBERS = {"limit", "offset", "next_offset", "percent", "attempts", "queue_position", "installed", "loaded"}
FIRST = {"list_models", "show_model", "pull_model", "delete_model", "health"}

every_tool = pytest.mark.parametrize("spec", tools.ALL, ids=lambda spec: spec.name)


async def listed(spec: ToolSpec) -> dict[str, Any]:
    every = await listed_tools(allow_push=True)
    (tool,) = (tool for tool in every if tool.name == spec.name)
    return tool.model_dump(by_alias=True, exclude_none=True)


def schemas_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk through a JSON schema and all schemas in it."""
    yield schema
    for key in ("properties", "$defs"):
        for child in schema.get(key, {}).values():
            yield from schemas_in(child)
    for key in ("items", "additionalProperties"):
        if isinstance(child := schema.get(key), dict):
            yield from schemas_in(child)  # pyright: ignore[reportUnknownArgumentType]
    for key in ("anyOf", "oneOf", "allOf"):
        for child in schema.get(key, ()):
            yield from schemas_in(child)


async def test_every_tool_has_a_search_hint_and_three_are_always_loaded() -> None:
    meta = {tool.name: tool.meta or {} for tool in await listed_tools(allow_push=True)}
    assert all(10 < len(one["anthropic/searchHint"]) < 80 for one in meta.values())
    loaded = {name for name, one in meta.items() if one.get("anthropic/alwaysLoad")}
    assert loaded == {"list_models", "pull_model", "health"}


def test_the_tools_of_the_first_days_are_there() -> None:
    assert {spec.name for spec in tools.ALL} >= FIRST
    assert len({spec.name for spec in tools.ALL}) == len(tools.ALL)


@every_tool
async def test_a_tool_gives_the_hints_that_were_agreed_on(spec: ToolSpec) -> None:
    given = (await listed(spec))["annotations"]
    assert given.pop("title") == spec.title
    assert given == {
        "readOnlyHint": READ_ONLY in HINTS[spec.name],
        "destructiveHint": DESTRUCTIVE in HINTS[spec.name],
        "idempotentHint": IDEMPOTENT in HINTS[spec.name],
        "openWorldHint": OPEN in HINTS[spec.name],
    }


@every_tool
async def test_a_tool_has_a_short_plain_name_and_a_title(spec: ToolSpec) -> None:
    tool = await listed(spec)
    assert re.fullmatch(r"[a-z_]{1,30}", tool["name"])
    assert re.fullmatch(r"[A-Z][A-Za-z ]{3,40}", tool["title"])


@every_tool
async def test_a_description_says_what_the_tool_does_and_when_to_use_it(spec: ToolSpec) -> None:
    text: str = (await listed(spec))["description"]
    first, *_ = text.splitlines()
    assert re.fullmatch(r"[A-Z][a-z]+ .*[.:,;a-z]", first)
    assert 80 <= len(text) <= 700
    assert not re.search(r"\n {4}|Args:|Returns:|Raises:|:param", text)


@every_tool
async def test_each_argument_is_described_and_nothing_else_is_taken(spec: ToolSpec) -> None:
    schema = (await listed(spec))["inputSchema"]
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert not {"anyOf", "oneOf", "allOf"} & schema.keys()
    for name, argument in schema["properties"].items():
        assert re.fullmatch(r"[a-z_]{1,30}", name)
        assert 10 <= len(argument["description"]) <= 200, name
        assert argument["description"].endswith((".", "…")), name
        assert "type" in argument or "$ref" in argument or "anyOf" in argument, name


@every_tool
async def test_schemas_say_nothing_that_a_model_need_not_read(spec: ToolSpec) -> None:
    tool = await listed(spec)
    assert tool["outputSchema"]["type"] == "object"
    assert tool["outputSchema"]["properties"]
    for schema in [*schemas_in(tool["inputSchema"]), *schemas_in(tool["outputSchema"])]:
        assert not isinstance(schema.get("title"), str)
        assert {"type": "null"} not in schema.get("anyOf", ())
        assert "default" not in schema or schema["default"] is not None


@every_tool
async def test_a_number_says_what_it_counts(spec: ToolSpec) -> None:
    tool = await listed(spec)
    for schema in [*schemas_in(tool["inputSchema"]), *schemas_in(tool["outputSchema"])]:
        for name, child in schema.get("properties", {}).items():
            if child.get("type") in ("integer", "number"):
                assert re.search(r"_(bytes|seconds|ms|per_second|count|length)$", name) or name in PLAIN_NUMBERS, name


async def test_the_whole_list_is_short() -> None:
    every = await listed_tools(allow_push=True)
    documents = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in every]
    text = json.dumps(documents, separators=(",", ":"), ensure_ascii=False)
    assert len(text.encode()) < 22 * 1024
