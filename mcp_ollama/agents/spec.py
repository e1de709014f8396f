"""An agent on a model, described the way Pydantic AI reads it; pure, and without a use of Pydantic AI."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.facts import configured_context, parse_parameters, trained_context
from mcp_ollama.models.lookup import find_running
from mcp_ollama.models.selection import best_chat_model
from mcp_ollama.ollama.addresses import openai_base_url
from mcp_ollama.ollama.error_messages import sanitize
from mcp_ollama.ollama.errors import InvalidModelName, ModelError, ModelNotFoundError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel
from mcp_ollama.settings import OllamaSettings

_CUT = (
    "A longer prompt is cut at its beginning without an error, tool definitions first. It cannot be set per request: "
    "start Ollama with OLLAMA_CONTEXT_LENGTH, or use a variant of the model with the parameter num_ctx."
)
_KEY_NEEDED = (
    "The server wants a key or headers, which are not in this document. Set MCP_OLLAMA_BASE_URL and MCP_OLLAMA_API_KEY "
    "or MCP_OLLAMA_HEADERS for agent_from_config; OLLAMA_API_KEY for Agent.from_spec alone."
)
_NO_TOOLS = (
    "{model} cannot call tools: Ollama refuses a request that offers some (400). Give the agent no tools or toolsets, "
    "or take a model that list_models shows with the capability tools."
)


async def configuration(catalog: Catalog, settings: OllamaSettings, model: str | None = None) -> dict[str, Any]:
    """Describe an agent on an installed model (`GET /api/tags`, `GET /api/ps`, `POST /api/show`).

    Args:
        catalog: The models of the server.
        settings: Where the server is.
        model: The model; None is the best installed chat model.

    Raises:
        InvalidModelName: Ollama would refuse the name.
        ModelNotFoundError: The model, or any chat model, is not installed.
        ModelError: The model is none for chats.
        OllamaError: The server cannot be asked.
    """
    running = await catalog.running() or []
    if model is not None:
        found, _ = await catalog.find(model)
        return describe(found, await catalog.info(found), running, settings)
    models = await catalog.ollama.list_models()
    best = best_chat_model(models, await catalog.facts(models), running)
    if best is None:
        raise no_chat_model_installed(settings.base_url)
    return describe(best.model, await catalog.info(best.model), running, settings, best.why)


def no_chat_model_installed(base_url: str) -> ModelNotFoundError:
    """Build the error for a server without any model for chats."""
    return ModelNotFoundError(
        f"No chat model is installed on {base_url}.",
        "Pull one first: pull_model with llama3.2, or `ollama pull llama3.2`.",
        model="",
    )


def describe(
    model: InstalledModel,
    info: ModelInfo,
    running: Iterable[RunningModel],
    settings: OllamaSettings,
    why: str = "It was asked for by name.",
) -> dict[str, Any]:
    """Describe an agent on a chat model: an `AgentSpec`, and under `metadata.ollama` all that it has no field for.

    It holds no key, and no text of the model's own: such a text could give the agent instructions.

    Args:
        model: Its row of `/api/tags`.
        info: Its `/api/show`.
        running: The rows of `/api/ps`.
        settings: Where the server is.
        why: Why this model, as a sentence.

    Raises:
        ModelError: The model is none for chats; the sentence says what it is for.
    """
    if "completion" not in info.capabilities:
        raise _no_chat_model(model, info)
    base_url = openai_base_url(settings.base_url)
    cloud = is_cloud(model.name, model.remote_host or info.remote_host, settings.base_url)
    capable = {name: name in info.capabilities for name in ("tools", "vision", "thinking", "embedding")}
    modes = ["tool"] * capable["tools"] + ["native"] * (not cloud) + ["prompted"]
    lengths = _context_lengths(model, info, running)
    window = _context_window(lengths, cloud=cloud)
    warnings = [*_context_warnings(model.name, lengths, window), *_place_warnings(model.name, settings, cloud=cloud)]
    told = {
        "base_url": base_url,
        "env": {"OLLAMA_BASE_URL": base_url},
        "model": model.name,
        "why": why,
        "capabilities": capable,
        "output_modes": modes,
        "context_length": lengths,
        "profile": _profile(capable, modes[0], window, cloud=cloud),
        "warnings": warnings if capable["tools"] else [_NO_TOOLS.format(model=model.name), *warnings],
    }
    # Small models often miss the output tool at first, so they get two more tries.
    return {"model": f"ollama:{model.name}", "name": "ollama", "retries": 2, "metadata": {"ollama": told}}


def to_text(document: Mapping[str, Any]) -> str:
    """Write such a document as its resource has it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _no_chat_model(model: InstalledModel, info: ModelInfo) -> ModelError:
    what = f"It can do: {sanitize(', '.join(info.capabilities), 100) or 'nothing that this server tells of'}."
    if "embedding" in info.capabilities:
        what = f'It is for embeddings: use Embedder("ollama:{model.name}") of Pydantic AI.'
    return ModelError(
        f"{model.name} is no chat model, so no agent can run on it. {what} For an agent, take a model that "
        "list_models shows with the capability completion.",
        model.name,
        {"error": "not a chat model"},
    )


