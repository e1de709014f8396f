"""Descriptions of agents as Pydantic AI reads them (`AgentSpec`), built without Pydantic AI."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.chat_choice import best_chat_model
from mcp_ollama.models.facts import configured_context, effective_context, parse_parameters, trained_context
from mcp_ollama.models.lookup import find_running
from mcp_ollama.ollama.addresses import is_ollama_com, openai_base_url
from mcp_ollama.ollama.errors import InvalidModelName, ModelError, ModelNotFoundError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel
from mcp_ollama.settings import OllamaSettings

_CUT = (
    "A longer prompt is cut at its beginning without an error, tool definitions first. It cannot be set per request: "
    "start Ollama with OLLAMA_CONTEXT_LENGTH, or use a variant of the model with the parameter num_ctx."
)
TOOLS_TOKENS = 6000
"""Of the definitions of all tools: 22 KB of JSON at some 3.7 bytes a token."""

_KEY_NEEDED = (
    "The server requires a key or headers, which this document leaves out. Set MCP_OLLAMA_BASE_URL and "
    "MCP_OLLAMA_API_KEY or MCP_OLLAMA_HEADERS for agent_from_config; OLLAMA_API_KEY for Agent.from_spec."
)
_NO_TOOLS = (
    "{model} cannot call tools: Ollama refuses requests with tools (400). Give the agent no tools or toolsets, "
    "or use a model that list_models shows with the capability tools."
)


_UPDATE = "Update Ollama: https://ollama.com/download. Before 0.6.4 it reported no capabilities."


async def configuration(catalog: Catalog, settings: OllamaSettings, model: str | None = None) -> dict[str, Any]:
    """Describe an agent on an installed model (`GET /api/tags`, `GET /api/ps`, `POST /api/show`).

    Args:
        catalog: The models of the server.
        settings: The address of the server.
        model: The model; None is the best installed chat model.

    Raises:
        InvalidModelName: Ollama would refuse the name.
        ModelNotFoundError: The model, or any chat model, is not installed.
        ModelError: The model is not a chat model.
        OllamaError: The server cannot be asked.
    """
    models, running = await catalog.installed_and_running()
    if model is not None:
        found = await catalog.find_usable(model, models)
        return describe(found, await catalog.info(found), running or [], settings)
    best = best_chat_model(models, await catalog.facts(models), running or [])
    if best is None:
        raise await no_chat_model_installed(catalog, settings.base_url)
    return describe(best.model, await catalog.info(best.model), running or [], settings, best.why)


async def no_chat_model_installed(catalog: Catalog, base_url: str) -> ModelNotFoundError:
    """Build the error for a server without any model for chats, or one that does not report what its models can do."""
    facts = (await catalog.facts(await catalog.ollama.list_models())).values()
    if facts and all(known and not known.capabilities for known in facts):
        return ModelNotFoundError(f"{base_url} does not report what its models can do.", _UPDATE, model="")
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
    why: str = "It was requested by name.",
) -> dict[str, Any]:
    """Build the description of an agent: an `AgentSpec`, with everything else under `metadata.ollama`.

    It contains no key, and no text of the model, which could give the agent instructions.

    Args:
        model: Its row of `/api/tags`.
        info: Its `/api/show`.
        running: The rows of `/api/ps`.
        settings: The address of the server.
        why: The reason for this model, as a sentence.

    Raises:
        ModelError: The model is not a chat model; the sentence names its use.
    """
    if "completion" not in info.capabilities:
        raise _no_chat_model(model, info)
    described = _description(model, info, running, settings, why)
    # Small models often miss the output tool at first, hence two retries.
    return {"model": f"ollama:{model.name}", "name": "ollama", "retries": 2, "metadata": {"ollama": described}}


def _description(
    model: InstalledModel, info: ModelInfo, running: Iterable[RunningModel], settings: OllamaSettings, why: str
) -> dict[str, Any]:
    base_url = openai_base_url(settings.base_url)
    cloud = is_cloud(model.name, model.remote_host or info.remote_host, settings.base_url)
    capable = {name: name in info.capabilities for name in ("tools", "vision", "thinking", "embedding")}
    modes = ["tool"] * capable["tools"] + ["native"] * (not cloud) + ["prompted"]
    lengths = _context_lengths(model, info, running)
    window = _context_window(lengths, info.capabilities, cloud=cloud)
    return {
        "base_url": base_url,
        "env": {"OLLAMA_BASE_URL": base_url},
        "model": model.name,
        "why": why,
        "capabilities": capable,
        "output_modes": modes,
        "context_length": lengths,
        "profile": _profile(capable, modes[0], window, cloud=cloud),
        "warnings": [
            *_tools_warnings(model.name, window or lengths.get("trained"), has_tools=capable["tools"]),
            *_context_warnings(model.name, lengths, window),
            *_place_warnings(model.name, settings, cloud=cloud),
        ],
    }


def _tools_warnings(model: str, window: int | None, *, has_tools: bool) -> Iterable[str]:
    if not has_tools:
        yield no_tools(model)
    elif window is not None and window < TOOLS_TOKENS:
        yield (
            f"The definitions of all tools of this server take some {TOOLS_TOKENS} tokens, which do not fit into "
            f"{window}: give the agent only the tools that it needs."
        )


def no_tools(model: str) -> str:
    """Return the sentence about a model that cannot call tools."""
    return _NO_TOOLS.format(model=model)


def to_text(document: Mapping[str, Any]) -> str:
    """Format a document as the text of its resource."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _no_chat_model(model: InstalledModel, info: ModelInfo) -> ModelError:
    if not info.capabilities:
        problem = f"The server does not report what {model.name} can do. {_UPDATE}"
        return ModelError(problem, model.name, {"error": "no capabilities"})
    use = f"Its capabilities: {sanitize(', '.join(info.capabilities), 100)}."
    if "embedding" in info.capabilities:
        use = f'It is for embeddings: use Embedder("ollama:{model.name}") of Pydantic AI.'
    return ModelError(
        f"{model.name} is not a chat model, so no agent can run on it. {use} For an agent, use a model that "
        "list_models shows with the capability completion.",
        model.name,
        {"error": "not a chat model"},
    )


