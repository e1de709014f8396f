"""search_models as a client calls it: names that can be pulled, and nothing sent that is not needed."""

import json
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs

import pytest

from mcp_ollama.simulator import BAD_GATEWAY, HubRepository, Simulator
from tests.conftest import Connect
from tests.support.searching import CODER_7B, CODER_30B, GATED, GB, GEMMA, RECOMMENDED, SPLIT

RECOMMENDATIONS = "/api/experimental/model-recommendations"
CATALOGUE = "/ollama.com/api/tags"
LIBRARY = "/v2/library/qwen3/manifests/8b"
QUESTION = "a coding model with tools for 12 GB"


@pytest.fixture
def simulator() -> Simulator:
    """An Ollama with one model, and something to find everywhere."""
    simulator = Simulator(tick=0.002)
    simulator.recommendations = [*RECOMMENDED]
    simulator.install("qwen3:8b", size_bytes=5_225_374_368)
    simulator.registry.publish("gemma4", size_bytes=9_000_000_000)
    simulator.registry.publish("qwen3.5", size_bytes=9_500_000_000)
    for name in ("kimi-k2.6:cloud", "qwen3-coder:480b-cloud"):
        simulator.registry.publish(name, remote_host="https://ollama.com:443", remote_model=name)
    for repository in (CODER_7B, CODER_30B, GEMMA, SPLIT, GATED):
        simulator.registry.publish_repository(repository)
    return simulator


def sent_to_huggingface(simulator: Simulator) -> list[str]:
    paths = [seen.path for seen in simulator.requests]
    return [path for path in paths if path.startswith(("/api/models", "/v2/")) and not path.startswith("/v2/library")]


def rows_of(answer: dict[str, Any], source: str) -> list[dict[str, Any]]:
    return [row for row in answer["models"] if row["source"] == source]


def status_of(answer: dict[str, Any], source: str) -> dict[str, str]:
    return next(row for row in answer["sources"] if row["name"] == source)


async def test_question_is_answered_with_a_model_that_fits(simulator: Simulator, connect: Connect) -> None:
    async with connect() as call:
        answer = await call("search_models", query=QUESTION, capability="Tools", max_memory="12 GB")
    first = rows_of(answer, "huggingface")[0]
    assert (first["name"], first["fits"]) == (f"hf.co/{CODER_7B.id}:Q8_0", "likely")
    assert 8_098_525_888 <= first["size_bytes"] < 12 * GB
    assert len(sent_to_huggingface(simulator)) <= 7


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"query": QUESTION, "max_memory": "12 GB"},
        {"query": "qwen3:8b"},
        {"query": "kimi", "sources": ["cloud", "recommended"]},
        {"query": "gemma", "sources": "huggingface", "limit": 1},
    ],
)
async def test_each_name_of_an_answer_passes_plan_pull_unchanged(arguments: dict[str, Any], connect: Connect) -> None:
    async with connect() as call:
        answer = await call("search_models", **arguments)
        assert answer["models"]
        for row in answer["models"]:
            # A gated repository is found, and its terms are to be accepted first.
            if "gated" in row:
                assert "gated" in await call.refusal("plan_pull", model=row["name"])
                continue
            plan = await call("plan_pull", model=row["name"])
            assert (plan["model"], plan["exists"]) == (row["name"], True)
            if row["source"] == "huggingface":
                assert ":" in row["name"].rpartition("/")[2]


async def test_split_and_gated_repositories_are_marked(connect: Connect) -> None:
    async with connect() as call:
        coder = await call("search_models", query="qwen3 coder")
        gated = await call("search_models", query="gated")
    split = next(one for one in rows_of(coder, "huggingface")[0]["quantizations"] if not one["pullable"])
    assert (split["name"], "split into 2 files" in split["reason"]) == ("BF16", True)
    (row,) = rows_of(gated, "huggingface")
    assert (row["gated"], row["name"]) == ("manual", f"huggingface.co/{GATED.id}:Q4_K_M")
    assert "accept the terms" in gated["next_step"]


@pytest.mark.parametrize("pasted", [GEMMA.base_model, f"https://huggingface.co/{GEMMA.base_model}"])
async def test_repository_of_original_weights_finds_those_to_pull(pasted: str, connect: Connect) -> None:
    async with connect() as call:
        answer = await call("search_models", query=pasted)
    assert [row["base_model"] for row in rows_of(answer, "huggingface")] == [GEMMA.base_model]
    assert status_of(answer, "huggingface")["detail"] == (
        f'Asked for "{GEMMA.base_model}", then "{GEMMA.base_model.partition("/")[2]}".'
    )


