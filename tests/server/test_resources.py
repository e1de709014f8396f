"""Resources, prompts and change notifications, in both protocol eras."""

import json
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    ResourceListChangedNotification,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.models.app import Timeouts
from mcp_ollama.server.prompts import PromptSpec
from mcp_ollama.server.resources import AGENT
from mcp_ollama.server.subscriptions import MAX_SUBSCRIPTIONS
from mcp_ollama.simulator import RunningSimulator, Simulator
from tests.conftest import QUICK, Connect
from tests.support.client import Host, built

MB = 1_000_000


@pytest.fixture(autouse=True)
def _furnished(simulator: Simulator) -> None:
    simulator.install("llama3.2:3b", size_bytes=20 * MB)
    simulator.install("hf.co/user/repo:Q4_K_M", size_bytes=30 * MB)


async def document(host: Host, uri: str) -> Any:
    (content,) = (await host.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return json.loads(content.text)


async def test_resources_hold_the_same_data_as_the_tools(simulator: Simulator, connect: Connect):
    simulator.load("llama3.2:3b")
    async with connect() as host:
        assert await document(host, "ollama://models") == await host("list_models", limit=200)
        assert await document(host, "ollama://running") == await host("list_running_models")
        assert await document(host, "ollama://pulls") == await host("list_pulls")
        for name in ("llama3.2:3b", "hf.co/user/repo:Q4_K_M"):
            assert await document(host, f"ollama://models/{name}") == await host("show_model", model=name)


async def test_installed_models_are_listed_and_completed(simulator: Simulator, connect: Connect):
    async with connect() as host:
        uris = [str(one.uri) for one in (await host.client.list_resources()).resources]
        assert uris[-2:] == ["ollama://models/hf.co/user/repo:Q4_K_M", "ollama://models/llama3.2:3b"]
        template = ResourceTemplateReference(uri="ollama://models/{+model}")
        offered = await host.client.complete(template, {"name": "model", "value": "LLA"})
    assert offered.completion.values == ["llama3.2:3b"]


async def test_resource_list_survives_any_failure_of_ollama(simulator: Simulator, connect: Connect):
    simulator.respond("/api/tags", body='{"models":[{"name":"a b"},{"name":"good:1"}]}')
    async with connect(timeouts=Timeouts(health_extra=0.2)) as host:
        uris = [str(one.uri) for one in (await host.client.list_resources()).resources]
        assert uris[-1] == "ollama://models/good:1"
        assert "ollama://models/a b" not in uris
        simulator.respond("/api/tags", status=500, body="no")
    async with connect(timeouts=Timeouts(health_extra=0.2)) as host:
        assert len((await host.client.list_resources()).resources) == len(uris) - 1
        simulator.restore("/api/tags")
        simulator.delay("/api/tags", 5)
    async with connect(timeouts=Timeouts(health_extra=0.1)) as host:
        assert len((await host.client.list_resources()).resources) == len(uris) - 1
        template = ResourceTemplateReference(uri="ollama://models/{+model}")
        assert (await host.client.complete(template, {"name": "model", "value": ""})).completion.values == []


async def test_resource_of_a_missing_model_is_an_error(connect: Connect):
    async with connect() as host:
        with pytest.raises(MCPError, match="is not installed") as caught:
            await host.client.read_resource("ollama://models/nope")
    assert caught.value.code == INVALID_PARAMS


CHANGES: list[tuple[str, dict[str, str]]] = [
    ("pull_model", {"model": "new:1"}),
    ("copy_model", {"source": "new:1", "destination": "copy:1"}),
    ("create_model", {"model": "made:1", "from_model": "new:1", "system": "x"}),
    ("delete_model", {"model": "new:1"}),
]


async def follow(client: Client, *uris: str) -> None:
    # The client's own method for it warns, since newer revisions have none.
    for uri in uris:
        await client.session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)


class Received:
    """Notifications that a handshake client has received; `all` is set after the wanted number of updates."""

    def __init__(self, updates: int) -> None:
        self.lists = 0
        self.updates: list[str] = []
        self.all = anyio.Event()
        self._wanted = updates

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ResourceListChangedNotification):
            self.lists += 1
        if isinstance(message, ResourceUpdatedNotification):
            self.updates.append(str(message.params.uri))
            if len(self.updates) == self._wanted:
                self.all.set()


