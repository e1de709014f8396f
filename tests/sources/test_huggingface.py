"""Hugging Face's API: what is sent, what is read, and what limits both."""

import json
from typing import Any

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.errors import OllamaConnectionError, OllamaResponseError, OllamaTimeoutError
from mcp_ollama.sources.hub_answers import MAX_FILES, MAX_ROWS, HubFile
from mcp_ollama.sources.hub_errors import RepositoryUnavailableError, RequestLimitError
from mcp_ollama.sources.huggingface import MAX_ANSWER_BYTES, HuggingFace, RequestBudget
from tests.sources.hub import API, REPOSITORY, Clock, content_of, exchanges, failure, noted, reply, requests, search

ROWS = exchanges("hf_search")[0]["response"]["body"]


async def test_search_sends_the_query_and_flat_fields_only(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).mock(return_value=reply(exchanges("hf_search")[0]))
    await search(hub, "qwen3 coder")
    await search(hub, "")
    first, second = requests(wire)
    assert first.url.params["search"] == "qwen3 coder"
    assert (first.url.params["apps"], first.url.params["sort"]) == ("ollama", "downloads")
    assert "search" not in second.url.params
    assert second.url.params["sort"] == "trendingScore"
    assert {"gguf", "cardData"}.isdisjoint(first.url.params.get_list("expand[]"))
    assert first.headers["accept-encoding"] == "identity"
    assert "authorization" not in first.headers


async def test_search_rows_are_read_with_base_model_and_license(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).mock(return_value=reply(exchanges("hf_search")[0]))
    page = await search(hub)
    first = page.repositories[0]
    assert [one.id for one in page.repositories] == [row["id"] for row in ROWS]
    assert (first.author, first.base_model, first.relation) == (
        "unsloth",
        "Qwen/Qwen3-Coder-30B-A3B-Instruct",
        "quantized",
    )
    assert (first.license, first.has_chat_template, first.downloads, first.gated) == (
        "apache-2.0",
        True,
        11047071,
        None,
    )


async def test_search_rows_of_strangers_are_read_or_dropped(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).mock(return_value=reply(exchanges("hf_search_traps")[0]))
    page = await search(hub)
    by_id = {one.id: one for one in page.repositories}
    assert "gpt2" not in by_id
    assert page.dropped_count == 1
    bare = by_id["example-user/bare-row"]
    assert (bare.tags, bare.gated, bare.license, bare.base_model, bare.relation) == (None, None, None, None, None)
    assert by_id["example-lab/gated-model-GGUF"].gated == "manual"
    assert by_id["example-lab/gated-model-GGUF"].license is None


@pytest.mark.parametrize(
    "row",
    [
        {"id": "user/../etc"},
        {"id": "user/re po"},
        {"id": "user/repo\n"},
        {"id": "user/" + "r" * 81},
        {"id": 7},
        {},
        [],
        "text",
        None,
    ],
)
async def test_search_row_without_a_usable_name_is_dropped(
    wire: respx.MockRouter, hub: HuggingFace, row: object
) -> None:
    wire.get(API).respond(json=[row, {"id": "user/repo"}])
    page = await search(hub)
    assert ([one.id for one in page.repositories], page.dropped_count) == (["user/repo"], 1)


async def test_search_row_with_wrong_types_keeps_its_name(wire: respx.MockRouter, hub: HuggingFace) -> None:
    row: dict[str, Any] = {
        "id": "user/repo",
        "downloads": "many",
        "tags": {"license": 1},
        "gated": True,
        "private": [],
        "lastModified": "yesterday",
        "pipeline_tag": 5,
        "baseModels": {"relation": 4, "models": [{"id": "$(rm)"}]},
    }
    wire.get(API).respond(json=[row, {"id": "u/r", "baseModels": 3, "gated": 5, "lastModified": "2026-01-01"}])
    first, second = (await search(hub)).repositories
    assert (first.downloads, first.tags, first.gated, first.lastModified) == (None, None, "manual", None)
    assert (first.base_model, first.relation) == (None, None)
    assert (second.gated, second.base_model) == (None, None)
    assert str(second.lastModified) == "2026-01-01 00:00:00+00:00"


