"""A search as a whole: which rows come from which source, and what is left when sources fail."""

from typing import Any, NoReturn

import anyio
import pytest

from mcp_ollama.models.search.found_model import FoundQuantization, Source
from mcp_ollama.models.search.search import SearchRequest, search
from mcp_ollama.ollama.errors import OllamaConnectionError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import (
    BAD_GATEWAY,
    RATE_LIMITED,
    RATE_LIMITED_WITHOUT_TIME,
    SIGN_IN_PAGE,
    HubRepository,
)
from mcp_ollama.sources.huggingface import HuggingFace
from tests.support.searching import CODER_7B, CODER_30B, GATED, GB, GEMMA, Searching, names, report, row

ALL: tuple[Source, ...] = ("library", "recommended", "huggingface", "cloud")


async def fails() -> NoReturn:
    raise OllamaConnectionError("Nothing answers at http://127.0.0.1:9.")


async def is_true() -> bool:
    return True


async def test_question_finds_the_largest_quantization_that_fits(find: Searching) -> None:
    result = await find("a coding model with tools for 12 GB", max_memory_bytes=12 * GB)
    first = next(one for one in result.models if one.source == "huggingface")
    assert first.name == "hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q8_0"
    assert (first.fits, first.author, first.base_model) == ("likely", "bartowski", "Qwen/Qwen2.5-Coder-7B-Instruct")
    assert (first.license, first.parameter_count, first.context_length) == ("apache-2.0", 7_615_616_512, 32_768)
    assert (first.capabilities, first.downloads) == (["completion"], 900)
    assert first.updated_at == "2026-02-01T06:29:38Z"
    assert report(result, "huggingface").detail == 'Asked for "coder".'
    assert find.requests_to_hub == 4


async def test_question_without_memory_names_the_usual_quantization(find: Searching) -> None:
    result = await find("coder")
    assert names(result, "huggingface") == [f"hf.co/{CODER_30B.id}:Q4_K_M", f"hf.co/{CODER_7B.id}:Q4_K_M"]
    assert {one.fits for one in result.models} == {None}


async def test_memory_of_the_server_counts_when_none_is_given(find: Searching) -> None:
    async def six() -> int:
        return 6 * GB

    result = await find.replaced(available_memory=six)("coder")
    rows = [one for one in result.models if one.source == "huggingface"]
    assert [(one.name.rpartition(":")[2], one.fits) for one in rows] == [
        ("Q4_K_M", "likely"),
        ("UD-Q2_K_XL", "unlikely"),
    ]
    result = await find.replaced(available_memory=six)("", sources=["recommended", "huggingface"])
    assert "gemma4" not in (result.next_step or "")


async def test_size_of_the_first_choice_is_that_of_its_manifest(find: Searching) -> None:
    result = await find("gemma 4b", max_memory_bytes=4 * GB)
    name = f"hf.co/{GEMMA.id}:Q4_K_M"
    manifest = find.simulator.registry.manifests["ggml-org", "gemma-3-4b-it-GGUF", "Q4_K_M"]
    assert row(result, name).size_bytes == manifest.size
    assert row(result, name).capabilities == ["completion", "vision"]


async def test_split_quantization_is_listed_with_its_reason(find: Searching) -> None:
    result = await find("qwen3 coder")
    assert row(result, f"hf.co/{CODER_30B.id}:Q4_K_M").quantizations == [
        FoundQuantization(
            name="BF16",
            size_bytes=61_000_000_000,
            pullable=False,
            reason="split into 2 files, which cannot be pulled",
        ),
        FoundQuantization(name="Q4_K_M", size_bytes=18_556_689_568 + _overhead(find), pullable=True),
        FoundQuantization(name="UD-Q2_K_XL", size_bytes=11_800_000_000, pullable=True),
    ]


def _overhead(find: Searching) -> int:
    """Return the bytes of the configuration, which the manifest adds to the file."""
    return find.simulator.registry.manifests["unsloth", CODER_30B.id.partition("/")[2], "Q4_K_M"].config.size


async def test_repository_of_split_files_only_is_no_row(find: Searching) -> None:
    result = await find("smollm2")
    assert names(result) == []
    assert "holds split files only" in (report(result, "huggingface").detail or "")
    assert result.next_step is not None


async def test_gated_repository_is_named_by_its_own_host(find: Searching) -> None:
    result = await find("gated model")
    found = row(result, f"huggingface.co/{GATED.id}:Q4_K_M")
    assert found.gated == "manual"
    assert "Gated: accept the terms" in (result.next_step or "")


