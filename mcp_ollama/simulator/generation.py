"""Text of `/api/generate`: the words of numbers, with the counts and durations that Ollama reports."""

from collections.abc import Iterator, Mapping
from typing import Any

from mcp_ollama.simulator.exchange import Exchange
from mcp_ollama.simulator.runners import Runners
from mcp_ollama.simulator.wire import encode

_NANOSECONDS = 1_000_000_000
_CHARACTERS_PER_TOKEN = 4
_DEFAULT_TOKENS = 16
_LONGEST_TOKENS = 4096


async def send_text(exchange: Exchange, runners: Runners, request: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Send a generated text, as lines unless the request turns streaming off.

    Args:
        exchange: The request.
        runners: How fast tokens are.
        request: The body of the request.
        head: The fields that each line begins with.
    """
    count = _token_count(request)
    words = [f" {number}" for number in range(1, count + 1)]
    last = {**head, "response": "", "done": True, "done_reason": "length", **_timing(runners, request["prompt"], count)}
    if request.get("stream") is False:
        await exchange.json({**last, "response": "".join(words)})
        return
    await exchange.begin()
    for line in _lines(words, head):
        await exchange.chunk(line)
    await exchange.chunk(encode(last) + b"\n", last=True)


def _lines(words: list[str], head: Mapping[str, Any]) -> Iterator[bytes]:
    for word in words:
        yield encode({**head, "response": word, "done": False}) + b"\n"


def _token_count(request: Mapping[str, Any]) -> int:
    options: Mapping[str, Any] = request.get("options") or {}
    asked = options.get("num_predict", _DEFAULT_TOKENS)
    return min(asked, _LONGEST_TOKENS) if asked > 0 else _DEFAULT_TOKENS


def _timing(runners: Runners, prompt: str, count: int) -> dict[str, int]:
    prompt_count = max(1, len(prompt) // _CHARACTERS_PER_TOKEN)
    prompt_duration = int(prompt_count * _NANOSECONDS / runners.prompt_tokens_per_second)
    duration = int(count * _NANOSECONDS / runners.tokens_per_second)
    return {
        "total_duration": prompt_duration + duration,
        "load_duration": 1,
        "prompt_eval_count": prompt_count,
        "prompt_eval_duration": prompt_duration,
        "eval_count": count,
        "eval_duration": duration,
    }