async def test_repository_is_read_with_sizes_of_weights_only(wire: respx.MockRouter, hub: HuggingFace) -> None:
    recorded = exchanges("hf_model_info")[1]
    wire.get(f"{API}/ggml-org/gemma-3-1b-it-GGUF").mock(return_value=reply(recorded))
    content = await content_of(hub, "ggml-org/gemma-3-1b-it-GGUF")
    assert content.files == (
        HubFile("gemma-3-1b-it-Q4_K_M.gguf", 806058144),
        HubFile("gemma-3-1b-it-Q8_0.gguf", 1069306464),
        HubFile("gemma-3-1b-it-f16.gguf", 2006573568),
    )
    assert (content.parameter_count, content.context_length) == (999885952, 32768)
    assert requests(wire)[0].url.query == b"blobs=true"


async def test_repository_files_with_odd_names_or_sizes_are_dropped(wire: respx.MockRouter, hub: HuggingFace) -> None:
    names = ["../x-Q4_0.gguf", "a/../x-Q4_0.gguf", "$(x)-Q4_0.gguf", "x\n-Q4_0.gguf", "a b.gguf", "/x.gguf"]
    siblings: list[Any] = [{"rfilename": name, "size": 5} for name in names]
    siblings += [{"rfilename": "big-Q8_0.gguf", "size": 10**16}, {"rfilename": None}, 4, {"rfilename": "x-Q2_K.gguf"}]
    siblings += [{"rfilename": "y-Q4_K_M.gguf", "size": 134, "lfs": {"size": 807694464}}]
    wire.get(f"{API}/u/r").respond(json={"id": "u/r", "siblings": siblings, "gguf": "no"})
    content = await content_of(hub, "u/r")
    assert content.files == (HubFile("y-Q4_K_M.gguf", 807694464),)
    assert (content.dropped_count, content.parameter_count) == (len(names), None)


async def test_answer_of_very_many_rows_is_read_in_part(wire: respx.MockRouter, hub: HuggingFace) -> None:
    siblings = [{"rfilename": f"x-{number}-Q4_0.gguf", "size": 5} for number in range(MAX_FILES + 5)]
    wire.get(f"{API}/u/r").respond(json={"id": "u/r", "siblings": siblings})
    wire.get(API).respond(json=[{"id": f"u/r{number}"} for number in range(MAX_ROWS + 5)])
    assert len((await content_of(hub, "u/r")).files) == MAX_FILES
    assert len((await search(hub)).repositories) == MAX_ROWS