async def test_next_step_names_the_model_that_most_words_mean(simulator: Simulator, connect: Connect) -> None:
    simulator.recommendations = [{"model": "qwen3:8b", "description": "Reasons"}]
    async with connect() as call:
        answers = [await call("search_models", query=text) for text in ("qwen 2.5 coder 7b instruct", "qwen3")]
    assert {row["name"] for row in rows_of(answers[0], "recommended")} == {"qwen3:8b"}
    names = [answer["next_step"].removeprefix("Call plan_pull with ").partition(" ")[0] for answer in answers]
    assert names == [f"hf.co/{CODER_7B.id}:Q4_K_M", "qwen3:8b"]


async def test_repository_without_a_file_to_pull_is_named(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish_repository(HubRepository(id="some/unnamed-GGUF", files={"model.gguf": 3_000_000_000}))
    async with connect() as call:
        answer = await call("search_models", query="unnamed")
    assert answer["models"] == []
    assert "some/unnamed-GGUF cannot be pulled: " in status_of(answer, "huggingface")["detail"]


async def test_search_that_finds_nothing_small_enough_says_so(connect: Connect) -> None:
    async with connect() as call:
        answer = await call("search_models", query="gemma 3", max_memory="2 GB")
    assert {row["fits"] for row in answer["models"]} == {"unlikely"}
    assert answer["next_step"].startswith("None of these is likely to fit")


async def test_disabled_cloud_is_named_where_it_was_asked_for(simulator: Simulator, connect: Connect) -> None:
    simulator.account, simulator.cloud_disabled = {"name": "me"}, True
    async with connect() as call:
        answer = await call("search_models", query="qwen3 coder", sources=["cloud"])
    assert "OLLAMA_NO_CLOUD" in status_of(answer, "cloud")["detail"]


SOURCES = ("library", "recommended", "huggingface", "cloud")


def stop(simulator: Simulator, source: str) -> None:
    """Break a source."""
    match source:
        case "huggingface":
            simulator.registry.hub.fault = BAD_GATEWAY
        case "recommended":
            simulator.respond(RECOMMENDATIONS, status=500, body='{"error":"broken"}')
        case "library":
            simulator.respond(LIBRARY, status=500)
        case _:
            simulator.respond(CATALOGUE, status=502)


@pytest.mark.parametrize("down", [*combinations(SOURCES, 1), *combinations(SOURCES, 2), SOURCES], ids="-".join)
async def test_answer_comes_with_any_sources_down(
    down: tuple[str, ...], simulator: Simulator, connect: Connect
) -> None:
    for source in down:
        stop(simulator, source)
    async with connect() as call:
        answer = await call("search_models", query="qwen3:8b", sources=list(SOURCES))
    assert {row["name"] for row in answer["sources"] if row["status"] == "failed"} == set(down)
    assert all(row["detail"] for row in answer["sources"] if row["status"] == "failed")
    assert answer["next_step"]
    assert len(json.dumps(answer, ensure_ascii=False)) < 9000
    assert len(sent_to_huggingface(simulator)) <= 7


@pytest.mark.parametrize("settings", [{"search": "off"}, {"hf_hub_offline": True}])
async def test_disabled_search_sends_nothing_to_hugging_face(
    settings: dict[str, Any], simulator: Simulator, connect: Connect
) -> None:
    async with connect(**settings) as call:
        for arguments in ({}, {"query": "qwen3:8b"}, {"query": QUESTION, "sources": ["huggingface"]}):
            answer = await call("search_models", **arguments)
            assert status_of(answer, "huggingface")["status"] == "off"
    assert sent_to_huggingface(simulator) == []


async def test_disabled_search_leaves_the_library_and_recommendations(simulator: Simulator, connect: Connect) -> None:
    simulator.account = {"name": "me"}
    async with connect(search="off") as call:
        answer = await call("search_models", query="qwen3:8b")
    assert [row["name"] for row in answer["models"]] == ["qwen3:8b"]
    assert status_of(answer, "cloud")["detail"] == "Disabled by MCP_OLLAMA_SEARCH=off."
    assert simulator.asked(CATALOGUE) == []


async def test_cloud_is_searched_where_the_server_may_use_it(simulator: Simulator, connect: Connect) -> None:
    async with connect() as call:
        assert not rows_of(await call("search_models", query="qwen3 coder"), "cloud")
        simulator.account = {"name": "me"}
        (row,) = rows_of(await call("search_models", query="qwen3 coder"), "cloud")
        assert (row["name"], row["remote"]) == ("qwen3-coder:480b-cloud", True)
        assert not rows_of(await call("search_models", query="qwen3 coder", max_memory="8 GB"), "cloud")
        simulator.lack("/api/status")
        assert rows_of(await call("search_models", query="qwen3 coder"), "cloud")
        simulator.respond("/api/status", status=500)
        assert not rows_of(await call("search_models", query="qwen3 coder"), "cloud")
        simulator.restore("/api/status")
        simulator.cloud_disabled = True
        assert not rows_of(await call("search_models", query="qwen3 coder"), "cloud")
    # It is remembered for an hour.
    assert len(simulator.asked(CATALOGUE)) == 1


async def test_manifest_of_a_search_is_remembered(simulator: Simulator, connect: Connect) -> None:
    async with connect() as call:
        for _ in range(2):
            await call("search_models", query="qwen3:8b", sources=["library"])
        assert len(simulator.asked(LIBRARY)) == 1
        # A plan is about now.
        await call("plan_pull", model="qwen3:8b")
        assert len(simulator.asked(LIBRARY)) == 2


async def test_stated_memory_of_the_server_decides_what_fits(connect: Connect) -> None:
    async with connect(memory="gpu:6GB ram:64GB") as call:
        (row,) = rows_of(await call("search_models", query="qwen2.5 coder"), "huggingface")
    assert (row["name"].rpartition(":")[2], row["fits"]) == ("Q4_K_M", "likely")


async def test_older_server_without_recommendations_is_named(simulator: Simulator, connect: Connect) -> None:
    simulator.lack(RECOMMENDATIONS)
    async with connect() as call:
        answer = await call("search_models", sources=["recommended"])
    assert answer["models"] == []
    assert "too old" in status_of(answer, "recommended")["detail"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"capability": "coding"}, "'completion', 'tools', 'vision', 'thinking', 'embedding', 'insert'"),
        ({"max_memory": "8"}, 'write it with a unit, such as "8 GB"'),
        ({"max_memory": 8}, 'write it with a unit, such as "8 GB"'),
        ({"max_memory": ["8 GB"]}, 'should be a size, such as "8 GB"'),
        ({"max_memory": True}, 'is not a size: write it with a unit, such as "8 GB"'),
        ({"max_memory": "0 GB"}, "should be more than nothing"),
        ({"sources": ["web"]}, "'library', 'huggingface', 'recommended' or 'cloud'"),
    ],
)
async def test_wrong_argument_is_refused_with_what_is_right(
    arguments: dict[str, Any], expected: str, connect: Connect
) -> None:
    async with connect() as call:
        assert expected in await call.refusal("search_models", **arguments)


