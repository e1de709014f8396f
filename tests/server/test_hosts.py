"""Several hosts, one of them down and one read-only: what each kind of `host` does in the tools."""

import json
import re
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.models.app import Timeouts
from tests.conftest import QUICK
from tests.support.client import Era, Host, text_of
from tests.support.client import host as open_host
from tests.support.fleet import Fleet, serve_fleet

NAMES = "desk, gpu, gone"
SINGLE = re.compile("MCP_OLLAMA_(BASE_URL|API_KEY|HEADERS|MEMORY)")
"""Settings of a single server: beside named hosts they are refused, or have no effect."""
CHANGING: dict[str, dict[str, Any]] = {
    "pull_model": {"model": "llama3.2:1b"},
    "cancel_pull": {"model": "llama3.2:1b"},
    "copy_model": {"source": "qwen3:8b", "destination": "mine"},
    "create_model": {"model": "mine", "from_model": "qwen3:8b"},
    "delete_model": {"model": "qwen3:8b"},
    "load_model": {"model": "qwen3:8b"},
    "unload_model": {"model": "qwen3:8b"},
}
Open = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
def fleet(tmp_path: Path, nowhere: str) -> Generator[Fleet]:
    with serve_fleet(tmp_path, nowhere) as fleet:
        fleet.desk.install("qwen3:8b", size_bytes=2_000)
        fleet.desk.install("phi4", size_bytes=1_000)
        fleet.gpu.install("gemma3:4b", size_bytes=3_000)
        fleet.desk.registry.publish("llama3.2:1b", size_bytes=1_000)
        yield fleet


@pytest.fixture
def connect(fleet: Fleet, era: Era) -> Open:
    def connect(timeouts: Timeouts = QUICK, **settings: Any) -> AbstractAsyncContextManager[Host]:
        return fleet.connect(era, timeouts, **settings)

    return connect


async def test_read_without_host_takes_the_default_and_names_it(connect: Open, fleet: Fleet) -> None:
    async with connect() as host:
        answer = await host("list_models")
        card = await host("show_model", model="qwen3:8b")
    assert (answer["host"], answer["total_count"], card["host"]) == ("desk", 2, "desk")
    assert fleet.gpu.requests == []


async def test_read_with_host_reaches_only_that_one(connect: Open, fleet: Fleet) -> None:
    async with connect() as host:
        answers = [await host(tool, host="gpu") for tool in ("list_models", "list_running_models", "list_pulls")]
        report = await host("health", host="gone")
    assert {one["host"] for one in answers} == {"gpu"}
    assert (report["host"], report["status"]) == ("gone", "down")
    assert fleet.desk.requests == []


@pytest.mark.parametrize("tool", CHANGING)
async def test_change_without_a_single_host_is_refused_with_the_names(connect: Open, fleet: Fleet, tool: str) -> None:
    async with connect() as host:
        refusals = [
            await host.refusal(tool, **CHANGING[tool], **given) for given in ({}, {"host": ""}, {"host": "all"})
        ]
        unknown = await host.refusal(tool, **CHANGING[tool], host="moon")
    assert all(NAMES in text for text in (*refusals, unknown))
    assert "no host 'moon'" in unknown
    assert (fleet.desk.requests, fleet.gpu.requests) == ([], [])


async def test_tool_disabled_on_each_host_names_that_of_the_call(tmp_path: Path, nowhere: str, era: Era) -> None:
    tables = {"desk": 'access = "no-delete"', "gone": 'access = "no-delete"'}
    with serve_fleet(tmp_path, nowhere, tables) as fleet:
        async with fleet.connect(era, QUICK) as host:
            refusals = [await host.refusal("delete_model", model="a", host=name) for name in ("gpu", "gone", "moon")]
    settings = (
        'access = "read-only" of the host gpu',
        *(f'access = "no-delete" of the host {one}' for one in ("gone", "desk")),
    )
    assert refusals == [f"delete_model is disabled by the operator ({setting})." for setting in settings]


async def test_change_without_host_does_not_call_the_tool_disabled(tmp_path: Path, nowhere: str, era: Era) -> None:
    with serve_fleet(tmp_path, nowhere, {"desk": 'access = "read-only"'}) as fleet:
        async with fleet.connect(era, QUICK) as host:
            text = await host.refusal("pull_model", model="qwen3:8b")
    assert text.endswith(f"`host` must name one of the Ollama hosts: {NAMES}.")


