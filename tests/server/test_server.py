"""The server as a whole: its lists, the validation of arguments, and the protection of secrets."""

import json
import logging
from typing import Any

import anyio
import pytest
from inline_snapshot import external_file
from mcp import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import BaseModel

import mcp_ollama
from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import RunningSimulator, Simulator
from mcp_ollama.tools.spec import Call, ToolSpec
from tests.conftest import Connect
from tests.support.client import Host, built, listed_tools, text_of

KEY, HEADER = "sk-distinctive-4711", "distinctive-0815"
VALUES: dict[str, Any] = {"model": "a", "source": "a", "destination": "b", "from_model": "a"}
QUIET = {"wait_seconds": 0}


class Nothing(BaseModel):
    """An answer without a field of its own."""

    said: str = "nothing"


async def needed(host: Host) -> dict[str, dict[str, Any]]:
    """Return each tool with arguments that make a short call."""
    calls: dict[str, dict[str, Any]] = {}
    for tool in (await host.client.list_tools()).tools:
        properties = tool.input_schema["properties"]
        calls[tool.name] = {name: VALUES[name] for name in tool.input_schema.get("required", ())}
        calls[tool.name] |= {name: value for name, value in QUIET.items() if name in properties}
    return calls


async def test_tool_list_equals_its_snapshot() -> None:
    listed = await listed_tools(allow_push=True)
    document = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in listed]
    # `pytest --inline-snapshot=fix` rewrites the file.
    assert json.dumps(document, indent=2, ensure_ascii=False) + "\n" == external_file(
        "../data/tools.json", format=".txt"
    )


async def test_handshake_names_the_server_and_its_instructions(connect: Connect) -> None:
    async with connect() as host:
        server = host.client.server_info
        assert server
        assert (server.name, server.title, server.version) == ("ollama", "Ollama models", mcp_ollama.__version__)
        assert "list_models" in (host.client.instructions or "")


async def test_tool_list_sends_no_request_to_ollama(
    running: RunningSimulator, simulator: Simulator, connect: Connect
) -> None:
    async with connect() as host:
        listed = await host.client.list_tools()
        assert running.open_connections == 0
    assert len(listed.tools) >= 5
    assert not simulator.requests


async def test_tool_list_works_while_ollama_is_down(nowhere: str, connect: Connect) -> None:
    async with connect(base_url=nowhere) as host:
        assert len((await host.client.list_tools()).tools) >= 5
        assert f"Nothing answers at {nowhere}." in await host.refusal("list_models")


async def test_each_lifespan_has_its_own_transfers(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.publish("a")
    async with connect() as host:
        await host("pull_model", model="a")
        assert len((await host("list_pulls"))["transfers"]) == 1
    async with connect() as host:
        assert (await host("list_pulls"))["transfers"] == []


@pytest.mark.parametrize("name", ["list_model", "", "x" * 5_000])
async def test_unknown_tool_is_a_protocol_error(name: str, connect: Connect) -> None:
    async with connect() as host:
        with pytest.raises(MCPError) as caught:
            await host.client.call_tool(name, {})
    assert caught.value.code == INVALID_PARAMS
    assert str(caught.value) == f"Unknown tool: {name[:100]}"


LONG = "x" * 200_000
ADDRESSES = {
    "ollama://model": "Unknown resource: ollama://model",
    f"ollama://{LONG}": f"Unknown resource: ollama://{LONG[:91]}…",
    f"ollama://models/{LONG}": f"Unknown resource: ollama://models/{LONG[:84]}…",
    f"ollama://{LONG[:541]}": f"Unknown resource: ollama://{LONG[:541]}",
    f"ollama://models/{LONG[:500]}": "is not a model name that Ollama accepts",
}


@pytest.mark.parametrize("address", ADDRESSES, ids=len)
async def test_unknown_resource_error_truncates_a_long_uri(address: str, connect: Connect) -> None:
    async with connect() as host:
        with pytest.raises(MCPError) as caught:
            await host.client.read_resource(address)
    assert caught.value.code == INVALID_PARAMS
    assert ADDRESSES[address] in str(caught.value)
    assert len(str(caught.value)) <= 600
    assert len(json.dumps(caught.value.data)) <= 600


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (
        "show_model",
        {"modle": "a"},
        "the argument 'model' is missing; there is no argument 'modle' (there is: model, include, context_length).",
    ),
    ("health", {"verbose": True}, "there is no argument 'verbose' (there is: none)."),
    ("list_pulls", {"all": None}, "there is no argument 'all' (there is: none)."),
    (
        "list_models",
        {"limt": 5, "page": 2},
        "there is no argument 'limt'; there is no argument 'page' (there is: contains, capability, sort, ",
    ),
    ("show_model", {}, "the argument 'model' is missing."),
    ("show_model", {"model": None}, "model should be a valid string."),
    ("show_model", {"model": 7}, "model should be a valid string."),
    ("show_model", {"model": "a", "include": ["weights"]}, "include.0 should be 'modelfile', 'template', "),
    ("list_models", {"limit": 0}, "limit should be greater than or equal to 1."),
    ("list_models", {"limit": 201}, "limit should be less than or equal to 200."),
    ("list_models", {"limit": "many"}, "limit should be a valid integer, unable to parse string as an integer."),
    ("list_models", {"limit": 1.5}, "limit should be a valid integer, got a number with a fractional part."),
    ("list_models", {"offset": -1}, "offset should be greater than or equal to 0."),
    ("list_models", {"sort": "date"}, "sort should be 'modified', 'size' or 'name'."),
    ("pull_model", {"model": "a", "wait_seconds": 3601}, "wait_seconds should be less than or equal to 3600."),
    ("pull_model", {"model": "a", "wait_seconds": "NaN"}, "wait_seconds should be "),
    ("pull_model", {"model": "a", "insecure": "true"}, "insecure should be a valid boolean."),
    ("list_models", {f"{number}{'x' * 500}": number for number in range(50)}, "there is no argument '0xxx"),
    ("list_models", {"\x1b[31m\n": 1}, "there is no argument '\\x1b[31m\\n' (there is: contains"),
]  # fmt: skip


