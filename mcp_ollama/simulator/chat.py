"""`POST /v1/chat/completions`: scripted replies, whole or streamed, and Ollama's errors."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mcp_ollama.simulator.documents import capabilities
from mcp_ollama.simulator.exchange import PLAIN_JSON, Exchange, Stream
from mcp_ollama.simulator.library import Installed
from mcp_ollama.simulator.references import to_use
from mcp_ollama.simulator.script import Reply
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.transfers import meet_faults
from mcp_ollama.simulator.wire import Refusal, decode, encode

_EVENTS = "text/event-stream"


async def completions(simulator: Simulator, exchange: Exchange) -> None:
    """Send a chat completion; only a valid request consumes the next scripted reply."""
    try:
        request = _read(exchange)
    except Refusal as refusal:
        await _refuse(exchange, refusal, "invalid_request_error")
        return
    try:
        model = _model(simulator, request)
        await _load(simulator, exchange, model)
    except Refusal as refusal:
        # As of 0.33 only a malformed request has a type of its own, whatever the status.
        await _refuse(exchange, refusal, "api_error")
        return
    answer = _Answer(simulator, request, _without_unwanted_thinking(simulator.script.next(), request, model))
    if request.get("stream") is True:
        await exchange.begin(_EVENTS)
        for chunk in answer.chunks():
            await exchange.chunk(b"data: " + encode(chunk) + b"\n\n")
        await exchange.chunk(b"data: [DONE]\n\n", last=True)
    else:
        await exchange.reply(encode(answer.whole()) + b"\n", media_type=PLAIN_JSON)


async def _refuse(exchange: Exchange, refusal: Refusal, kind: str) -> None:
    error = {"message": str(refusal), "type": kind, "param": None, "code": None}
    await exchange.reply(encode({"error": error}) + b"\n", refusal.status, PLAIN_JSON)


def _read(exchange: Exchange) -> dict[str, Any]:
    request = decode(exchange.body, "ChatCompletionRequest")
    if not request.get("messages"):
        raise Refusal("[] is too short - 'messages'", 400)
    return request


def _model(simulator: Simulator, request: dict[str, Any]) -> Installed:
    reference = to_use(request.get("model") or "", Refusal("model is required", 400))
    model = simulator.library.find(reference.name)
    if model is None:
        raise Refusal(f"model '{reference.text}' not found", 404)
    able = capabilities(model.manifest)
    if "completion" not in able:
        raise Refusal(f'"{reference.text}" does not support chat', 400)
    if request.get("tools") and "tools" not in able:
        raise Refusal(f"{model.name.full} does not support tools", 400)
    if _effort(request) not in ("", "none") and "thinking" not in able:
        raise Refusal(f'"{reference.text}" does not support thinking', 400)
    return model


def _effort(request: dict[str, Any]) -> str:
    reasoning: dict[str, str] = request.get("reasoning") or {}
    return request.get("reasoning_effort") or reasoning.get("effort", "")


async def _load(simulator: Simulator, exchange: Exchange, model: Installed) -> None:
    # `/v1` ignores `num_ctx` and `keep_alive` anywhere in the request (openai/openai.go).
    await meet_faults(simulator, model.name, Stream(exchange, streamed=False), "load")
    await simulator.runners.load(model, None, model.manifest.parameters.get("num_ctx"))


def _without_unwanted_thinking(reply: Reply, request: dict[str, Any], model: Installed) -> Reply:
    """Remove the thinking when the model has none or the request turns it off."""
    thinks = "thinking" in capabilities(model.manifest) and _effort(request) != "none"
    return reply if thinks else replace(reply, thinking="")


class _Answer:
    """A reply in the two forms of the OpenAI API."""

    def __init__(self, simulator: Simulator, request: dict[str, Any], reply: Reply) -> None:
        self._request = request
        self._reply = reply
        self._created = int(simulator.now())
        self._number = len(simulator.requests)
        tokens = _tokens(reply.text)
        limit = request.get("max_tokens") or len(tokens)
        self._tokens = tokens[:limit]
        self._end = "tool_calls" if reply.calls else "length" if len(tokens) > limit else "stop"

    def whole(self) -> dict[str, Any]:
        message = self._message("".join(self._tokens), thinking=self._reply.thinking, calls=self._calls())
        choice = {"index": 0, "message": message, "finish_reason": self._end}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def chunks(self) -> Iterator[dict[str, Any]]:
        if self._reply.thinking:
            yield self._chunk(self._message("", thinking=self._reply.thinking))
        for token in self._tokens:
            yield self._chunk(self._message(token))
        if calls := self._calls():
            yield self._chunk(self._message("", calls=calls))
        yield self._chunk(self._message(""), self._end)
        options: dict[str, Any] = self._request.get("stream_options") or {}
        if options.get("include_usage"):
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()}

    def _chunk(self, delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._number}",
            "object": kind,
            "created": self._created,
            "model": self._request["model"],
            "system_fingerprint": "fp_ollama",
        }

    def _message(self, text: str, *, thinking: str = "", calls: list[Any] | None = None) -> dict[str, Any]:
        optional = {"reasoning": thinking, "tool_calls": calls}
        return {"role": "assistant", "content": text} | {key: value for key, value in optional.items() if value}

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{self._number}_{index}",
                "index": index,
                "type": "function",
                "function": {"name": tool, "arguments": encode(arguments).decode()},
            }
            for index, (tool, arguments) in enumerate(self._reply.calls.items())
        ]

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(_tokens(str(message.get("content") or ""))) for message in self._request["messages"])
        said = len(self._tokens)
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)