async def test_exact_name_in_the_library_comes_first(find: Searching) -> None:
    find.simulator.registry.publish_repository(HubRepository(id="unsloth/Qwen3-8B-GGUF", quantizations={"Q4_K_M": 5}))
    for query in ("qwen3:8b", "qwen3 8b"):
        result = await find(query)
        assert names(result) == ["qwen3:8b", "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M"]
        assert (result.models[0].source, result.models[0].installed) == ("library", True)
        assert result.next_step is not None
        assert result.next_step.startswith("qwen3:8b is installed already: see show_model. Prefer qwen3:8b from ")


async def test_name_the_library_lacks_is_reported(find: Searching) -> None:
    result = await find("nosuch")
    assert report(result, "library").detail == "No model is named exactly nosuch:latest."
    assert (result.models, result.next_step) == (
        [],
        "Search with fewer words, such as the family alone (qwen3, llama3.2, gemma3).",
    )


async def test_cloud_name_in_the_library_is_remote_and_needs_no_memory(find: Searching) -> None:
    find.simulator.registry.publish("gpt-oss:120b-cloud", remote_host="https://ollama.com:443", remote_model="gpt-oss")
    result = await find("gpt-oss:120b-cloud", sources=["library"])
    assert (result.models[0].remote, result.models[0].size_bytes) == (True, None)
    assert result.next_step == "gpt-oss:120b-cloud runs on ollama.com: pull_model fetches only a reference to it."
    result = await find("gpt-oss:120b-cloud", sources=["library"], max_memory_bytes=GB)
    assert (result.models, result.sources[0].status) == ([], "off")


async def test_empty_query_shows_recommended_and_popular_models(find: Searching) -> None:
    result = await find(max_memory_bytes=13 * 1000**3)
    assert [one.name for one in result.sources] == ["recommended", "huggingface"]
    assert (result.next_step or "").startswith("Call plan_pull with gemma4:latest")
    gemma, qwen = [one for one in result.models if one.source == "recommended"]
    assert (gemma.name, gemma.fits, gemma.description) == (
        "gemma4:latest",
        "likely",
        "Reasoning and code generation locally",
    )
    assert (qwen.fits, qwen.description) == ("unlikely", "Visual understanding locally")
    assert names(result, "huggingface")[0] == f"huggingface.co/{GATED.id}:Q4_K_M"
    assert report(result, "huggingface").detail is not None


async def test_recommended_models_match_words_of_their_descriptions(find: Searching) -> None:
    assert names(await find("coding"), "recommended") == ["gemma4:latest"]
    assert names(await find("zephyr"), "recommended") == []


async def test_recommended_cloud_models_need_the_cloud(find: Searching) -> None:
    allowed = find.replaced(may_use_cloud=is_true)
    cloud = "kimi-k2.6:cloud"
    assert cloud not in names(await find(sources=["recommended"]))
    result = await allowed(sources=["recommended"])
    assert row(result, cloud).remote is True
    assert row(result, cloud).context_length == 262_144
    assert cloud not in names(await allowed(sources=["recommended"], max_memory_bytes=GB))


async def test_recommended_name_that_is_malformed_is_counted(find: Searching) -> None:
    find.simulator.recommendations = [{"model": "../x y"}, {"model": ""}]
    result = await find(sources=["recommended"])
    assert (result.models, result.dropped_count) == ([], 2)


@pytest.mark.parametrize("status", [404, 500])
async def test_server_without_recommendations_is_reported(find: Searching, status: int) -> None:
    find.simulator.respond("/api/experimental/model-recommendations", status=status, body="{}")
    result = await find(sources=["recommended"])
    assert result.sources[0].status == {404: "off", 500: "failed"}[status]


async def test_cloud_rows_come_only_where_the_server_may_use_them(find: Searching) -> None:
    assert [one.name for one in (await find("gpt-oss")).sources] == ["library", "recommended", "huggingface"]
    result = await find.replaced(may_use_cloud=is_true)("gpt-oss")
    assert names(result, "cloud") == ["gpt-oss:120b-cloud"]
    assert (result.models[-1].remote, result.dropped_count) == (True, 1)
    assert report(result, "cloud").detail is None


async def test_cloud_rows_never_come_under_a_memory_limit(find: Searching) -> None:
    allowed = find.replaced(may_use_cloud=is_true)
    assert "cloud" not in {one.name for one in (await allowed("kimi", max_memory_bytes=GB)).sources}
    result = await allowed("kimi", max_memory_bytes=GB, sources=["cloud"])
    assert (result.models, report(result, "cloud").status) == ([], "off")


async def test_cloud_asked_for_by_name_says_that_it_is_not_usable(find: Searching) -> None:
    result = await find("", sources=["cloud"])
    assert names(result) == ["gpt-oss:120b-cloud", "kimi-k3:cloud", "qwen3-coder:480b-cloud"]
    assert "sign in" in (report(result, "cloud").detail or "")