async def test_repository_that_was_renamed_comes_under_its_new_name(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(f"{API}/BARTOWSKI/llama-3.2-1b-instruct-gguf").mock(return_value=noted("hf_errors", "renamed"))
    wire.get(f"{API}/{REPOSITORY}").respond(json={"id": REPOSITORY})
    content = await content_of(hub, "BARTOWSKI/llama-3.2-1b-instruct-gguf")
    assert (content.repository.id, content.files) == (REPOSITORY, ())


async def test_repository_with_thousands_of_files_is_read_by_tree(wire: respx.MockRouter, hub: HuggingFace) -> None:
    pages = [one for one in exchanges("hf_tree") if "many-files-GGUF" in one["request"]["url"]]
    url = f"{API}/example-user/many-files-GGUF"
    wire.get(url, params={"blobs": "true"}).respond(text=" " * (MAX_ANSWER_BYTES + 1))
    wire.get(url, params={"expand[]": "gated"}).respond(json={"id": "example-user/many-files-GGUF", "gated": "auto"})
    wire.get(f"{url}/tree/main").mock(side_effect=[reply(page) for page in pages])
    content = await content_of(hub, "example-user/many-files-GGUF")
    assert content.files == (HubFile("many-Q4_K_M.gguf", 4_000_000_000),)
    assert content.repository.gated == "auto"
    assert requests(wire)[-1].url.params["cursor"] == "ZXhhbXBsZQ=="


@pytest.mark.parametrize(
    "link",
    ['<https://elsewhere.example/x?cursor=abc>; rel="next"', '<https://[/?cursor=abc>; rel="next"'],
)
async def test_repository_link_to_another_host_is_never_followed(
    wire: respx.MockRouter, hub: HuggingFace, link: str
) -> None:
    wire.get(f"{API}/u/r", params={"blobs": "true"}).respond(text=" " * (MAX_ANSWER_BYTES + 1))
    wire.get(f"{API}/u/r", params={"expand[]": "gated"}).respond(json={"id": "u/r"})
    wire.get(f"{API}/u/r/tree/main").respond(json=[], headers={"link": link})
    if "elsewhere" in link:
        assert "too many files" in str(await failure(hub, "u/r"))
    else:
        assert (await content_of(hub, "u/r")).files == ()
    assert {request.url.host for request in requests(wire)} == {"huggingface.co"}


async def test_repository_in_memory_needs_no_request_for_an_hour(
    wire: respx.MockRouter, hub: HuggingFace, clock: Clock
) -> None:
    route = wire.get(f"{API}/u/r").respond(json={"id": "u/r"})
    for wait, expected in ((0, 1), (3599, 1), (2, 2)):
        clock.now += wait
        await hub.get_repository("u/r", RequestBudget(1), sha="one")
        assert route.call_count == expected
    await hub.get_repository("u/r", RequestBudget(1), sha="two")
    assert route.call_count == 3


async def test_search_in_memory_needs_no_request_for_ten_minutes(
    wire: respx.MockRouter, hub: HuggingFace, clock: Clock
) -> None:
    route = wire.get(API).respond(json=[])
    await search(hub)
    wire.get(API).mock(side_effect=httpx.ConnectError("offline"))
    await search(hub, requests=0)
    assert route.call_count == 1
    clock.now += 601
    assert isinstance(await failure(hub), OllamaConnectionError)


async def test_memory_keeps_the_newest_searches_only(wire: respx.MockRouter, hub: HuggingFace) -> None:
    route = wire.get(API).respond(json=[])
    for number in range(65):
        await search(hub, f"word{number}")
    await search(hub, "word64")
    assert route.call_count == 65
    await search(hub, "word0")
    assert route.call_count == 66


async def test_budget_counts_every_hop(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).respond(307, headers={"location": "/api/models"})
    with pytest.raises(OllamaResponseError, match="redirects more than 3 times"):
        await search(hub)
    assert len(requests(wire)) == 4
    with pytest.raises(RequestLimitError):
        await search(hub, requests=2)
    assert len(requests(wire)) == 6


@pytest.mark.parametrize(
    "location", ["http://huggingface.co/x", "https://evil.example/x", "//evil.example", "https://[/", "http:"]
)
async def test_redirect_to_another_place_is_not_followed(
    wire: respx.MockRouter, hub: HuggingFace, location: str
) -> None:
    wire.get(API).respond(307, headers={"location": location})
    error = await failure(hub)
    assert isinstance(error, OllamaResponseError)
    assert len(requests(wire)) == 1


@pytest.mark.parametrize("note", ["anonymous: missing", "with a valid token"])
async def test_repository_missing_or_private_is_named(wire: respx.MockRouter, hub: HuggingFace, note: str) -> None:
    wire.get(f"{API}/no-such-user/no-such-repo").mock(return_value=noted("hf_errors", note))
    error = await failure(hub, "no-such-user/no-such-repo")
    assert isinstance(error, RepositoryUnavailableError)
    assert "no public repository no-such-user/no-such-repo: it is missing, private or misspelt" in str(error)


async def test_token_that_is_refused_is_not_sent_again(wire: respx.MockRouter) -> None:
    hub = HuggingFace(token="hf_EXPIRED")
    empty = httpx.Response(200, json=[])
    wire.get(API).mock(side_effect=[noted("hf_errors", "a bad token"), empty, empty])
    await search(hub)
    await search(hub, "other")
    sent = [request.headers.get("authorization") for request in requests(wire)]
    assert sent == ["Bearer hf_EXPIRED", None, None]
    assert hub.is_token_refused
    await hub.aclose()


async def test_token_is_never_sent_to_a_mirror(wire: respx.MockRouter) -> None:
    hub = HuggingFace("https://hf-mirror.com/", token="hf_SECRET")
    wire.get("https://hf-mirror.com/api/models").respond(json=[])
    await search(hub)
    assert "authorization" not in requests(wire)[0].headers
    await hub.aclose()


async def test_offline_sends_nothing(wire: respx.MockRouter) -> None:
    hub = HuggingFace(offline=True)
    assert "HF_HUB_OFFLINE is set" in str(await failure(hub))
    assert requests(wire) == []
    await hub.aclose()


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "huggingface.co",
        "http://huggingface.co",
        "https://",
        "https://u:p@hf.co",
        "ftp://hf.co",
        "https://hf.co?x=1",
    ],
)
def test_endpoint_that_is_not_secure_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="HF_ENDPOINT"):
        HuggingFace(endpoint)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("'trending' is refused", 'answered 400: ✖ Invalid option: expected one of "createdAt"'),
        ("captive portal", "What answers at huggingface.co is not the API of Hugging Face."),
    ],
)
async def test_answer_that_is_none_is_a_sentence(
    wire: respx.MockRouter, hub: HuggingFace, note: str, words: str
) -> None:
    wire.get(API).mock(return_value=noted("hf_errors", note))
    error = await failure(hub)
    assert words in str(error)
    assert error.next_step


