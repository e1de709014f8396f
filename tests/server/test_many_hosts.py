"""Fifty hosts with a hundred models each, and the same server with one host as without named hosts."""

import json
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.server.server import OllamaServer
from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.support.client import Host

HOSTS, MODELS = 50, 100
SLOW_SECONDS = 30.0
MAX_LIST_BYTES = 24_000


def build(addresses: dict[str, str]) -> OllamaServer:
    return build_server(OllamaSettings.load(hosts=json.dumps(addresses)))


@pytest.fixture
def many() -> Generator[tuple[dict[str, str], list[Simulator]]]:
    simulators = [Simulator() for _ in range(HOSTS)]
    simulators[0].install("qwen3:8b", size_bytes=1_000)
    for number in range(1, MODELS):
        simulators[0].copy("qwen3:8b", f"model-{number}")
    with ExitStack() as stack:
        running = [stack.enter_context(serve(one)) for one in simulators]
        # Each would write the same list again and again, in this process.
        tags = httpx.get(f"{running[0].base_url}/api/tags", trust_env=False).text
        for simulator in simulators:
            simulator.library.models.update(simulators[0].library.models)
            simulator.respond("/api/tags", body=tags, content_type="application/json")
        yield {f"gpu-{number:02}": one.base_url for number, one in enumerate(running)}, simulators


async def test_list_of_fifty_hosts_asks_all_at_the_same_time(many: tuple[dict[str, str], list[Simulator]]) -> None:
    """So it takes no longer than the slowest of them."""
    addresses, simulators = many
    for simulator in simulators:
        simulator.delay("/api/tags", SLOW_SECONDS)
    async with Client(build(addresses)) as client, anyio.create_task_group() as group:
        group.start_soon(partial(client.call_tool, "list_models", {"host": "all"}))
        await simulators[0].until(lambda: sum(one.in_flight["/api/tags"] for one in simulators) == HOSTS, SLOW_SECONDS)
        group.cancel_scope.cancel()


async def test_list_of_fifty_hosts_counts_each_and_stays_small(many: tuple[dict[str, str], list[Simulator]]) -> None:
    async with Client(build(many[0])) as client:
        answer = await Host(client)("list_models", host="all")
    assert "errors" not in answer, answer["errors"]
    assert [one["total_count"] for one in answer["hosts"]] == [MODELS] * HOSTS
    assert len(json.dumps(answer)) < 10_000
    assert {row["host"] for row in answer["models"]} == {"gpu-00"}


async def test_pages_over_all_hosts_reach_every_row_once(many: tuple[dict[str, str], list[Simulator]]) -> None:
    few = dict(list(many[0].items())[:3])
    rows: list[tuple[str, str]] = []
    arguments: dict[str, Any] = {}
    async with Client(build(few)) as client:
        while True:
            answer = await Host(client)("list_models", host="all", **arguments)
            rows += [(row["host"], row["name"]) for row in answer["models"]]
            assert len(json.dumps(answer)) < 10_000
            if "next_offset" not in answer:
                break
            arguments = {"offset": answer["next_offset"]}
    assert len(rows) == len(set(rows)) == 3 * MODELS


async def test_health_of_many_hosts_keeps_what_needs_attention(many: tuple[dict[str, str], list[Simulator]]) -> None:
    some = dict(list(many[0].items())[:10])
    many[1][3].respond("/api/tags", status=500)
    async with Client(build(some | {"gone": "127.0.0.1:9"})) as client:
        answer = await Host(client)("health", host="all")
    assert len(json.dumps(answer)) < 10_000
    assert [report["status"] for report in answer["hosts"]] == ["ok"] * 3 + ["down"] + ["ok"] * 6 + ["down"]
    assert {check["status"] for report in answer["hosts"] for check in report["checks"]} == {"fail"}


async def test_rows_of_many_hosts_are_cut_with_a_note(many: tuple[dict[str, str], list[Simulator]]) -> None:
    for simulator in many[1]:
        simulator.load("qwen3:8b")
    async with Client(build(many[0])) as client:
        answer = await Host(client)("list_running_models", host="all")
    left = HOSTS - len(answer["models"])
    assert left > 0
    assert answer["next_step"] == f"{left} more of models are left out."


async def test_tools_list_of_fifty_hosts_stays_small() -> None:
    async with Client(build({f"gpu-{number:02}": f"gpu-{number:02}" for number in range(HOSTS)})) as client:
        listed = await client.list_tools()
        refusal = await Host(client).refusal("delete_model", model="a")
    assert len(listed.model_dump_json(by_alias=True, exclude_none=True)) < MAX_LIST_BYTES
    assert "gpu-07" in refusal


async def test_long_names_are_left_to_the_list() -> None:
    names = [f"{'long' * 7}-{number:02}" for number in range(HOSTS)]
    async with Client(build({name: f"h{number}" for number, name in enumerate(names)})) as client:
        tools = (await client.list_tools()).tools
    assert len("".join(tool.model_dump_json(by_alias=True, exclude_none=True) for tool in tools)) < MAX_LIST_BYTES
    assert "a name that list_models lists" in tools[0].input_schema["properties"]["host"]["description"]


async def test_one_named_host_answers_as_the_single_server(running: RunningSimulator) -> None:
    running.simulator.install("qwen3:8b", size_bytes=1_000)
    single = build_server(OllamaSettings.load(base_url=running.base_url))
    answers: list[list[str]] = []
    for server in (single, build({"gpu": running.base_url})):
        async with Client(server) as client:
            host = Host(client)
            found = [await client.list_tools(), await client.list_resources(), await client.list_prompts()]
            found += [await client.list_resource_templates(), await host.result("list_models")]
            found += [await host.result("show_model", model="none"), await host.result("list_pulls", host="gpu")]
            answers.append([client.instructions or "", *(one.model_dump_json() for one in found)])
    assert answers[0] == answers[1]
