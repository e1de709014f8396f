"""The OpenAI-compatible chat endpoint: scripted answers in both forms, and Ollama's refusals."""

import json
from typing import Any

import pytest

from mcp_ollama.simulator import Fail, Simulator
from tests.simulator.conftest import Client

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "two words"}]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": {}}}


@pytest.fixture(autouse=True)
def installed(simulator: Simulator) -> None:
    simulator.install("able", size_bytes=1000, capabilities=("completion", "tools", "thinking"))
    simulator.install("plain", size_bytes=1000, capabilities=("completion",), parameters={"num_ctx": 2048})
    simulator.install("emb", size_bytes=1000, capabilities=("embedding",))


def _chat(client: Client, model: str = "able", **fields: Any) -> Any:
    return client.ask(PATH, model=model, messages=MESSAGES, **fields)


def _events(client: Client, **fields: Any) -> list[Any]:
    response = _chat(client, stream=True, **fields)
    assert response.headers["content-type"] == "text/event-stream"
    *events, last, end = response.text.split("\n\n")
    assert (last, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_whole_answer_has_openais_form(simulator: Simulator, client: Client) -> None:
    simulator.script.say("Hello there, you", thinking="Hm.")
    answer = _chat(client).json()
    assert answer.pop("created") > 0
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "able",
        "system_fingerprint": "fp_ollama",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there, you", "reasoning": "Hm."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }


def test_a_streamed_answer_comes_word_by_word(simulator: Simulator, client: Client) -> None:
    simulator.script.say("Hello there", thinking="Hm.")
    events = _events(client, stream_options={"include_usage": True})
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert [delta["content"] for delta in deltas] == ["", "Hello", " there", ""]
    assert deltas[0]["reasoning"] == "Hm."
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, None, "stop"]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_call_ends_the_answer(simulator: Simulator, client: Client, stream: bool) -> None:
    simulator.script.call("look", where="here")
    if stream:
        *_, event, last = _events(client, tools=[TOOL])
        message, end = event["choices"][0]["delta"], last["choices"][0]["finish_reason"]
    else:
        choice = _chat(client, tools=[TOOL]).json()["choices"][0]
        message, end = choice["message"], choice["finish_reason"]
    assert end == "tool_calls"
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": '{"where":"here"}'}


def test_only_max_tokens_caps_an_answer(simulator: Simulator, client: Client) -> None:
    simulator.script.say("one two three")
    simulator.script.say("one two three")
    capped = _chat(client, max_tokens=2).json()["choices"][0]
    assert (capped["message"]["content"], capped["finish_reason"]) == ("one two", "length")
    uncapped = _chat(client, max_completion_tokens=2).json()["choices"][0]
    assert (uncapped["message"]["content"], uncapped["finish_reason"]) == ("one two three", "stop")


@pytest.mark.parametrize(
    ("model", "fields"),
    [("able", {"reasoning_effort": "none"}), ("able", {"reasoning": {"effort": "none"}}), ("plain", {})],
)
def test_thinking_can_be_disabled(simulator: Simulator, client: Client, model: str, fields: Any) -> None:
    simulator.script.say("Hello", thinking="Hm.")
    assert "reasoning" not in _chat(client, model, **fields).json()["choices"][0]["message"]


def test_chat_with_an_empty_script_says_so(client: Client) -> None:
    assert "no reply left" in _chat(client).json()["choices"][0]["message"]["content"]


def test_a_chat_loads_the_model_with_its_own_context_only(client: Client) -> None:
    _chat(client, "plain", num_ctx=9999, options={"num_ctx": 9999}, keep_alive=-1)
    (loaded,) = client.get("/api/ps").json()["models"]
    assert (loaded["name"], loaded["context_length"]) == ("plain:latest", 2048)


@pytest.mark.parametrize(
    ("request_", "status", "kind", "message"),
    [
        ({"model": "no"}, 404, "api_error", "model 'no' not found"),
        ({"model": ""}, 400, "api_error", "model is required"),
        ({"model": "emb"}, 400, "api_error", '"emb" does not support chat'),
        (
            {"model": "plain", "tools": [TOOL]},
            400,
            "api_error",
            "registry.ollama.ai/library/plain:latest does not support tools",
        ),
        ({"model": "plain", "reasoning_effort": "low"}, 400, "api_error", '"plain" does not support thinking'),
        ({"model": "able", "messages": []}, 400, "invalid_request_error", "[] is too short - 'messages'"),
    ],
)
def test_refusals_are_ollamas_and_use_up_no_reply(
    simulator: Simulator, client: Client, request_: Any, status: int, kind: str, message: str
) -> None:
    simulator.script.say("Still here")
    response = client.ask(PATH, **({"messages": MESSAGES} | request_))
    assert response.status_code == status
    assert response.json() == {"error": {"message": message, "type": kind, "param": None, "code": None}}
    assert _chat(client).json()["choices"][0]["message"]["content"] == "Still here"


def test_a_model_can_fail_to_load(simulator: Simulator, client: Client) -> None:
    simulator.faults.add("able", Fail(text="out of memory"), operation="load")
    response = _chat(client)
    assert (response.status_code, response.json()["error"]["message"]) == (500, "out of memory")