async def test_answer_of_a_broken_gateway_is_a_sentence(wire: respx.MockRouter, hub: HuggingFace) -> None:
    recorded = next(one for one in exchanges("hf_errors") if one["response"]["status"] == 502)
    wire.get(API).mock(return_value=reply(recorded))
    assert str(await failure(hub)) == "huggingface.co answered 502. Call again in a few minutes."


@pytest.mark.parametrize("body", ["", "{", "{}", "7", "[" * 100_000, " " * (MAX_ANSWER_BYTES + 1)])
async def test_search_answer_of_another_shape_is_a_sentence(
    wire: respx.MockRouter, hub: HuggingFace, body: str
) -> None:
    wire.get(API).respond(text=body)
    assert isinstance(await failure(hub), OllamaResponseError)


@pytest.mark.parametrize("body", ["[]", "null", json.dumps({"id": "no slash"}), "<html>"])
async def test_repository_answer_of_another_shape_is_a_sentence(
    wire: respx.MockRouter, hub: HuggingFace, body: str
) -> None:
    wire.get(f"{API}/u/r").respond(text=body)
    assert isinstance(await failure(hub, "u/r"), OllamaResponseError)


async def test_compressed_answer_is_refused_before_it_is_unpacked(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).respond(headers={"content-encoding": "gzip"}, content=b"")
    assert "is encoded as" in str(await failure(hub))


async def test_silence_ends_at_the_timeout(wire: respx.MockRouter) -> None:
    hub = HuggingFace(timeout=0.01)

    async def hang(_request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    wire.get(API).mock(side_effect=hang)
    error = await failure(hub)
    assert isinstance(error, OllamaTimeoutError)
    assert "within 0.01 s" in str(error)
    await hub.aclose()


async def test_closing_an_unused_client_needs_nothing(hub: HuggingFace) -> None:
    await hub.aclose()
