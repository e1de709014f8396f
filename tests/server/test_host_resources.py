"""Resources, completions and prompts of several hosts."""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.server.subscriptions import ResourceUpdated
from mcp.types import ResourceTemplateReference, TextContent, TextResourceContents

from tests.conftest import QUICK
from tests.support.client import Host
from tests.support.fleet import Fleet, serve_fleet

SECONDS = 20


@pytest.fixture
def fleet(tmp_path: Path, nowhere: str) -> Generator[Fleet]:
    with serve_fleet(tmp_path, nowhere) as fleet:
        fleet.desk.install("qwen3:8b", size_bytes=2_000)
        fleet.gpu.install("gemma3:4b", size_bytes=3_000)
        yield fleet


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncGenerator[Client]:
    with anyio.fail_after(SECONDS):
        async with Client(fleet.build(QUICK, confirm_delete=False)) as client:
            yield client


async def read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)


async def test_resources_of_each_host_are_beside_the_defaults(fleet: Fleet) -> None:
    async with client_of(fleet) as client:
        listed = {str(one.uri): one.name for one in (await client.list_resources()).resources}
        templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        default, gpu = await read(client, "ollama://models"), await read(client, "ollama://hosts/gpu/models")
        card = await read(client, "ollama://hosts/gpu/models/gemma3:4b")
    assert listed["ollama://models"] == "models"
    assert listed["ollama://models/qwen3:8b"] == "qwen3:8b"
    assert listed["ollama://hosts/gone/pulls"] == "pulls_on_gone"
    assert "ollama://hosts/{host}/models/{+model}" in templates
    assert [[row["name"] for row in answer["models"]] for answer in (default, gpu)] == [["qwen3:8b"], ["gemma3:4b"]]
    assert card["name"] == "gemma3:4b"


async def test_advice_in_the_error_of_a_resource_names_the_key_of_a_host(fleet: Fleet) -> None:
    async with client_of(fleet) as client:
        with pytest.raises(MCPError, match="set its url where the hosts are named"):
            await read(client, "ollama://hosts/gone/models")


@pytest.mark.parametrize("uri", ["ollama://hosts/moon/models", "ollama://hosts/gpu", "ollama://hosts/all/models"])
async def test_resource_of_no_host_is_unknown(fleet: Fleet, uri: str) -> None:
    async with client_of(fleet) as client:
        with pytest.raises(MCPError, match="Unknown resource"):
            await client.read_resource(uri)


async def test_completion_offers_hosts_and_the_models_of_the_chosen_one(fleet: Fleet) -> None:
    ref = ResourceTemplateReference(uri="ollama://hosts/{host}/models/{+model}")
    async with client_of(fleet) as client:

        async def complete(name: str, value: str, context: dict[str, str] | None = None) -> list[str]:
            argument = {"name": name, "value": value}
            return (await client.complete(ref, argument, context_arguments=context)).completion.values

        assert await complete("host", "g") == ["gpu", "gone"]
        assert await complete("model", "gem", {"host": "gpu"}) == ["gemma3:4b"]
        assert await complete("model", "", {"host": "moon"}) == []
        assert await complete("model", "") == ["qwen3:8b"]
        assert await complete("tag", "") == []


async def test_change_on_a_host_is_published_under_its_own_uris(fleet: Fleet) -> None:
    fleet.file.write_text(fleet.file.read_text(encoding="utf-8").replace('access = "read-only"', ""), encoding="utf-8")
    followed = ["ollama://models", "ollama://hosts/gpu/models", "ollama://hosts/desk/models"]
    async with client_of(fleet) as client, client.listen(resource_subscriptions=followed) as events:
        host = Host(client)
        await host("copy_model", source="gemma3:4b", destination="mine", host="gpu")
        assert await anext(events) == ResourceUpdated(uri="ollama://hosts/gpu/models")
        await host("copy_model", source="qwen3:8b", destination="mine", host="desk")
        updated = [await anext(events), await anext(events)]
        assert all(ResourceUpdated(uri=uri) in updated for uri in ("ollama://models", "ollama://hosts/desk/models"))


async def test_prompt_names_the_host_or_all(fleet: Fleet) -> None:
    async with client_of(fleet) as client:

        async def text(**arguments: str) -> str:
            (message,) = (await client.get_prompt("diagnose", arguments)).messages
            assert isinstance(message.content, TextContent)
            return message.content.text

        arguments = next(one.arguments for one in (await client.list_prompts()).prompts if one.name == "diagnose")
        assert [one.name for one in arguments or []] == ["host"]
        assert (await text(host="gpu")).endswith('This is about the Ollama host gpu: pass host="gpu" in each call.')
        assert "There are several Ollama hosts: desk, gpu, gone." in await text()
        with pytest.raises(MCPError, match="there is no host 'moon', only desk, gpu, gone"):
            await text(host="moon")
