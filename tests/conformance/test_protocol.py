"""Points that the SDK's own server leaves open, in both eras: hints for caches, and errors of prompts."""

from typing import Annotated

import pytest
from mcp import MCPError
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)
from pydantic import Field

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.server.prompts import PromptSpec
from mcp_ollama.server.server import OllamaServer
from tests.conformance.everything import with_fixtures
from tests.conformance.run import CALLS
from tests.support.client import Era, host

NOWHERE = "http://127.0.0.1:9"


def tidy_up(gigabytes: Annotated[float, Field(gt=0)], why: str = "") -> str:
    """Make room."""
    if why == "broken":
        raise RuntimeError("a bug")
    return f"Free {gigabytes:g} GB."


@pytest.fixture
def server() -> OllamaServer:
    """Our server with a prompt of the tests."""
    return build_server(OllamaSettings(base_url=NOWHERE), prompts=[PromptSpec(tidy_up, "Tidy up")])


async def test_constant_lists_carry_a_cache_hint_of_an_hour(server: OllamaServer):
    async with host(server, "auto") as asking:
        tools = await asking.client.list_tools()
        prompts = await asking.client.list_prompts()
        resources = await asking.client.list_resources()
    assert (tools.ttl_ms, tools.cache_scope) == (prompts.ttl_ms, prompts.cache_scope) == (3_600_000, "public")
    assert (resources.ttl_ms, resources.cache_scope) == (5_000, "private")


async def test_prompt_with_arguments_is_rendered(server: OllamaServer, era: Era):
    async with host(server, era) as asking:
        prompt = await asking.client.get_prompt("tidy_up", {"gigabytes": "7.5"})
    assert [message.content.text for message in prompt.messages if message.content.type == "text"] == ["Free 7.5 GB."]


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("no_such", {}, "Unknown prompt: no_such"),
        ("tidy_up", None, "The prompt tidy_up needs gigabytes."),
        ("tidy_up", {"gigabytes": "many"}, "tidy_up was not called: gigabytes should be a valid number"),
        ("tidy_up", {"gigabytes": "0"}, "gigabytes should be greater than 0"),
        ("tidy_up", {"gigabytes": "1", "tone": "kind"}, "tone"),
    ],
)
async def test_prompt_with_invalid_arguments_is_a_protocol_error(
    server: OllamaServer, era: Era, name: str, arguments: dict[str, str] | None, why: str
):
    async with host(server, era) as asking:
        with pytest.raises(MCPError, match=why) as refused:
            await asking.client.get_prompt(name, arguments)
    assert refused.value.error.code == INVALID_PARAMS


async def test_bug_in_a_prompt_is_hidden_from_the_client(server: OllamaServer, era: Era):
    async with host(server, era) as asking:
        with pytest.raises(MCPError) as refused:
            await asking.client.get_prompt("tidy_up", {"gigabytes": "1", "why": "broken"})
    assert refused.value.error.code != INVALID_PARAMS
    assert "a bug" not in refused.value.error.message


async def test_handshake_declares_changes_of_resources_only(server: OllamaServer):
    async with host(server, "legacy") as asking:
        able = asking.client.server_capabilities
    assert able.resources
    assert (able.resources.subscribe, able.resources.list_changed) == (True, True)
    assert able.tools
    assert able.prompts
    assert not able.tools.list_changed
    assert not able.prompts.list_changed


async def test_official_checks_call_every_tool(server: OllamaServer):
    async with host(server, "auto") as asking:
        listed = await asking.client.list_tools()
    assert {tool.name for tool in listed.tools} == CALLS.keys()


async def test_fixtures_of_the_suite_can_be_followed(server: OllamaServer):
    with_fixtures(server)
    uri = "test://watched-resource"
    async with host(server, "legacy") as asking:
        session = asking.client.session
        await session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)
        await session.send_request(UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri)), EmptyResult)