def is_cloud(model: str, remote_host: str, base_url: str) -> bool:
    """Return whether a model runs on ollama.com, by its name, its `remote_host` or the server's address."""
    return bool(remote_host) or is_ollama_com(base_url) or _is_named_for_the_cloud(model)


def _is_named_for_the_cloud(model: str) -> bool:
    try:
        return ModelName.for_pull(model).is_cloud
    except InvalidModelName:
        # A server may list a name that its own parser would reject.
        return False


def wire_profile(*, cloud: bool) -> dict[str, Any]:
    """Build the part of a model profile that is the same for all models of Ollama's `/v1/chat/completions`."""
    # Ollama ignores `max_completion_tokens`. Its cloud ignores JSON schemas, and an explicit profile disables Pydantic
    # AI's cloud detection.
    return {"openai_chat_supports_max_completion_tokens": False, "supports_json_schema_output": not cloud}


def _profile(capable: Mapping[str, bool], mode: str, window: int | None, *, cloud: bool) -> dict[str, Any]:
    """Build a partial model profile, which Pydantic AI merges over that of the model's family."""
    profile = {
        "supports_tools": capable["tools"],
        "supports_image_input": capable["vision"],
        "supports_thinking": capable["thinking"],
        # Some families always think elsewhere; in Ollama the request decides.
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


def _context_window(lengths: Mapping[str, int], capabilities: Collection[str], *, cloud: bool) -> int | None:
    """Return the true window in tokens; None while it depends on the memory that Ollama finds at the load."""
    if cloud:
        return lengths.get("trained")
    if "configured" not in lengths:
        return lengths.get("loaded")
    # A request on /v1 has no num_ctx, so Ollama reloads the model with its own.
    return effective_context(lengths["configured"], lengths.get("trained"), capabilities)


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
