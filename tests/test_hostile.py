"""Bad input from both sides: whatever an agent asks and whatever an Ollama says, the server stands and stays brief."""

import json
from inspect import signature
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.types import CallToolResult, ResourceTemplateReference, TextContent

from mcp_ollama import tools
from mcp_ollama.models.app import Timeouts
from mcp_ollama.server.results import MAX_ANSWER_TEXT
from mcp_ollama.simulator import Simulator, serve
from tests.conftest import Connect
from tests.support.client import Host, built, own_port

HASTY = Timeouts(
    call=3,
    check=0.5,
    health_extra=0.3,
    unload=0.2,
    cancel=0.5,
    updates=0.5,
    elicitation=0.2,
    progress_interval=0.01,
    progress_keepalive=1,
)
TOOLS = {spec.name: spec for spec in tools.ALL}
ARGUMENTS = sorted({name for spec in tools.ALL for name in signature(spec.run).parameters} - {"call"} | {"other", ""})

NAMES = [
    "llama3.2:3b",
    "qwen3",
    "nope",
    "evil.example/x/y",
    "a b",
    "x:cloud",
    "../../etc/passwd",
    "ll\u0430ma3.2:3b",
    "\x1b[31m",
]
VALUES = (
    st.sampled_from(NAMES)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.lists(st.sampled_from(NAMES), max_size=3)
    | st.dictionaries(st.sampled_from(["num_ctx", "stop", "nope"]), st.integers() | st.text(max_size=5), max_size=2)
)
CALLS = st.tuples(st.sampled_from(sorted(TOOLS)), st.dictionaries(st.sampled_from(ARGUMENTS), VALUES, max_size=5))
# The likely arguments, too: most of what is above is refused at the door.
LIKELY = st.tuples(st.sampled_from(sorted(TOOLS)), st.fixed_dictionaries({"model": st.sampled_from(NAMES)}))


def stand_in() -> Simulator:
    simulator = Simulator(tick=0.001)
    simulator.install("llama3.2:3b", size_bytes=1_000_000)
    simulator.install("qwen3", size_bytes=1_000_000)
    return simulator


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS | LIKELY, min_size=10, max_size=20), st.sampled_from(["auto", "legacy"]))
def test_no_argument_of_any_tool_breaks_the_server(
    capfd: pytest.CaptureFixture[str], calls: list[tuple[str, dict[str, Any]]], era: Any
):
    simulator = stand_in()

    async def talk() -> None:
        async with Client(built(HASTY), mode=era) as client:
            for tool, arguments in calls:
                # The host checks that a refusal is one sentence, and that an answer is what its schema says.
                await Host(client).result(tool, **{"wait_seconds": 0.1} | arguments if waits(tool) else arguments)
            assert (await Host(client)("list_models"))["total_count"] >= 0

    with serve(simulator, port=own_port()):
        anyio.run(talk)
    assert capfd.readouterr().out == ""
    for request in simulator.requests:
        # POST /api/me has no body.
        is_bare = request.method in ("GET", "HEAD") or request.path == "/api/me"
        assert is_bare or isinstance(request.body, dict), request


def waits(tool: str) -> bool:
    return TOOLS[tool].waits


