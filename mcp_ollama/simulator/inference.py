"""Handlers that load and unload models; only that of `/api/generate` generates text."""

from typing import Any

from mcp_ollama.simulator.documents import capabilities
from mcp_ollama.simulator.exchange import Exchange, Stream
from mcp_ollama.simulator.generation import send_text
from mcp_ollama.simulator.library import Installed
from mcp_ollama.simulator.references import Reference, to_use
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.transfers import meet_faults
from mcp_ollama.simulator.wire import Refusal, decode, keep_alive, timestamp

_NO_TEXT = "the simulator chats only at /v1/chat/completions"
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


async def generate(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/generate` without a prompt: load, or unload; with one: a text of numbers."""
    request = decode(exchange.body, "GenerateRequest")
    reference = to_use(request.get("model") or "", Refusal("model '' not found", 404))
    await _answer(simulator, exchange, request, reference, "generate", {"response": ""})


async def chat(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/chat` without messages: load, or unload."""
    request = decode(exchange.body, "ChatRequest")
    reference = to_use(request.get("model") or "", Refusal("model is required", 400))
    empty = {"message": {"role": "assistant", "content": ""}}
    await _answer(simulator, exchange, request, reference, "chat", empty)


async def _answer(
    simulator: Simulator,
    exchange: Exchange,
    request: dict[str, Any],
    reference: Reference,
    verb: str,
    empty: dict[str, Any],
) -> None:
    keep = keep_alive(request.get("keep_alive"))
    model = _found(simulator, reference, f"model '{reference.text}' not found")
    if request.get("messages"):
        raise Refusal(_NO_TEXT, 501)
    reason = "load" if keep != 0 else "unload"
    if keep == 0:
        simulator.runners.unload(model)
    elif "embedding" in capabilities(model.manifest):
        raise Refusal(f'"{reference.text}" does not support {verb}', 400)
    else:
        await _load(simulator, exchange, model, request, keep)
    created = timestamp(simulator.now())
    head = {"model": reference.text, "created_at": created}
    if request.get("prompt") and reason == "load":
        await send_text(exchange, simulator.runners, request, head)
        return
    await exchange.json({**head, **empty, "done": True, "done_reason": reason})


async def embed(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/embed`: without input it loads the model, whatever kind it is."""
    request = decode(exchange.body, "EmbedRequest")
    reference = to_use(request.get("model") or "", Refusal("model '' not found", 404))
    keep = keep_alive(request.get("keep_alive"))
    model = _found(simulator, reference, f'model "{reference.text}" not found, try pulling it first')
    await _load(simulator, exchange, model, request, keep)
    if keep == 0:
        simulator.runners.unload(model)
    texts: str | list[str] = request.get("input") or []
    if texts and "embedding" not in capabilities(model.manifest):
        raise Refusal(_NO_EMBEDDINGS, 501)
    embeddings = [[0.0] for _ in ([texts] if isinstance(texts, str) else texts)]
    await exchange.json({"model": reference.text, "embeddings": embeddings})


def _found(simulator: Simulator, reference: Reference, refusal: str) -> Installed:
    model = simulator.library.find(reference.name)
    if model is None:
        raise Refusal(refusal, 404)
    return model


async def _load(
    simulator: Simulator, exchange: Exchange, model: Installed, request: dict[str, Any], keep: float | None
) -> None:
    await meet_faults(simulator, model.name, Stream(exchange, streamed=False), "load")
    options: dict[str, Any] = request.get("options") or {}
    parameters = model.manifest.parameters | options
    await simulator.runners.load(model, keep, parameters.get("num_ctx"))
