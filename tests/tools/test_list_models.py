"""`list_models`, as a host sees it."""

import json
from typing import Any

import pytest

from mcp_ollama.simulator import Fail, Silence, Simulator
from tests.conftest import Connect
from tests.support.client import Host, text_of

JULY = 1_783_000_000.75
"""2026-07-02T13:46:40.75Z."""


async def names(host: Host, **arguments: Any) -> list[str]:
    return [model["name"] for model in (await host("list_models", **arguments))["models"]]


async def test_a_listed_model_has_all_its_fields(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "llama3.2:3b",
        size_bytes=2_000_000_000,
        modified_at=JULY,
        family="llama",
        parameter_size="3.2B",
        quantization="Q4_K_M",
        context_length=131_072,
        capabilities=("completion", "tools"),
    )
    manifest = simulator.model("llama3.2:3b").manifest
    async with connect() as host:
        assert await host("list_models") == {
            "models": [
                {
                    "name": "llama3.2:3b",
                    "size_bytes": manifest.size,
                    "modified_at": "2026-07-02T13:46:40Z",
                    "digest": manifest.digest[:12],
                    "family": "llama",
                    "parameter_size": "3.2B",
                    "quantization": "Q4_K_M",
                    "context_length": 131_072,
                    # /api/tags misses the tools here: only the weights' own template shows them.
                    "capabilities": ["completion", "tools"],
                    "loaded": False,
                    "remote": False,
                }
            ],
            "total_count": 1,
            "matched_count": 1,
            "total_size_bytes": manifest.size,
        }


async def test_an_empty_server_gives_an_empty_list(connect: Connect) -> None:
    async with connect() as host:
        assert await host("list_models") == {
            "models": [],
            "total_count": 0,
            "matched_count": 0,
            "total_size_bytes": 0,
        }


async def test_each_digest_is_shown_once_and_remembered(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.copy("a", "b")
    simulator.install("c")
    async with connect() as host:
        first = await host("list_models")
        asked = len(simulator.asked("/api/show"))
        assert await host("list_models") == first
    assert asked == 2
    assert len(simulator.asked("/api/show")) == asked


async def test_updated_model_is_shown_again(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a", capabilities=("completion",))
    async with connect() as host:
        assert (await host("list_models"))["models"][0]["capabilities"] == ["completion"]
        simulator.install("a", size_bytes=2_000_000, capabilities=("embedding",))
        assert (await host("list_models"))["models"][0]["capabilities"] == ["embedding"]


async def test_the_total_counts_each_digest_once(simulator: Simulator, connect: Connect) -> None:
    size = simulator.install("a", size_bytes=5_000_000).manifest.size
    simulator.copy("a", "b")
    async with connect() as host:
        listed = await host("list_models", contains="nothing like it")
    assert listed == {"models": [], "total_count": 2, "matched_count": 0, "total_size_bytes": size}


LATEST_FIRST = ["new:latest", "mid:latest", "Old:latest"]


SELECTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, LATEST_FIRST),
    ({"sort": "modified"}, LATEST_FIRST),
    ({"sort": "size"}, ["mid:latest", "Old:latest", "new:latest"]),
    ({"sort": "name"}, ["Old:latest", "mid:latest", "new:latest"]),
    ({"contains": "OLD"}, ["Old:latest"]),
    ({"contains": "latest", "sort": "name", "limit": 1}, ["Old:latest"]),
    ({"contains": "", "capability": ""}, LATEST_FIRST),
    ({"capability": "Tools"}, ["new:latest", "Old:latest"]),
    ({"capability": "tools", "contains": "new"}, ["new:latest"]),
    ({"capability": "embedding"}, ["mid:latest"]),
    ({"capability": "telepathy"}, []),
    ({"offset": 3}, []),
    ({"contains": None, "capability": None, "sort": None, "limit": None, "offset": None}, LATEST_FIRST),
    # Hosts and models send numbers as texts, and texts that look like JSON.
    ({"limit": "1"}, ["new:latest"]),
    ({"contains": '["new"]'}, []),
]