@pytest.mark.parametrize("tool", CHANGING)
async def test_change_on_a_read_only_host_names_host_and_setting(connect: Open, fleet: Fleet, tool: str) -> None:
    async with connect() as host:
        text = await host.refusal(tool, **CHANGING[tool], host="gpu")
    assert text == f'{tool} is disabled by the operator (access = "read-only" of the host gpu).'
    assert fleet.gpu.requests == []


async def test_advice_of_an_error_names_the_host_unless_it_is_the_default(connect: Open) -> None:
    async with connect() as host:
        texts = [await host.refusal("show_model", model="unheard:1b", host=name) for name in ("gpu", "desk")]
        down = await host.refusal("list_models", host="gone")
        unknown = await host.refusal("show_model", model="no name", host="gpu")
    assert [' pull_model. Pass host="gpu" there. ' in text for text in texts] == [True, False]
    assert "there." not in down + unknown


async def test_change_reaches_only_the_named_host(connect: Open, fleet: Fleet) -> None:
    async with connect(confirm_delete=False) as host:
        for tool in ("pull_model", "load_model", "unload_model", "copy_model", "create_model", "delete_model"):
            answer = await host(tool, **CHANGING[tool], host="desk", **({"overwrite": True} if "cr" in tool else {}))
            assert answer["host"] == "desk"
    assert fleet.desk.is_installed("llama3.2:1b")
    assert fleet.gpu.requests == []


@pytest.mark.parametrize(
    ("server", "setting"),
    [("full", 'access = "no-delete" of the host desk'), ("no-delete", "MCP_OLLAMA_ACCESS=no-delete")],
)
async def test_refused_overwriting_names_the_setting_that_decides(
    tmp_path: Path, nowhere: str, era: Era, server: str, setting: str
) -> None:
    with serve_fleet(tmp_path, nowhere, {"desk": 'access = "no-delete"'}) as fleet:
        fleet.desk.install("qwen3:8b")
        fleet.desk.install("phi4", size_bytes=1_000)
        async with fleet.connect(era, QUICK, access=server) as host:
            text = await host.refusal("copy_model", source="phi4", destination="qwen3:8b", host="desk", overwrite=True)
    assert f"the operator allows no overwriting ({setting})." in text


async def test_list_of_all_joins_rows_and_reports_the_dead(connect: Open, nowhere: str) -> None:
    async with connect() as host:
        answer = await host("list_models", host="all", sort="name")
    assert [(row["host"], row["name"]) for row in answer["models"]] == [
        ("desk", "phi4:latest"),
        ("desk", "qwen3:8b"),
        ("gpu", "gemma3:4b"),
    ]
    sizes = {one["host"]: (one["total_count"], one["total_size_bytes"]) for one in answer["hosts"]}
    assert sizes["gpu"][0] == 1
    assert sizes["desk"][0] == 2
    (error,) = answer["errors"]
    assert error["host"] == "gone"
    assert "MCP_OLLAMA_BASE_URL" not in error["error"]
    assert nowhere in error["error"]
    assert "next_offset" not in answer


async def test_list_of_all_pages_in_the_order_of_the_hosts(connect: Open) -> None:
    async with connect() as host:
        pages = [await host("list_models", host="all", sort="name", limit=2)]
        pages.append(await host("list_models", host="all", sort="name", limit=2, offset=pages[0]["next_offset"]))
    assert [[row["name"] for row in page["models"]] for page in pages] == [["phi4:latest", "qwen3:8b"], ["gemma3:4b"]]
    assert "next_offset" not in pages[1]


@pytest.mark.parametrize(("tool", "rows"), [("list_running_models", "models"), ("list_pulls", "transfers")])
async def test_rows_of_all_name_their_host(connect: Open, fleet: Fleet, tool: str, rows: str) -> None:
    fleet.gpu.load("gemma3:4b")
    async with connect() as host:
        await host("pull_model", model="llama3.2:1b", host="desk")
        answer = await host(tool, host="all")
    expected = {"models": ["gpu"], "transfers": ["desk"]}[rows]
    assert [row["host"] for row in answer[rows]] == expected
    assert [one["host"] for one in answer["hosts"]] == (
        ["desk", "gpu"] if rows == "models" else ["desk", "gpu", "gone"]
    )


async def test_updates_of_all_are_complete_per_host(connect: Open) -> None:
    async with connect() as host:
        answer = await host("check_updates", host="all")
    assert {(row["host"], row["model"], row["state"]) for row in answer["models"]} >= {("desk", "qwen3:8b", "current")}
    assert all("complete" in one for one in answer["hosts"])