async def test_invalid_arguments_are_refused_in_one_sentence(
    simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with connect() as host:
        for tool, arguments, said in WRONG:
            with subtests.test(tool=tool, said=said):
                sentence = await host.refusal(tool, **arguments)
                assert sentence.startswith(f"{tool} was not called: {said}")
    assert not simulator.requests


async def test_unknown_argument_is_refused_by_each_tool(simulator: Simulator, connect: Connect) -> None:
    async with connect() as host:
        for tool, arguments in (await needed(host)).items():
            sentence = await host.refusal(tool, **arguments, tpyo=None)
            assert sentence.startswith(f"{tool} was not called: there is no argument 'tpyo' (there is: ")
    assert not simulator.requests


async def test_null_for_optional_arguments_is_accepted_by_each_tool(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    async with connect(pull_wait=0) as host:
        for tool in (await host.client.list_tools()).tools:
            required = tool.input_schema.get("required", ())
            arguments = {name: VALUES[name] if name in required else None for name in tool.input_schema["properties"]}
            result = await host.result(tool.name, **arguments)
            assert "was not called" not in text_of(result)


@pytest.mark.parametrize("bug", [ZeroDivisionError(f"at /srv/{KEY}.py"), "no answer"], ids=["raised", "returned"])
async def test_bug_in_a_tool_is_logged_and_hidden_from_the_client(
    bug: Exception | str, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(call: Call) -> Nothing:
        """Break."""
        if isinstance(bug, Exception):
            raise bug
        return Nothing.model_validate({"said": 7})

    async with connect(ToolSpec(run=broken, title="Break")) as host:
        result = await host.client.call_tool("broken", {})
        assert (await host("health"))["status"] == "degraded"
    assert result.is_error
    assert text_of(result) == "Error executing tool broken"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert "test_server.py" in caplog.text
    assert (KEY in caplog.text) == isinstance(bug, Exception)


async def test_slow_call_times_out_with_a_sentence(simulator: Simulator, connect: Connect) -> None:
    simulator.delay("/api/tags", 30)
    async with connect(timeouts=Timeouts(call=0.05)) as host:
        sentence = await host.refusal("list_models")
    assert sentence == "Timed out after 0.05 s waiting for the Ollama server. Run health, then retry."


async def test_waiting_call_exceeds_the_timeout(simulator: Simulator, connect: Connect) -> None:
    waiting, timed_out = anyio.Event(), anyio.Event()
    simulator.delay("/api/tags", 30)

    async def patient(call: Call) -> Nothing:
        """Wait until a call that began later has timed out."""
        async with call.waiting():
            waiting.set()
            await timed_out.wait()
        return Nothing()

    tool, timeouts = ToolSpec(run=patient, title="Wait"), Timeouts(call=0.1)
    async with connect(tool, timeouts=timeouts) as host, anyio.create_task_group() as group:

        async def time_out() -> None:
            await waiting.wait()
            assert "Timed out" in await host.refusal("list_models")
            timed_out.set()

        group.start_soon(time_out)
        assert await host("patient") == {"said": "nothing"}


@pytest.mark.parametrize("server", ["good", "refusing", "echoing", "dead"])
async def test_secrets_reach_only_the_ollama_server(
    server: str, simulator: Simulator, nowhere: str, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.install("a")
    if server == "refusing":
        simulator.respond("*", status=401, body='{"error":"unauthorized"}')
    if server == "echoing":
        simulator.respond("*", status=401, body=json.dumps({"error": f"unknown key {KEY}, Bearer {KEY}, {HEADER}"}))
    address: dict[str, Any] = {"base_url": nowhere} if server == "dead" else {}
    if server == "echoing":
        # Hugging Face, which this simulator is too, cannot echo what it never receives.
        address["search"] = "off"
    answers: list[str] = []
    async with connect(api_key=KEY, headers=json.dumps({"X-Key": HEADER}), stall_seconds=0.5, **address) as host:
        for tool, arguments in (await needed(host)).items():
            answers.append((await host.result(tool, **arguments)).model_dump_json())
        answers.append((await host.client.list_tools()).model_dump_json())
    for secret in (KEY, HEADER):
        assert secret not in " ".join(answers)
        assert secret not in caplog.text
    others = ("/v2", "/content/", "/api/models", "/ollama.com")
    sent = [request.headers for request in simulator.requests if not request.path.startswith(others)]
    assert (len(sent) > 0) == (server != "dead")
    assert all(headers["authorization"] == f"Bearer {KEY}" and headers["x-key"] == HEADER for headers in sent)
    received = [request.headers for request in simulator.requests if request.path.startswith(others)]
    assert not any("authorization" in headers or "x-key" in headers for headers in received)


async def test_access_decides_which_tools_are_listed() -> None:
    looking = await listed_tools(access="read-only", allow_push=True)
    assert {tool.annotations and tool.annotations.read_only_hint for tool in looking} == {True}
    assert "delete_model" not in {tool.name for tool in await listed_tools(access="no-delete")}


def test_input_schema_is_known_for_listed_tools_only() -> None:
    find_schema = built(Timeouts(), access="no-delete").get_tool_input_schema
    assert find_schema
    assert (find_schema("show_model") or {})["required"] == ["model"]
    assert find_schema("delete_model") is None
    assert find_schema("no_such_tool") is None