async def test_models_are_filtered_sorted_and_paged(
    simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    simulator.install("new", modified_at=JULY, size_bytes=1_000, capabilities=("completion", "tools"))
    simulator.install("Old", modified_at=JULY - 9e6, size_bytes=2_000, capabilities=("completion", "tools"))
    simulator.install("mid", modified_at=JULY - 9, size_bytes=3_000, capabilities=("embedding",))
    async with connect() as host:
        for arguments, expected in SELECTIONS:
            with subtests.test(**arguments):
                assert await names(host, **arguments) == expected


async def test_pages_cover_every_model_once_in_a_steady_order(simulator: Simulator, connect: Connect) -> None:
    for number in range(7):
        simulator.install(f"model{number}", modified_at=JULY)
    seen: list[str] = []
    async with connect() as host:
        offset: int | None = 0
        while offset is not None:
            page = await host("list_models", limit=3, offset=offset)
            seen += [model["name"] for model in page["models"]]
            assert page["matched_count"] == 7
            offset = page.get("next_offset")
    assert seen == [f"model{number}:latest" for number in range(7)]


async def test_a_loaded_model_is_said_to_be(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.install("b")
    simulator.load("b")
    async with connect() as host:
        loaded = {model["name"]: model["loaded"] for model in (await host("list_models"))["models"]}
    assert loaded == {"a:latest": False, "b:latest": True}


async def test_a_cloud_model_is_listed_without_asking_after_it(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "gpt-oss:120b-cloud",
        remote_host="https://ollama.com",
        remote_model="gpt-oss:120b",
        capabilities=("completion", "tools"),
        context_length=131_072,
    )
    async with connect() as host:
        (model,) = (await host("list_models", capability="tools"))["models"]
    assert model["remote"] is True
    assert (model["capabilities"], model["context_length"]) == (["completion", "tools"], 131_072)
    assert not simulator.asked("/api/show")


@pytest.mark.parametrize("fault", [Fail(text="unexpected EOF"), Silence()], ids=["damaged", "silent"])
async def test_a_model_that_cannot_be_shown_is_listed_all_the_same(
    fault: Fail | Silence, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("good", capabilities=("completion", "tools"))
    simulator.install("bad", size_bytes=3_000, template="{{ .Prompt }}", capabilities=("completion",))
    simulator.faults.add("bad", fault, operation="show")
    async with connect(timeout=0.6) as host:
        answer = await host("list_models", capability="completion")
    simulator.faults.clear()
    assert sorted(one["name"] for one in answer["models"]) == ["bad:latest", "good:latest"]
    assert answer["next_step"] == "What bad:latest can do could not be read in full: call again, or see health."
    # Once is enough, though both the filter and the answer need it.
    assert len(simulator.asked("/api/show")) == 2


async def test_capability_of_no_model_is_answered_with_those_there_are(simulator: Simulator, connect: Connect) -> None:
    async with connect() as host:
        assert "There are: none." in (await host("list_models", capability="tools"))["next_step"]
        simulator.install("chat", size_bytes=1, capabilities=("completion", "tools"))
        simulator.install("embed", size_bytes=2, capabilities=("embedding",))
        answer = await host("list_models", capability="embeddings")
        assert answer["next_step"] == ("None has the capability 'embeddings'. There are: completion, embedding, tools.")
        assert "next_step" not in await host("list_models", capability=" Embedding ")


async def test_of_many_models_that_cannot_be_read_a_few_are_named(simulator: Simulator, connect: Connect) -> None:
    for number in range(7):
        simulator.install(f"m{number}", size_bytes=number + 1)
    simulator.respond("/api/show", status=500)
    async with connect() as host:
        assert ", m4:latest and 2 more can do" in (await host("list_models", capability="tools"))["next_step"]


async def test_a_name_that_our_parser_refuses_is_listed_all_the_same(simulator: Simulator, connect: Connect) -> None:
    simulator.respond("/api/tags", body=json.dumps({"models": [{"name": "what is this?"}]}))
    async with connect() as host:
        assert await names(host) == ["what is this?"]
    assert not simulator.asked("/api/show")


async def test_old_server_without_capabilities_and_with_nulls_is_understood(
    simulator: Simulator, connect: Connect
) -> None:
    row: dict[str, Any] = {"name": "a:latest", "modified_at": None, "size": 5, "digest": None}
    simulator.respond("/api/tags", body=json.dumps({"models": [row | {"details": {"family": None}}, {"name": "b:1"}]}))
    simulator.respond("/api/ps", body='{"models":null}')
    simulator.respond("/api/show", body='{"modelfile":"","parameters":null,"license":null,"details":{}}')
    bare: dict[str, Any] = {"digest": "", "capabilities": [], "loaded": False, "remote": False}
    async with connect() as host:
        assert await host("list_models") == {
            "models": [{"name": "a:latest", "size_bytes": 5, **bare}, {"name": "b:1", "size_bytes": 0, **bare}],
            "total_count": 2,
            "matched_count": 2,
            "total_size_bytes": 5,
        }
        assert await host("show_model", model="a") == {"name": "a:latest", "size_bytes": 5, "parameters": {}, **bare}


async def test_two_hundred_models_fit_into_one_answer(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "somebody/model0:7b-instruct-q4_K_M", size_bytes=4_000_000_000, capabilities=("completion", "tools")
    )
    for number in range(1, 201):
        simulator.copy("somebody/model0:7b-instruct-q4_K_M", f"somebody/model{number}:7b-instruct-q4_K_M")
    async with connect() as host:
        result = await host.result("list_models", limit=200)
    assert result.structured_content is not None
    assert len(result.structured_content["models"]) == result.structured_content["next_offset"] == 200
    assert len(text_of(result)) < 60_000
