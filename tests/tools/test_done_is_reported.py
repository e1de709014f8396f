"""A change that is made is reported as made, however late the server then answers."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from mcp_ollama.simulator import RunningSimulator, Silence, Simulator
from tests.conftest import QUICK, Connect
from tests.support.client import Host, built, host, text_of

SHORT = replace(QUICK, call=2, health_extra=2.5)
"""A look after a change may take longer than the call that made it."""

MADE: dict[str, dict[str, Any]] = {
    "copy_model": {"source": "base", "destination": "new"},
    "create_model": {"model": "new", "from_model": "base"},
}


@pytest.mark.parametrize("silent", ["/api/tags", "/api/show"])
@pytest.mark.parametrize("tool", MADE)
async def test_slow_look_after_a_change_leaves_it_made(
    tool: str, silent: str, simulator: Simulator, running: RunningSimulator
) -> None:
    simulator.install("base")
    held = simulator.faults.add("base" if tool == "copy_model" else "new", Silence(), operation=_operation(tool))
    answers: list[dict[str, Any]] = []

    async def make(caller: Host) -> None:
        answers.append(await caller(tool, **MADE[tool]))

    async with host(built(SHORT), "auto") as caller, anyio.create_task_group() as group:
        group.start_soon(make, caller)
        await simulator.until(lambda: held.struck == 1)
        simulator.delay(silent, 60)
        held.release()
    assert [(answer["model"], answer["created"]) for answer in answers] == [("new:latest", True)]


def _operation(tool: str) -> Any:
    return tool.removesuffix("_model")


async def test_deletion_out_of_time_names_what_is_deleted(simulator: Simulator, running: RunningSimulator) -> None:
    for size, name in enumerate(("one", "two", "three"), 1):
        simulator.install(name, size_bytes=size * 1_000_000)
    simulator.faults.add("two", Silence(), operation="delete")
    async with host(built(SHORT, confirm_delete=False), "auto") as caller:
        answer = await caller("delete_model", models=["one", "two", "three"])
        simulator.faults.clear()
    assert not answer["deleted"]
    assert [row["deleted"] for row in answer["models"]] == [True, False, False]
    left = "There was no time left for it. See list_models, then call again."
    assert [row.get("next_step") for row in answer["models"]] == [None, left, left]


@pytest.mark.parametrize("arguments", [{"model": "victim"}, {"models": ["victim"]}], ids=str)
async def test_deletion_is_reported_however_many_names_share(
    arguments: dict[str, Any], simulator: Simulator, connect: Connect
) -> None:
    simulator.install("victim")
    for number in range(400):
        simulator.copy("victim", f"{'h' * 200}.example/{'n' * 80}/{'m' * 80}:{number:03}{'t' * 70}")
    async with connect(confirm_delete=False) as host:
        result = await host.result("delete_model", **arguments)
    assert result.structured_content
    assert result.structured_content["deleted"]
    assert "more of shared_with are left out." in result.structured_content["next_step"]
    assert len(text_of(result)) < 25_000