LONG = "x" * 500_000
DEEP = "[" * 10_000 + "]" * 10_000
BODIES = {
    "long name": json.dumps({"models": [{"name": LONG, "digest": LONG}], "recommendations": [{"model": LONG}]}),
    "many": json.dumps({"models": [{"name": f"m{n}:1", "capabilities": ["x" * 1000]} for n in range(250)]}),
    "deep": f'{{"models":{DEEP},"version":{DEEP}}}',
    "deep extra": f'{{"models":[{{"name":"a:1","x":{DEEP}}}]}}',
    "wrong types": '{"models":{"name":1},"version":[],"recommendations":7}',
    "rows of wrong types": '{"models":[7,null,{"name":[]}]}',
    "escapes": json.dumps({"models": [{"name": "\x1b[31m\x00\u202e:1", "details": {"family": "\x07" * 9}}]}),
    "look-alike": json.dumps(
        {"models": [{"name": "ll\u0430ma3.2:3b"}, {"name": "LLAMA3.2:3B"}, {"name": "llama3.2:3b"}]}
    ),
    "not JSON": "<html>",
    "lone surrogate": r'{"models":[{"name":"\ud800"}]}',
    "huge numbers": '{"models":[{"name":"a:1","size":1e400,"modified_at":"9999-99-99"}]}',
    "ends of time": json.dumps(
        {
            "models": [
                {"name": f"a{number}:1", "modified_at": moment, "expires_at": moment}
                for number, moment in enumerate(("0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00"))
            ]
        }
    ),
    "many digits": json.dumps({"models": [{"name": "llama3.2:3b", "size": 10**400}], "version": "9" * 5000}),
    "halves": r'{"models":[{"name":"llama3.2:3b"}],"parameters":"stop \"\\ud800\"","details":{}}',
    "a word before": json.dumps({"models": [{"name": f"{LONG} ://registry.ollama.ai/library/llama3.2:3b"}]}),
    "empty": "",
}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("list_models", {"limit": 200}),
    ("list_models", {"capability": "tools"}),
    ("show_model", {"model": "llama3.2:3b"}),
    ("list_running_models", {}),
    ("load_model", {"model": "llama3.2:3b", "wait_seconds": 1}),
    ("unload_model", {"all": True}),
    ("unload_model", {"model": "llama3.2:3b"}),
    ("check_updates", {}),
    ("plan_pull", {"model": "llama3.2:3b"}),
    ("search_models", {"query": "qwen3:8b"}),
    ("copy_model", {"source": "llama3.2:3b", "destination": "mine"}),
    ("create_model", {"model": "mine", "from_model": "llama3.2:3b"}),
    ("delete_model", {"model": "llama3.2:3b"}),
    ("health", {}),
]


def size_of(result: CallToolResult) -> int:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return len(content.text)


@pytest.mark.parametrize("kind", BODIES)
async def test_no_answer_of_a_hostile_ollama_breaks_the_server_or_floods_a_host(
    kind: str, simulator: Simulator, connect: Connect
):
    simulator.respond("*", body=BODIES[kind], content_type="application/json")
    async with connect(timeouts=HASTY) as host:
        for tool, arguments in ASKED:
            result = await host.client.call_tool(tool, arguments)
            text = result.content[0]
            assert isinstance(text, TextContent)
            assert "Error executing" not in text.text, (tool, text.text)
            assert size_of(result) <= (600 if result.is_error else MAX_ANSWER_TEXT), tool
        template = ResourceTemplateReference(uri="ollama://models/{+model}")
        for answer in (
            await host.client.list_resources(),
            await host.client.complete(template, {"name": "model", "value": ""}),
        ):
            assert len(answer.model_dump_json()) <= MAX_ANSWER_TEXT


async def test_the_texts_of_a_model_are_cut_and_only_given_when_asked_for(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:3b")
    vast = "x" * 10_000_000
    texts = {"modelfile": LONG, "template": LONG, "system": vast, "license": LONG, "parameters": LONG}
    more = {"capabilities": ["c" * 1000] * 100, "requires": LONG, "details": {"family": LONG, "parent_model": LONG}}
    simulator.respond("/api/show", body=json.dumps({**texts, **more, "model_info": {"general.license": LONG}}))
    async with connect() as host:
        result = await host.client.call_tool("show_model", {"model": "llama3.2:3b"})
        assert size_of(result) <= MAX_ANSWER_TEXT
        asked = ["modelfile", "template", "system", "license"]
        result = await host.client.call_tool("show_model", {"model": "llama3.2:3b", "include": asked})
        assert size_of(result) <= MAX_ANSWER_TEXT
