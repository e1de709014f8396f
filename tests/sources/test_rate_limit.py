"""The limit of requests that Hugging Face sets: it is named in seconds, and never waited for."""

import pytest
import respx

from mcp_ollama.sources.hub_errors import RateLimitError
from mcp_ollama.sources.huggingface import HuggingFace
from tests.sources.hub import API, REPOSITORY, Clock, content_of, failure, noted, search


async def test_rate_limit_with_headers_names_the_seconds(
    wire: respx.MockRouter, hub: HuggingFace, clock: Clock
) -> None:
    route = wire.get(API).mock(return_value=noted("hf_errors", "no Retry-After"))
    first = await failure(hub)
    second = await failure(hub)
    assert isinstance(first, RateLimitError)
    assert (first.wait_seconds, route.call_count) == (194, 1)
    assert "194 s" in str(second)
    assert "192.0.2.7" not in str(first)
    clock.now += 194
    wire.get(API).respond(json=[])
    assert (await search(hub)).repositories == ()


@pytest.mark.parametrize(("headers", "seconds"), [({}, 61), ({"retry-after": "7"}, 8), ({"retry-after": "soon"}, 61)])
async def test_rate_limit_without_headers_pauses_all_the_same(
    wire: respx.MockRouter, hub: HuggingFace, headers: dict[str, str], seconds: int
) -> None:
    wire.get(API).respond(429, headers=headers)
    error = await failure(hub)
    assert isinstance(error, RateLimitError)
    assert error.wait_seconds == seconds


async def test_rate_limit_nearly_reached_keeps_requests_for_searches(
    wire: respx.MockRouter, hub: HuggingFace, clock: Clock
) -> None:
    headers = {"ratelimit": '"api";r=49;t=100', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}
    wire.get(API).respond(json=[], headers=headers)
    wire.get(f"{API}/{REPOSITORY}").respond(json={"id": REPOSITORY})
    await search(hub)
    assert isinstance(await failure(hub, REPOSITORY), RateLimitError)
    clock.now += 102
    assert (await content_of(hub)).repository.id == REPOSITORY


async def test_rate_limit_used_up_by_an_answer_sends_nothing_more(wire: respx.MockRouter, hub: HuggingFace) -> None:
    wire.get(API).respond(json=[], headers={"ratelimit": '"api";r=0;t=9'})
    await search(hub)
    with pytest.raises(RateLimitError, match="allowed in 10 s"):
        await search(hub, "other")