async def test_cleanup_of_all_is_planned_per_host(connect: Open) -> None:
    async with connect() as host:
        answer = await host("plan_cleanup", host="all")
    assert {row["host"] for row in answer["models"]} == {"desk", "gpu"}
    assert [one["host"] for one in answer["hosts"]] == ["desk", "gpu"]
    assert [one["next_step"].partition("still in use. ")[2] for one in answer["hosts"]] == [
        'Pass host="desk" there.',
        'delete_model is disabled by the operator (access = "read-only" of the host gpu). Pass host="gpu" there.',
    ]


async def test_models_named_for_all_hosts_need_not_be_on_each(connect: Open) -> None:
    async with connect() as host:
        plan = await host("plan_cleanup", host="all", keep=["qwen3:8b", "gemma3:4b"])
        updates = await host("check_updates", host="all", models=["gemma3:4b"])
        missing = [
            await host.refusal("plan_cleanup", host="all", keep=["qwen4"]),
            await host.refusal("check_updates", host="all", models=["qwen4"]),
        ]
    assert [(row["host"], row["name"]) for row in plan["models"]] == [("desk", "phi4:latest")]
    assert [(row["host"], row["model"]) for row in updates["models"]] == [("gpu", "gemma3:4b")]
    assert [[one["host"] for one in answer["errors"]] for answer in (plan, updates)] == [["gone"], ["gone"]]
    assert {text.partition(".")[0] for text in missing} == {"The model qwen4:latest is not on desk, gpu"}


async def test_health_of_all_is_a_report_per_host(connect: Open) -> None:
    async with connect() as host:
        answer = await host("health", host="all")
    assert [(one["host"], one["status"]) for one in answer["hosts"]][2] == ("gone", "down")
    assert all(one["checks"] for one in answer["hosts"])


async def test_advice_names_the_keys_of_a_host_not_those_of_a_single_server(connect: Open, fleet: Fleet) -> None:
    fleet.gpu.respond("*", status=401, body='{"error": "unauthorized"}')
    async with connect() as host:
        refused = await host.refusal("list_models", host="gpu")
        report = await host("health", host="gpu")
        down = await host.refusal("list_models", host="gone")
    assert "Set its token_env to a valid key." in refused
    assert "Set its token_env" in report["checks"][-1]["fix"]
    assert "set its url where the hosts are named" in down


async def test_advice_on_memory_names_the_key_of_a_host(connect: Open) -> None:
    async with connect() as host:
        plan = await host("plan_pull", model="llama3.2:1b", host="desk")
        every = await host("health", host="all")
        panel = await host("open_dashboard", host="gone")
        failed = await host.result("pull_model", model="llama3.2:1b", host="gone")
    assert any("state it in `memory` of the host" in note for note in plan["memory"]["notes"])
    assert not [text for text in map(json.dumps, (plan, every, panel, failed.meta)) if SINGLE.search(text)]


async def test_advice_for_the_only_named_host_names_its_keys(nowhere: str, era: Era) -> None:
    settings = OllamaSettings.load(hosts=json.dumps({"only": nowhere}), state_dir="off")
    async with open_host(build_server(settings), era) as host:
        report, refused = await host("health"), await host.refusal("list_models")
    assert "host" not in report
    assert "set its url where the hosts are named" in refused
    assert not SINGLE.search(json.dumps(report) + refused)


@pytest.mark.parametrize("given", [["desk"], {"name": "desk"}, 0, 5, False, [], {}])
async def test_host_that_is_no_text_is_refused_with_the_names(connect: Open, fleet: Fleet, given: object) -> None:
    async with connect() as host:
        refusals = [await host.refusal(tool, host=given) for tool in ("list_models", "unload_model")]
    assert all(NAMES in text for text in refusals)
    assert (fleet.desk.requests, fleet.gpu.requests) == ([], [])


async def test_tool_for_one_host_refuses_all(connect: Open) -> None:
    async with connect() as host:
        assert NAMES in await host.refusal("show_model", model="qwen3:8b", host="all")


async def test_missing_model_is_found_on_another_host(connect: Open) -> None:
    async with connect() as host:
        text = await host.refusal("show_model", model="gemma3:4b")
        nowhere = await host.refusal("show_model", model="unheard:1b")
    assert "It is on gpu, not on desk: pass that as `host`." in text
    assert "pass that" not in nowhere


async def test_missing_model_costs_other_hosts_one_look_within_its_limit(connect: Open, fleet: Fleet) -> None:
    fleet.gpu.delay("/api/tags", 20)
    async with connect(replace(QUICK, hint=0.2)) as host:
        with anyio.fail_after(10):
            text = await host.refusal("show_model", model="gemma3:4b", host="desk")
    assert "The model gemma3:4b is not installed." in text
    assert [(one.method, one.path) for one in fleet.gpu.requests] == [("GET", "/api/tags")]
    assert Timeouts().hint == 2