async def test_handshake_client_receives_list_changes_and_its_subscriptions(
    simulator: Simulator, running: RunningSimulator
):
    simulator.registry.publish("new:1", size_bytes=MB)
    received = Received(updates=7)
    with anyio.fail_after(10):
        async with Client(built(QUICK, confirm_delete=False), mode="legacy", message_handler=received) as client:
            host = Host(client)
            await follow(client, "ollama://models/new:1", "ollama://models", "ui://ollama/dashboard")
            unfollow = UnsubscribeRequest(params=UnsubscribeRequestParams(uri="ollama://models"))
            await client.session.send_request(unfollow, EmptyResult)
            for tool, arguments in CHANGES:
                await host(tool, **arguments)
            await follow(client, "ollama://running", "ollama://pulls", "ollama://models/copy:1", AGENT)
            await host.refusal("pull_model", model="nope")
            await host("load_model", model="copy:1")
            await received.all.wait()
    assert received.lists == 4
    assert received.updates[:4] == ["ollama://models/new:1"] * 2 + ["ollama://pulls"] * 2
    assert sorted(received.updates[4:]) == [AGENT, "ollama://models/copy:1", "ollama://running"]


async def test_change_is_published_under_the_listed_name(simulator: Simulator, running: RunningSimulator):
    simulator.install("new:1", size_bytes=1000)
    simulator.install("other:1", size_bytes=2000)
    simulator.registry.publish("new:1", size_bytes=MB)
    received = Received(updates=2)
    with anyio.fail_after(10):
        async with Client(built(QUICK, confirm_delete=False), mode="legacy", message_handler=received) as client:
            await follow(client, "ollama://models/new:1")
            assert (await Host(client)("pull_model", model="NEW:1"))["model"] == "new:1"
            await Host(client)("copy_model", source="other:1", destination="New:1", overwrite=True)
            await received.all.wait()
    assert received.updates == ["ollama://models/new:1"] * 2


SPELLINGS = [
    *(f"{uri}/mine/m{tag}" for uri in ("ollama://models", AGENT) for tag in ("", ":latest")),
    "ollama://models/mine/m%3Alatest",
    "ollama://models/mine%2Fm%3Alatest",
    f"{AGENT}/mine%2Fm",
]
"""URIs of the model `mine/m:latest` that can be read."""


async def test_change_reaches_subscriptions_in_each_spelling_of_a_uri(running: RunningSimulator):
    received = Received(updates=len(SPELLINGS))
    with anyio.fail_after(10):
        async with Client(built(QUICK), mode="legacy", message_handler=received) as client:
            await follow(client, *SPELLINGS)
            await Host(client)("copy_model", source="llama3.2:3b", destination="mine/m")
            await received.all.wait()
    assert sorted(received.updates) == sorted(SPELLINGS)


async def test_change_reaches_a_listen_stream_with_an_encoded_uri(running: RunningSimulator):
    uri = "ollama://models/mine%2Fm%3Alatest"
    with anyio.fail_after(10):
        async with Client(built(QUICK), mode="auto") as client, client.listen(resource_subscriptions=[uri]) as events:
            await Host(client)("copy_model", source="llama3.2:3b", destination="mine/m")
            assert await anext(events) == ResourceUpdated(uri=uri)


@pytest.mark.parametrize("name", ["", "llama3.2:3b/", "%20", "llama3.2:3b?x=1"])
async def test_subscription_to_an_invalid_model_name_is_refused(name: str, running: RunningSimulator):
    with anyio.fail_after(10):
        async with Client(built(QUICK), mode="legacy") as client:
            with pytest.raises(MCPError, match="A name looks like") as refusal:
                await follow(client, f"ollama://models/{name}")
    assert refusal.value.error.code == INVALID_PARAMS


async def test_subscriptions_of_a_client_are_limited(simulator: Simulator, running: RunningSimulator):
    followed: set[str] = {f"ollama://models/m{number}" for number in range(MAX_SUBSCRIPTIONS)}
    with anyio.fail_after(10):
        async with Client(built(QUICK), mode="legacy") as client:
            for unknown in (
                f"ollama://models/{'x' * 1000}",
                "ollama://nothing",
                "ollama://hosts/x/models",
                "file:///x",
            ):
                with pytest.raises(MCPError, match=f"Unknown resource: {unknown[:100]}"):
                    await follow(client, unknown)
            await follow(client, *sorted(followed))
            with pytest.raises(MCPError, match="1000 resources are subscribed to already"):
                await follow(client, "ollama://models/one-too-many")


