"""Two changes of one model at once, case twins, several deletions in one call."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from mcp_ollama.simulator import Fail, HeadWindow, RunningSimulator, Silence, Simulator, Stall
from mcp_ollama.simulator.faults import Armed
from tests.conftest import Connect
from tests.support.client import Host
from tests.support.downloads import BUSY, MODEL, SIZE
from tests.support.pulls import DOWNLOADING, another_program_pulling, until_progress

GB = 1_000_000_000
Work = Callable[[], Coroutine[Any, Any, Any]]


async def at_once(simulator: Simulator, held: Armed, first: Work, second: Work) -> Any:
    """Start `first`, and run `second` while the server is held in the request of the first."""
    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await simulator.until(lambda: held.struck == 1)
        answer = await second()
        held.release()
        return answer


@pytest.mark.parametrize("other", ["pull_model", "push_model", "load_model", "copy_model", "create_model"])
async def test_a_name_that_is_being_deleted_takes_no_new_model(
    other: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    simulator.install("b")
    held = simulator.faults.add("a", Silence(), operation="delete")
    arguments = {
        "pull_model": {"model": "a"},
        "push_model": {"model": "a"},
        "load_model": {"model": "a"},
        "copy_model": {"source": "b", "destination": "a", "overwrite": True},
        "create_model": {"model": "new", "from_model": "a"},
    }[other]
    async with connect(confirm_delete=False, allow_push=True) as host:
        said = await at_once(
            simulator,
            held,
            lambda: host("delete_model", model="a"),
            lambda: host.refusal(other, **arguments),
        )
    assert said == "a:latest is being deleted. Let that end, then call again."
    assert not simulator.is_installed("a")
    assert not any(map(simulator.asked, ("/api/pull", "/api/push")))


@pytest.mark.parametrize("access", ["no-delete", "full"])
async def test_two_copies_to_one_new_name_make_one_model(access: str, simulator: Simulator, connect: Connect) -> None:
    first = simulator.install("first").manifest.digest
    simulator.install("second", weights="other")
    held = simulator.faults.add("first", Silence(), operation="copy")
    async with connect(access=access) as host:
        said = await at_once(
            simulator,
            held,
            lambda: host("copy_model", source="first", destination="new"),
            lambda: host.refusal("copy_model", source="second", destination="new"),
        )
    assert said == "new:latest is being created. Let that end, then call again."
    assert simulator.model("new").manifest.digest == first


async def test_a_model_that_is_being_copied_is_not_deleted(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    held = simulator.faults.add("a", Silence(), operation="copy")
    async with connect(confirm_delete=False) as host:
        said = await at_once(
            simulator,
            held,
            lambda: host("copy_model", source="a", destination="b"),
            lambda: host.refusal("delete_model", model="a"),
        )
    assert said == "a:latest is being copied. Let that end, then call again."


async def test_model_whose_first_pull_still_ends_is_not_deleted(
    simulator: Simulator, running: RunningSimulator, connect: Connect
) -> None:
    simulator.install(MODEL)
    simulator.registry.publish(MODEL, size_bytes=SIZE, weights="new")
    window = simulator.faults.add(MODEL, HeadWindow(), times=1)
    async with (
        connect(confirm_delete=False, timeouts=BUSY) as host,
        another_program_pulling(simulator, running.base_url),
        anyio.create_task_group() as group,
    ):
        await simulator.until(lambda: window.struck == 1)
        await until_progress(host, DOWNLOADING)
        group.start_soon(lambda: host("cancel_pull", model=MODEL))
        while (await host("pull_model", model=MODEL, wait_seconds=0))["state"] != "queued":
            await anyio.lowlevel.checkpoint()
        assert (await host("cancel_pull", model=MODEL))["state"] == "cancelled"
        said = await host.refusal("delete_model", model=MODEL)
        assert said == f"{MODEL} is being pulled. Call cancel_pull first, or let it end."
        assert not simulator.asked("/api/delete")
        window.release()


async def _twins(simulator: Simulator) -> None:
    simulator.respond(
        "/api/tags",
        body='{"models":[{"name":"Qwen3:latest","digest":"aa","size":1},{"name":"qwen3:latest","digest":"bb","size":2}]}',
    )


async def test_of_case_twins_the_one_that_was_named_is_deleted(simulator: Simulator, connect: Connect) -> None:
    await _twins(simulator)
    simulator.respond("/api/delete", body="")
    async with connect(confirm_delete=False) as host:
        answer = await host("delete_model", model="qwen3:latest")
    assert answer["model"] == "qwen3:latest"
    assert [request.body for request in simulator.asked("/api/delete")] == [{"model": "qwen3:latest"}]


async def test_a_name_between_case_twins_is_refused_with_both(simulator: Simulator, connect: Connect) -> None:
    await _twins(simulator)
    async with connect() as host:
        said = await host.refusal("delete_model", model="QWEN3")
    assert said == (
        "QWEN3:latest may mean Qwen3:latest and qwen3:latest, which differ only in case. Use the exact spelling of one."
    )


async def _furnish(simulator: Simulator) -> int:
    size = simulator.install("base", weights="shared", size_bytes=2 * GB).manifest.size
    simulator.install("variant", weights="shared", size_bytes=2 * GB, system="Be brief.")
    return size


async def test_several_models_are_deleted_after_one_question(simulator: Simulator, connect: Connect) -> None:
    await _furnish(simulator)
    simulator.install("kept")
    async with connect() as host:
        asked = await host("delete_model", models=["base", "variant", "base:latest"])
        assert (asked["deleted"], asked["reason"]) == (False, "needs_confirmation")
        assert [row["frees_bytes"] for row in asked["models"]] == [0, 0]
        assert 2 * GB <= asked["frees_bytes"] < 3 * GB
        assert "which frees 2.0 GB in all" in asked["next_step"]
        answer = await host("delete_model", models=["variant", "base"], confirm=asked["confirmation"])
    assert answer["deleted"]
    assert [(row["model"], row["deleted"]) for row in answer["models"]] == [
        ("variant:latest", True),
        ("base:latest", True),
    ]
    assert simulator.is_installed("kept")


async def test_a_token_for_several_models_holds_for_these_only(simulator: Simulator, connect: Connect) -> None:
    await _furnish(simulator)
    async with connect() as host:
        token = (await host("delete_model", models=["base", "variant"]))["confirmation"]
        answer = await host("delete_model", models=["base"], confirm=token)
    assert not answer["deleted"]
    assert simulator.is_installed("base")


async def test_of_several_models_one_that_fails_says_so_in_its_row(simulator: Simulator, connect: Connect) -> None:
    await _furnish(simulator)
    simulator.respond("/api/delete", status=500, body='{"error":"broken"}')
    async with connect(confirm_delete=False) as host:
        answer = await host("delete_model", models=["base", "variant"])
    assert not answer["deleted"]
    assert all("broken" in row["next_step"] for row in answer["models"])


async def test_of_several_models_only_those_deleted_count_as_freed(simulator: Simulator, connect: Connect) -> None:
    await _furnish(simulator)
    single = simulator.install("single", size_bytes=5_000_000).manifest.size
    simulator.faults.add("variant", Fail(text="broken"), operation="delete")
    async with connect(confirm_delete=False) as host:
        answer = await host("delete_model", models=["base", "variant", "single"])
    assert [row["deleted"] for row in answer["models"]] == [True, False, True]
    assert (answer["frees_bytes"], answer["shared_with"]) == (single, ["variant:latest"])


@pytest.mark.parametrize("arguments", [{}, {"model": "a", "models": ["b"]}, {"models": []}])
async def test_a_deletion_takes_exactly_one_of_model_and_models(arguments: dict[str, Any], connect: Connect) -> None:
    async with connect() as host:
        said = await host.refusal("delete_model", **arguments)
    assert said == "delete_model takes either model or models. Give exactly one of them."


async def _pulling(host: Host, simulator: Simulator, *names: str) -> None:
    for name in names:
        simulator.registry.publish(name, size_bytes=9_000_000, weights=name)
        simulator.faults.add(name, Stall(at=0.5))
        await host("pull_model", model=name, wait_seconds=0)


async def test_cancel_pull_needs_a_model_only_when_several_run(simulator: Simulator, connect: Connect) -> None:
    async with connect() as host:
        assert await host.refusal("cancel_pull") == "No pull is in progress. See list_pulls."
        await _pulling(host, simulator, "one", "two")
        said = await host.refusal("cancel_pull")
        assert said == "2 pulls are in progress. Name one: one:latest, two:latest."
        await host("cancel_pull", model="two")
        assert (await host("cancel_pull"))["model"] == "one:latest"