async def test_slow_host_holds_up_no_other_beyond_its_limit(connect: Open, fleet: Fleet) -> None:
    fleet.gpu.delay("/api/tags", 20)
    fleet.gpu.delay("/api/ps", 20)
    async with connect(Timeouts(call=3)) as host:
        started = anyio.current_time()
        lists = await host("list_models", host="all")
        running = await host("list_running_models", host="all")
    assert anyio.current_time() - started < 15
    assert [row["host"] for row in lists["models"]] == ["desk", "desk"]
    for answer in (lists, running):
        assert {"host": "gpu", "error": answer["errors"][0]["error"]} == answer["errors"][0]
        assert "There was no answer within" in answer["errors"][0]["error"]


async def test_token_of_a_host_confirms_nothing_on_another(connect: Open, fleet: Fleet, tmp_path: Path) -> None:
    fleet.file.write_text(fleet.file.read_text(encoding="utf-8").replace('access = "read-only"', ""), encoding="utf-8")
    fleet.gpu.install("qwen3:8b", size_bytes=2_000, modified_at=0)
    async with connect() as host:
        question = await host("delete_model", model="qwen3:8b", host="desk")
        assert "on the host desk" in question["next_step"]
        assert question["next_step"].endswith('Pass host="desk" there.')
        token = question["confirmation"]
        assert (await host("delete_model", model="qwen3:8b", host="gpu", confirm=token))["deleted"] is False
        question = await host("delete_model", model="qwen3:8b", host="desk")
        assert (await host("delete_model", model="qwen3:8b", host="desk", confirm=question["confirmation"]))["deleted"]
    assert fleet.gpu.is_installed("qwen3:8b")


async def test_progress_names_the_host(connect: Open) -> None:
    async with connect() as host:
        await host("pull_model", model="llama3.2:1b", host="desk")
    assert all(message.startswith("desk: ") for *_, message in host.reported)


async def test_secrets_reach_only_their_own_host(
    tmp_path: Path, nowhere: str, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {"K1": "key-of-desk", "K2": "key-of-gpu", "H2": '{"X-Own": "header-of-gpu"}'}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("OLLAMA_API_KEY", "shared-key")
    extra = {"desk": 'token_env = "K1"', "gpu": 'token_env = "K2"\nheaders_env = "H2"'}
    with serve_fleet(tmp_path, nowhere, extra) as fleet:
        async with fleet.connect(era, QUICK) as host:
            for tool in ("list_models", "list_running_models", "health", "check_updates"):
                await host(tool, host="all")
            await host("health", host="gone")
            await host.refusal("show_model", model="unheard:1b")
        sent = {name: json.dumps([one.headers for one in getattr(fleet, name).requests]) for name in ("desk", "gpu")}
    assert "Bearer key-of-desk" in sent["desk"]
    assert "gpu" not in sent["desk"]
    assert "Bearer key-of-gpu" in sent["gpu"]
    assert "header-of-gpu" in sent["gpu"]
    assert "desk" not in sent["gpu"]
    assert "shared-key" not in "".join(sent.values())


async def test_tools_list_names_hosts_and_requires_one_for_changes(fleet: Fleet) -> None:
    async with Client(fleet.build(QUICK)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        instructions = client.instructions or ""
    assert tools["list_models"].input_schema["properties"]["host"] == {
        "type": "string",
        "description": f"Ollama host: {NAMES} (default desk), or all.",
    }
    assert tools["delete_model"].input_schema["required"][-1] == "host"
    assert "required" not in tools["health"].input_schema
    assert "desk, gpu (two cards), gone" in instructions
    assert "Ask the user before deleting." in instructions


async def test_tool_is_listed_when_one_host_allows_it(fleet: Fleet) -> None:
    async with Client(fleet.build(QUICK, access="read-only")) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.call_tool("delete_model", {"model": "a", "host": "desk"})
    assert "delete_model" not in tools
    assert "MCP_OLLAMA_ACCESS=read-only" in text_of(refused)


async def test_dashboard_lists_the_hosts_with_their_actions(connect: Open, fleet: Fleet) -> None:
    async with connect() as host:
        overview = await host("open_dashboard", host="gpu")
    assert (overview["host"], [one["host"] for one in overview["hosts"]]) == ("gpu", ["desk", "gpu", "gone"])
    actions = {one["host"]: one["actions"] for one in overview["hosts"]}
    assert overview["actions"] == actions["gpu"]
    assert "delete_model" in actions["desk"]
    assert all(one["base_url"].startswith("http://") for one in overview["hosts"])