async def test_disabled_sources_send_nothing(find: Searching) -> None:
    result = await find.replaced(huggingface=None, cloud_catalogue=None)("coder", sources=ALL)
    assert [one.status for one in result.sources] == ["ok", "ok", "off", "off"]
    offline = HuggingFace(offline=True)
    result = await find.replaced(huggingface=offline)("coder", sources=["huggingface"])
    assert result.sources[0].detail == "Disabled by HF_HUB_OFFLINE."
    assert find.requests_to_hub == 0


@pytest.mark.parametrize("fault", [SIGN_IN_PAGE, BAD_GATEWAY, RATE_LIMITED, RATE_LIMITED_WITHOUT_TIME])
async def test_hub_that_fails_leaves_the_other_sources(find: Searching, fault: Any) -> None:
    find.hub.fault = fault
    result = await find("qwen3:8b")
    assert names(result, "library") == ["qwen3:8b"]
    assert report(result, "huggingface").status == "failed"
    assert report(result, "huggingface").detail


async def test_all_sources_down_say_what_to_do(find: Searching) -> None:
    async def look_up(_name: ModelName) -> NoReturn:
        await fails()

    find.hub.fault = BAD_GATEWAY
    down = find.replaced(
        look_up=look_up,
        recommendations=fails,
        installed_names=fails,
        available_memory=fails,
        may_use_cloud=fails,
        cloud_catalogue=fails,
    )
    result = await down("qwen3:8b", sources=ALL)
    assert ([one.status for one in result.sources], result.models) == (["failed"] * 4, [])
    assert "plan_pull looks up one exact name" in (result.next_step or "")


async def test_silent_sources_end_at_the_limit(find: Searching) -> None:
    async def hang(*_arguments: object) -> NoReturn:
        await anyio.sleep_forever()
        raise AssertionError

    silent = find.replaced(look_up=hang, installed_names=hang).sources
    request = SearchRequest(query="qwen3:8b", sources=["library", "recommended"])
    with anyio.fail_after(5):
        result = await search(request, silent, seconds=0.3)
    assert report(result, "library").detail == "No answer within 0.3 s."
    assert report(result, "recommended").status == "ok"


async def test_capability_sorts_rows_that_state_it_first(find: Searching) -> None:
    result = await find("", capability="Vision ", sources=["huggingface"])
    assert names(result)[0] == f"hf.co/{GEMMA.id}:Q4_K_M"
    assert len(names(result)) == 4


async def test_embedding_model_is_found_by_its_word(find: Searching) -> None:
    fields = {"pipeline_tag": "feature-extraction", "tags": ["gguf"]}
    repository = HubRepository(id="nomic-ai/nomic-embed-text-GGUF", quantizations={"Q8_0": 5}, fields=fields)
    find.simulator.registry.publish_repository(repository)
    result = await find("nomic embed")
    assert result.models[-1].capabilities == ["embedding"]


async def test_model_without_a_chat_template_states_no_capability(find: Searching) -> None:
    repository = HubRepository(
        id="user/Base-GGUF", quantizations={"Q8_0": 5}, fields={"tags": ["gguf"], "lastModified": None}
    )
    find.simulator.registry.publish_repository(repository)
    found = (await find("base")).models[-1]
    assert (found.capabilities, found.updated_at, found.license) == (None, None, None)


async def test_repository_without_weights_or_disabled_is_no_row(find: Searching) -> None:
    for repository in (
        HubRepository(id="user/Zephyr-Empty-GGUF"),
        HubRepository(id="user/Zephyr-Off-GGUF", quantizations={"Q8_0": 5}, fields={"disabled": True}),
    ):
        find.simulator.registry.publish_repository(repository)
        find.hub.rows.append({"id": repository.id, "tags": ["conversational"]})
    result = await find("zephyr")
    found = report(result, "huggingface")
    assert (result.models, found.status) == ([], "ok")
    assert "user/Zephyr-Off-GGUF is disabled." in (found.detail or "")


async def test_token_that_is_refused_is_reported(find: Searching) -> None:
    hub = find.sources.huggingface
    assert hub is not None
    hub.is_token_refused = True
    assert "HF_TOKEN was refused" in (report(await find("coder"), "huggingface").detail or "")


async def test_longest_answer_stays_short(find: Searching) -> None:
    for number in range(5):
        labels = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "Q2_K")
        repository = HubRepository(
            id=f"{'u' * 70}{number}/Coder-{number}-{'r' * 60}",
            quantizations={label: 10**11 + index for index, label in enumerate(labels)},
            base_model=f"{'b' * 70}{number}/{'m' * 70}",
        )
        find.simulator.registry.publish_repository(repository)
    find.simulator.recommendations = [
        {"model": f"{'n' * 70}{number}", "description": "code " * 100} for number in range(9)
    ]
    result = await find("coder", sources=ALL)
    assert len(names(result, "huggingface")) == 5
    assert len(names(result, "recommended")) == 5
