"""The conversation of the README, played from its own text against the simulator."""

import json
import re
from typing import Any, cast

from mcp_ollama.simulator import Simulator
from scripts.readme import README, fences
from tests.conftest import Connect
from tests.support.searching import CODER_7B, CODER_30B, GEMMA

HEADING = "Which model should I pull?"
CALLS = ["search_models", "plan_pull", "pull_model", "load_model", "measure_model"]


def turns() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Read the calls of the README: tool, arguments, and the part of the answer that it shows."""
    (fence,) = [one for one in fences(README.read_text(encoding="utf-8")) if one.under == HEADING]
    found = re.findall(r"^(\w+) (\{.*\})\n  (\{.*\})$", fence.text, re.MULTILINE)
    assert len(found) * 2 == len(fence.text.splitlines())
    return [(tool, json.loads(arguments), json.loads(answer)) for tool, arguments, answer in found]


def assert_holds(shown: Any, answer: Any) -> None:
    """Check that an answer holds all that is shown; a list may hold more behind it."""
    match shown:
        case dict():
            for key, value in cast("dict[str, Any]", shown).items():
                assert_holds(value, answer[key])
        case list():
            for one, given in zip(cast("list[Any]", shown), answer, strict=False):
                assert_holds(one, given)
        case _:
            assert shown == answer


async def test_conversation_of_the_readme_runs_as_it_is_written(simulator: Simulator, connect: Connect) -> None:
    for repository in (CODER_7B, CODER_30B, GEMMA):
        simulator.registry.publish_repository(repository)
    played = turns()
    async with connect() as call:
        for tool, arguments, shown in played:
            assert_holds(shown, await call(tool, **arguments))
    assert [tool for tool, _, _ in played] == CALLS
    assert simulator.is_installed(played[-1][1]["model"])
