"""Malformed answers to a question, over HTTP: each ends the call at once, and the model stays."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp.types import INVALID_PARAMS

from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from tests.support.wire import HANDSHAKE, MODERN, Frame, Wire, call, initialize, notification
from tests.transports.test_http import ACCEPT, http, started, url_of

MODEL = "kept:latest"
ELICITATION: dict[str, Any] = {"elicitation": {"form": {}}}
MODERN_HEADERS = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "delete_model"}
MALFORMED = ["null", "true", "[]", '"yes"', '{"action":"perhaps"}', '{"action":"accept","content":{"confirm":"yes"}}']


@pytest.fixture(scope="module")
def ollama() -> Iterator[RunningSimulator]:
    simulator = Simulator(tick=0.002)
    simulator.install(MODEL)
    with serve(simulator) as running:
        yield running


@pytest.fixture(scope="module")
def server(ollama: RunningSimulator) -> Iterator[Wire]:
    with started("0", ollama) as wire:
        yield wire


def open_session(server: Wire) -> dict[str, str]:
    opening = initialize()
    opening["params"]["capabilities"] = ELICITATION
    opened = http.post(url_of(server), json=opening, headers=ACCEPT)
    session = ACCEPT | {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": HANDSHAKE}
    http.post(url_of(server), json=notification("notifications/initialized"), headers=session)
    return session


def events(response: httpx.Response) -> Iterator[Frame]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("answer", [*(f'"result":{text}' for text in MALFORMED), '"error":null', '"error":"no"'])
def test_malformed_answer_over_http_ends_the_call_at_once(answer: str, server: Wire, ollama: RunningSimulator):
    session = open_session(server)
    frame = call("delete", "delete_model", model=MODEL)
    with http.stream("POST", url_of(server), json=frame, headers=session, timeout=20) as response:
        messages = events(response)
        question = next(messages)
        assert question["method"] == "elicitation/create"
        body = f'{{"jsonrpc":"2.0","id":{json.dumps(question["id"])},{answer}}}'
        posted = http.post(url_of(server), content=body, headers=session | {"Content-Type": "application/json"})
        assert posted.status_code == 202
        result = next(messages)["result"]["structuredContent"]
    assert not result["deleted"]
    # A client that answers with an error cannot ask: it is given a token.
    assert result["reason"] == ("needs_confirmation" if "error" in answer else "cancelled")
    assert ollama.simulator.is_installed(MODEL)


def ask_stateless(server: Wire, **more: Any) -> Frame:
    frame = call("delete", "delete_model", model=MODEL, modern=True)
    frame["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = ELICITATION
    frame["params"] |= more
    answer: Frame = http.post(url_of(server), json=frame, headers=MODERN_HEADERS, timeout=20).json()
    return answer


@pytest.mark.parametrize("answer", MALFORMED)
def test_malformed_answer_in_a_repeated_call_is_refused(answer: str, server: Wire, ollama: RunningSimulator):
    asked = ask_stateless(server)["result"]
    (key,) = asked["inputRequests"]
    answered = ask_stateless(server, requestState=asked["requestState"], inputResponses={key: json.loads(answer)})
    if "error" in answered:
        assert answered["error"]["code"] == INVALID_PARAMS
    else:
        assert answered["result"]["structuredContent"]["reason"] == "cancelled"
    assert ollama.simulator.is_installed(MODEL)