async def test_stateless_client_receives_changes_on_its_listen_stream(simulator: Simulator, running: RunningSimulator):
    simulator.registry.publish("new:1", size_bytes=MB)
    with anyio.fail_after(10):
        async with (
            Client(built(QUICK, confirm_delete=False), mode="auto") as client,
            client.listen(resources_list_changed=True, resource_subscriptions=["ollama://running"]) as events,
        ):
            for tool, arguments in CHANGES:
                await Host(client)(tool, **arguments)
                assert {await anext(events), await anext(events)} == {
                    ResourceUpdated(uri="ollama://running"),
                    ResourcesListChanged(),
                }
            simulator.load("copy:1")
            await Host(client)("unload_model", all=True)
            assert await anext(events) == ResourceUpdated(uri="ollama://running")


PROMPTS = {
    "choose_a_model": {"task": "summarise e-mails", "memory": "8 GB"},
    "free_disk_space": {"size": "12.5 GB"},
    "update_models": {},
    "diagnose": {},
    "tune_for_agents": {"model": "qwen3:8b"},
}


async def test_prompts_name_only_existing_tools(connect: Connect):
    async with connect() as host:
        tools = {tool.name for tool in (await host.client.list_tools()).tools}
        prompts = (await host.client.list_prompts()).prompts
        assert {prompt.name for prompt in prompts} == set(PROMPTS)
        for prompt in prompts:
            assert prompt.title
            assert prompt.description
            assert all(argument.description for argument in prompt.arguments or [])
            (message,) = (await host.client.get_prompt(prompt.name, PROMPTS[prompt.name])).messages
            assert isinstance(message.content, TextContent)
            words = {word.strip(".,:;()") for word in message.content.text.split()}
            named = {
                word
                for word in words
                if word.partition("_")[0] in ("list", "pull", "check", "delete", "load", "plan", "search", "measure")
            }
            assert named & tools or "health" in words
            assert {word for word in named if "_" in word} <= tools
            for given in PROMPTS[prompt.name].values():
                assert given in message.content.text
        (short,) = (await host.client.get_prompt("choose_a_model", {"task": "chat"})).messages
        assert isinstance(short.content, TextContent)
        assert "Memory" not in short.content.text


async def test_prompt_names_the_setting_of_a_disabled_tool(connect: Connect):
    async with connect(access="no-delete") as host:
        prompts = [await host.client.get_prompt(name, PROMPTS[name]) for name in ("free_disk_space", "update_models")]
    texts = [getattr(one.messages[0].content, "text", "") for one in prompts]
    named = "delete_model is disabled by the operator (MCP_OLLAMA_ACCESS=no-delete)."
    assert [text.endswith(named) for text in texts] == [True, False]
    assert "disabled" not in texts[1]


async def test_blank_argument_of_a_prompt_counts_as_left_out(connect: Connect):
    async with connect() as host:
        blank = await host.client.get_prompt("choose_a_model", {"task": "chat", "memory": ""})
        assert blank.messages == (await host.client.get_prompt("choose_a_model", {"task": "chat"})).messages


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nope", {}),
        ("choose_a_model", {}),
        ("free_disk_space", {"size": "much"}),
        ("free_disk_space", {"size": "20"}),
        ("free_disk_space", {"size": "0 GB"}),
        ("choose_a_model", {"task": "chat", "memory": "8"}),
        ("tune_for_agents", {"model": " "}),
    ],
)
async def test_invalid_prompt_request_is_a_protocol_error(name: str, arguments: dict[str, str], connect: Connect):
    async with connect() as host:
        with pytest.raises(MCPError) as caught:
            await host.client.get_prompt(name, arguments)
    assert caught.value.code == INVALID_PARAMS


async def test_bug_in_a_prompt_is_an_internal_error():
    def broken() -> str:
        """Fail."""
        raise RuntimeError("planted")

    server = build_server(OllamaSettings(base_url="http://127.0.0.1:9"), prompts=[PromptSpec(broken, "Broken")])
    with anyio.fail_after(10):
        async with Client(server) as client:
            with pytest.raises(MCPError) as failed:
                await client.get_prompt("broken")
    assert failed.value.error.code != INVALID_PARAMS
    assert "planted" not in failed.value.error.message