def is_cloud(model: str, remote_host: str, base_url: str) -> bool:
    """Tell whether a model runs on ollama.com: its name, its `remote_host` or the server's address says so."""
    on_ollama_com = f".{urlsplit(base_url).hostname}".endswith(".ollama.com")
    return bool(remote_host) or on_ollama_com or _is_named_for_the_cloud(model)


def _is_named_for_the_cloud(model: str) -> bool:
    try:
        return ModelName.for_pull(model).is_cloud
    except InvalidModelName:
        # A server may list what its own parser would refuse.
        return False


def wire_profile(*, cloud: bool) -> dict[str, Any]:
    """Give the part of a model profile that holds for all models behind Ollama's `/v1/chat/completions`."""
    # Ollama ignores `max_completion_tokens` without a word. Its cloud ignores JSON schemas, and any explicit profile
    # switches off that Pydantic AI looks for the cloud.
    return {"openai_chat_supports_max_completion_tokens": False, "supports_json_schema_output": not cloud}


def _profile(capable: Mapping[str, bool], mode: str, window: int | None, *, cloud: bool) -> dict[str, Any]:
    """Make a partial model profile, which Pydantic AI merges over that of the model's family."""
    profile = {
        "supports_tools": capable["tools"],
        "supports_image_input": capable["vision"],
        "supports_thinking": capable["thinking"],
        # Some families always think elsewhere; here the model decides whether it can, and the caller whether it does.
        "thinking_always_enabled": False,
        "default_structured_output_mode": mode,
        **wire_profile(cloud=cloud),
    }
    if capable["thinking"]:
        profile |= {"openai_supports_reasoning_effort_none": True, "openai_chat_supports_max_reasoning_effort": True}
    return profile | ({"context_window": window} if window else {})


def _context_lengths(model: InstalledModel, info: ModelInfo, running: Iterable[RunningModel]) -> dict[str, int]:
    lengths = {
        "trained": trained_context(info) or model.details.context_length,
        "configured": configured_context(parse_parameters(info.parameters)),
        "loaded": next((one.context_length for one in find_running(model, running)), 0),
    }
    return {name: length for name, length in lengths.items() if length}


def _context_window(lengths: Mapping[str, int], *, cloud: bool) -> int | None:
    """Give the true window in tokens; None while only Ollama knows how much memory it will spend on it."""
    if cloud:
        return lengths.get("trained")
    if "configured" not in lengths:
        return lengths.get("loaded")
    # A request on /v1 brings no num_ctx, so that Ollama loads the model anew with its own where another client had
    # it loaded with more; it never makes it larger than the model was trained for.
    return min(lengths["configured"], lengths.get("trained", lengths["configured"]))


def _context_warnings(model: str, lengths: Mapping[str, int], window: int | None) -> Iterable[str]:
    trained = lengths.get("trained", 0)
    if window is None:
        yield f"How many tokens of context {model} gets is unknown until it is loaded, often only 4096. {_CUT}"
    elif window < trained:
        yield f"The context window is {window} of {trained} tokens. {_CUT}"


def _place_warnings(model: str, settings: OllamaSettings, *, cloud: bool) -> Iterable[str]:
    if cloud:
        yield (
            f"{model} runs in the cloud: prompts leave the server, which must be signed in (`ollama signin`), and "
            "JSON schemas are not enforced."
        )
    if settings.plain_api_key() or settings.headers:
        yield _KEY_NEEDED
