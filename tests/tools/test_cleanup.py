"""`plan_cleanup`: the exact bytes that deleting a set frees, outdated copies first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitRequestParams, ElicitResult, TextContent

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Fail, Simulator
from tests.conftest import Connect
from tests.support.client import Era, Host, built

GB = 1_000_000_000
DAY = timedelta(days=1).total_seconds()


def install(simulator: Simulator, name: str, *, gigabytes: float = 1, days: float = 1, **recipe: Any) -> int:
    """Install a model that was modified some days ago, and return its size on disk."""
    when = simulator.now() - days * DAY
    size = recipe.pop("size_bytes", int(gigabytes * GB))
    return simulator.install(name, modified_at=when, size_bytes=size, **recipe).manifest.size


def rows(plan: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(row["name"], row["frees_bytes"], row["reason"]) for row in plan["models"]]


async def test_plan_orders_outdated_copies_before_the_oldest(simulator: Simulator, connect: Connect) -> None:
    recent = install(simulator, "recent", days=2)
    old = install(simulator, "old", days=100)
    copy = install(simulator, "qwen3-backup:8b", days=20, weights="1", family="qwen3")
    install(simulator, "qwen3:8b", days=1, weights="2", family="qwen3")
    async with connect() as host:
        plan = await host("plan_cleanup", keep=["qwen3:8b"])
    assert rows(plan) == [
        ("qwen3-backup:8b", copy, "outdated_copy"),
        ("old:latest", old, "old"),
        ("recent:latest", recent, "never_loaded_here"),
    ]
    assert plan["frees_bytes"] == copy + old + recent
    assert "enough" not in plan
    assert "Ollama keeps no last use" in plan["next_step"]
    assert not simulator.asked("/api/delete")


@pytest.mark.parametrize(
    ("title", "reason"), [("Qwen3 4B Instruct 2507", "outdated_copy"), ("Qwen3 4B Thinking 2507", "never_loaded_here")]
)
async def test_title_in_the_weights_decides_what_is_a_version(
    title: str, reason: str, simulator: Simulator, connect: Connect
) -> None:
    for name, days, general_name in (("qwen3:a", 2, title), ("other:b", 1, "Qwen3 4B Instruct 2507")):
        info = {"general.architecture": "qwen3", "general.name": general_name}
        install(simulator, name, days=days, model_info=info, weights=name)
    async with connect() as host:
        plan = await host("plan_cleanup")
    assert [row["reason"] for row in plan["models"]] == [reason, "never_loaded_here"]


async def test_model_without_a_date_is_not_taken_for_old(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "qwen3-copy:8b", days=20, weights="1", family="qwen3")
    zero_time_of_go = datetime(1, 1, 1, tzinfo=UTC).timestamp()
    simulator.install("qwen3:8b", modified_at=zero_time_of_go, weights="2", family="qwen3")
    install(simulator, "recent", days=1)
    async with connect() as host:
        plan = await host("plan_cleanup")
    assert [(row["name"], row["reason"]) for row in plan["models"]] == [
        ("qwen3-copy:8b", "never_loaded_here"),
        ("recent:latest", "never_loaded_here"),
        ("qwen3:8b", "never_loaded_here"),
    ]


async def test_plan_stops_once_enough_becomes_free(simulator: Simulator, connect: Connect) -> None:
    sizes = [install(simulator, f"m{days}", gigabytes=7, days=days) for days in (50, 40, 30, 20)]
    async with connect() as host:
        plan = await host("plan_cleanup", free_at_least="20 GB")
        everything = await host("plan_cleanup", free_at_least=30 * GB, keep="m20")
    assert [row["name"] for row in plan["models"]] == ["m50:latest", "m40:latest", "m30:latest"]
    assert (plan["frees_bytes"], plan["enough"]) == (sum(sizes[:3]), True)
    assert (everything["frees_bytes"], everything["enough"]) == (sum(sizes[:3]), False)
    assert everything["next_step"].startswith("9.0 GB are missing: keep less. Ask the user")


async def test_plan_that_is_not_enough_names_only_what_helps(simulator: Simulator, connect: Connect) -> None:
    for number in range(21):
        install(simulator, f"m{number}", days=number)
    async with connect() as host:
        full = await host("plan_cleanup", free_at_least="900 GB")
        simulator.load("m0")
        loaded = await host("plan_cleanup", free_at_least="900 GB", keep=[f"m{number}" for number in range(2, 9)])
        simulator.runners.clear()
        for number in range(2, 21):
            simulator.library.remove(simulator.model(f"m{number}"))
        all_go = await host("plan_cleanup", free_at_least="900 GB")
    assert " are missing: plan again after deleting. Ask" in full["next_step"]
    assert " are missing: unload_model, or keep less. Ask" in loaded["next_step"]
    assert " are missing: free space there in another way, too. Ask" in all_go["next_step"]


async def test_shared_weights_count_once_and_only_when_all_go(simulator: Simulator, connect: Connect) -> None:
    size = install(simulator, "base", days=9)
    simulator.copy("base", "copy", modified_at=simulator.now() - 8 * DAY)
    install(simulator, "shared", days=7)
    simulator.copy("shared", "in-memory", modified_at=simulator.now() - 6 * DAY)
    simulator.load("in-memory")
    async with connect() as host:
        plan = await host("plan_cleanup")
        kept = await host("plan_cleanup", keep=["copy"])
    assert rows(plan) == [("base:latest", 0, "never_loaded_here"), ("copy:latest", size, "never_loaded_here")]
    assert plan["frees_bytes"] == size
    assert kept["models"] == []
    assert (kept["frees_bytes"], kept["next_step"][:16]) == (0, "No model can go:")


async def test_model_that_was_in_memory_is_listed_for_its_size(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "used")
    simulator.load("used")
    async with connect() as host:
        await host("list_models")
        await host("unload_model", model="used")
        plan = await host("plan_cleanup")
    assert [row["reason"] for row in plan["models"]] == ["large"]


@pytest.mark.parametrize("tool", ["load_model", "measure_model", "list_running_models", "health", "unload_model"])
async def test_model_that_any_tool_saw_in_memory_was_loaded(simulator: Simulator, connect: Connect, tool: str) -> None:
    install(simulator, "used")
    is_loading = tool in ("load_model", "measure_model")
    if not is_loading:
        simulator.load("used")
    async with connect() as host:
        await host(tool, **({"model": "used"} if is_loading or tool == "unload_model" else {}))
        simulator.runners.clear()
        (row,) = (await host("plan_cleanup"))["models"]
    assert row["reason"] == "large"


async def test_update_does_not_make_a_model_never_loaded(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "used")
    simulator.load("used")
    async with connect() as host:
        await host("unload_model", all=True)
        simulator.registry.publish("used", size_bytes=2 * GB)
        await host("pull_model", model="used")
        (row,) = (await host("plan_cleanup"))["models"]
    assert row["reason"] == "large"


async def test_cloud_models_and_transfers_are_left_out(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "cloud", remote_host="https://ollama.com:443", remote_model="cloud")
    install(simulator, "busy")
    simulator.registry.publish("busy", size_bytes=2 * GB)
    async with connect() as host:
        await host("pull_model", model="busy", wait_seconds=0)
        plan = await host("plan_cleanup")
        await host("cancel_pull", model="busy")
    assert plan["models"] == []


async def test_plan_of_an_empty_disk_says_so(simulator: Simulator, connect: Connect) -> None:
    simulator.install("glm:cloud", remote_host="https://ollama.com:443", remote_model="glm")
    async with connect() as host:
        plan = await host("plan_cleanup", free_at_least="1 GB")
    assert plan["next_step"] == "No model is on the disk of the Ollama server: free space there in another way."


async def test_plan_without_exact_bytes_states_none(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "whole", days=5)
    install(simulator, "damaged", days=4)
    simulator.faults.add("damaged", Fail(text="model not found", status=404), operation="show")
    async with connect() as host:
        plan = await host("plan_cleanup", free_at_least="1 MB")
    assert plan["models"] == [{"name": "whole:latest", "reason": "never_loaded_here"}]
    assert plan.keys() == {"models", "next_step"}
    assert "unknown, since damaged:latest could not be read" in plan["next_step"]


async def test_plan_fits_one_deletion_and_keeps_groups_whole(simulator: Simulator, connect: Connect) -> None:
    for number in range(19):
        install(simulator, f"m{number:02}", days=50 - number)
    install(simulator, "pair", days=10)
    simulator.copy("pair", "pair-2", modified_at=simulator.now() - 9 * DAY)
    install(simulator, "last", days=5)
    async with connect() as host:
        plan = await host("plan_cleanup")
    assert len(plan["models"]) == 20
    assert plan["models"][-1]["name"] == "last:latest"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"free_at_least": 20}, 'such as "8 GB"'),
        ({"free_at_least": "much"}, 'such as "8 GB"'),
        ({"free_at_least": []}, 'such as "8 GB"'),
        ({"free_at_least": "0 GB"}, "should be more than nothing"),
        ({"free_at_least": 10**400}, "is not a size"),
        ({"keep": ["llama4"]}, "The model llama4:latest is not installed."),
    ],
)
async def test_plan_refuses_sizes_and_names_it_cannot_read(
    arguments: dict[str, Any], says: str, simulator: Simulator, connect: Connect
) -> None:
    install(simulator, "llama3.2")
    async with connect() as host:
        assert says in await host.refusal("plan_cleanup", **arguments)
        assert len((await host("plan_cleanup", free_at_least=""))["models"]) == 1


async def test_single_text_is_no_list_of_models_to_delete(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "a")
    async with connect() as host:
        assert "models should be a valid list" in await host.refusal("delete_model", models="a")
        assert (await host("delete_model", models='["a"]'))["reason"] == "needs_confirmation"


async def test_plan_where_nothing_may_be_deleted_names_the_setting(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "a")
    async with connect(access="no-delete") as host:
        plan = await host("plan_cleanup")
    assert plan["next_step"].endswith("delete_model is disabled by the operator (MCP_OLLAMA_ACCESS=no-delete).")


async def test_plan_needs_to_know_what_is_in_memory(simulator: Simulator, connect: Connect) -> None:
    install(simulator, "a")
    simulator.lack("/api/ps")
    async with connect() as host:
        assert await host.refusal("plan_cleanup")


@pytest.mark.usefixtures("running")
async def test_agent_frees_20_gb_in_three_calls_and_one_question(simulator: Simulator, era: Era) -> None:
    for number, gigabytes in enumerate((12, 9, 4)):
        install(simulator, f"m{number}", gigabytes=gigabytes, days=100 - number)
    questions: list[str] = []

    async def agree(context: Any, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"confirm": True})

    async with Client(built(Timeouts()), mode=era, elicitation_callback=agree) as client:
        (message,) = (await client.get_prompt("free_disk_space", {"size": "20 GB"})).messages
        assert isinstance(message.content, TextContent)
        assert 'plan_cleanup with free_at_least "20 GB"' in message.content.text
        host = Host(client)
        plan = await host("plan_cleanup", free_at_least="20 GB")
        deleted = await host("delete_model", models=[row["name"] for row in plan["models"]])
        left = await host("list_models")
    assert len(questions) == 1
    assert plan["enough"]
    assert deleted["frees_bytes"] == plan["frees_bytes"] >= 20 * GB
    assert [model["name"] for model in left["models"]] == ["m2:latest"]