async def test_blank_arguments_count_as_left_out(connect: Connect) -> None:
    async with connect() as call:
        blank = await call("search_models", query="gemma", capability="", max_memory=" ", sources=[])
        null = await call("search_models", query="gemma", capability=None, max_memory=None, sources=None)
    assert blank == null


async def test_search_sends_nothing_about_models_servers_or_memory(simulator: Simulator, connect: Connect) -> None:
    simulator.install("secret-project:7b")
    simulator.account = {"name": "me"}
    async with connect(
        headers='{"X-Access": "secret-header"}', api_key="secret-key", memory="gpu:13GB ram:77GB"
    ) as call:
        for arguments in ({}, {"query": QUESTION, "max_memory": "11 GB"}, {"query": "qwen3:8b"}):
            await call("search_models", **arguments)
    own = ("/api/tags", "/api/ps", "/api/show", "/api/status", "/api/me", RECOMMENDATIONS)
    sent = [seen for seen in simulator.requests if seen.path not in own]
    assert {seen.path for seen in sent} >= {"/api/models", CATALOGUE, LIBRARY}
    for seen in sent:
        assert seen.method == "GET"
        assert not seen.body
        assert seen.headers.keys() <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert seen.headers["user-agent"] == "mcp-ollama-manager"
        assert "secret" not in f"{seen.path}?{seen.query}"
    asked = [parse_qs(seen.query) for seen in sent if seen.path == "/api/models"]
    assert [one.get("search") for one in asked] == [None, ["coder"], ["qwen3 8b"], ["qwen3"]]
