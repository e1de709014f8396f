"""The search on Hugging Face: what one repository that fails costs, and how many requests are sent."""

import json
from pathlib import Path

import pytest

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import HubRepository
from tests.support.searching import CODER_7B, CODER_30B, GB, GEMMA, Searching, names, report, row

TRAPS = json.loads((Path(__file__).parents[2] / "data" / "finding" / "hf_search_traps.json").read_text("utf-8"))


async def test_repository_that_cannot_be_read_costs_its_row_only(find: Searching) -> None:
    find.simulator.respond(f"/api/models/{CODER_30B.id}", status=500, body="{}")
    result = await find("coder")
    assert names(result, "huggingface") == [f"hf.co/{CODER_7B.id}:Q4_K_M"]
    assert report(result, "huggingface").status == "partial"
    assert f"{CODER_30B.id} could not be read" in (report(result, "huggingface").detail or "")


async def test_rate_limit_between_search_and_files_is_reported_once(find: Searching) -> None:
    find.hub.remaining = 40
    result = await find("coder")
    assert names(result, "huggingface") == []
    detail = report(result, "huggingface").detail or ""
    assert (report(result, "huggingface").status, detail.count("could not be read")) == ("failed", 1)
    assert "2 repositories could not be read" in detail


async def test_tag_the_registry_refuses_is_marked_and_replaced(find: Searching) -> None:
    path = "/v2/unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF/manifests/Q4_K_M"
    find.simulator.respond(path, status=400, body='{"error": "This tag is a sharded GGUF."}')
    result = await find("qwen3 coder")
    found = row(result, f"hf.co/{CODER_30B.id}:UD-Q2_K_XL")
    refused = next(one for one in found.quantizations or () if one.name == "Q4_K_M")
    assert not refused.pullable
    assert refused.reason


@pytest.mark.parametrize("query", [f"hf.co/{CODER_30B.id}:UD-Q2_K_XL", "qwen3 coder ud-q2_k_xl"])
async def test_quantization_that_the_query_names_is_chosen(find: Searching, query: str) -> None:
    assert names(await find(query), "huggingface")[0] == f"hf.co/{CODER_30B.id}:UD-Q2_K_XL"
    unknown = query.lower().replace("ud-q2_k_xl", "q8_0")
    assert names(await find(unknown), "huggingface")[0] == f"hf.co/{CODER_30B.id}:Q4_K_M"


async def test_repository_whose_only_tag_is_refused_is_no_row(find: Searching) -> None:
    only = HubRepository(id="user/Only-GGUF", quantizations={"Q4_K_M": 5})
    find.simulator.registry.publish_repository(only)
    find.simulator.registry.withdraw("hf.co/user/Only-GGUF:Q4_K_M")
    assert names(await find("only")) == []


async def test_manifest_that_cannot_be_read_keeps_the_row(find: Searching) -> None:
    path = f"/v2/{CODER_30B.id}/manifests/Q4_K_M"
    find.simulator.respond(path, status=502, body="")
    result = await find("qwen3 coder")
    assert names(result, "huggingface") == [f"hf.co/{CODER_30B.id}:Q4_K_M"]
    assert report(result, "huggingface").status == "partial"


async def test_words_that_find_nothing_are_halved(find: Searching) -> None:
    result = await find("gemma zebra quagga okapi")
    assert names(result, "huggingface") == [f"hf.co/{GEMMA.id}:Q4_K_M"]
    assert report(result, "huggingface").detail == (
        'Asked for "gemma zebra quagga okapi", then "gemma zebra", then "gemma".'
    )
    assert find.requests_to_hub == 5


async def test_question_without_a_model_word_asks_for_what_is_popular(find: Searching) -> None:
    result = await find("the best model", limit=1)
    assert "No word of the query names a model." in (report(result, "huggingface").detail or "")
    assert len(names(result, "huggingface")) == 1


@pytest.mark.parametrize("query", ["", "coder", "gemma 4b", "qwen3:8b"])
async def test_every_name_is_found_in_its_registry_as_it_is(find: Searching, query: str) -> None:
    result = await find(query, max_memory_bytes=12 * GB, sources=["library", "huggingface"])
    pullable = [one for one in result.models if not one.gated]
    assert pullable
    for one in pullable:
        assert (await find.sources.look_up(ModelName.parse(one.name))).total_bytes >= (one.size_bytes or 0)


async def test_rows_of_strangers_are_dropped_and_counted(find: Searching) -> None:
    find.hub.rows += TRAPS["exchanges"][0]["response"]["body"]
    find.hub.rows.append({"id": "evil/$(rm -rf)", "downloads": 10**9})
    result = await find("", sources=["huggingface"])
    text = result.model_dump_json()
    assert result.dropped_count == 2
    assert not any(word in text for word in ("SYSTEM", "approved", "rm -rf", "gpt2", "mxbai", "heretic", "Guard"))
    assert "left out" in (report(result, "huggingface").detail or "")
    assert find.requests_to_hub <= 7


async def test_most_requests_of_a_search_are_seven(find: Searching) -> None:
    for number in range(20):
        find.simulator.registry.publish_repository(
            HubRepository(id=f"user/Zephyr-{number}-GGUF", quantizations={"Q4_K_M": 5}, downloads=number)
        )
    result = await find("zephyr zebra", limit=5)
    assert find.requests_to_hub == 7
    assert len(names(result, "huggingface")) == 4


async def test_renamed_repository_comes_under_its_new_name(find: Searching) -> None:
    find.hub.rows.append({"id": "old/Coder-GGUF", "downloads": 10**6, "tags": ["conversational"]})
    find.hub.renamed["old/Coder-GGUF"] = CODER_7B.id
    result = await find("old coder")
    assert names(result, "huggingface") == [f"hf.co/{CODER_7B.id}:Q4_K_M"]
