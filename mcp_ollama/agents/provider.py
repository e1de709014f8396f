"""Pydantic AI on an Ollama server: find a model, check the server, build models and agents.

`pydantic_ai` (the extra `[pydantic-ai]`) is imported only when a model or an agent is built.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel

from mcp_ollama.agents.http_client import new_agent_client
from mcp_ollama.agents.spec import configuration, is_cloud, no_chat_model_installed, no_tools, wire_profile
from mcp_ollama.models.app import build_client
from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.facts import capabilities_of
from mcp_ollama.ollama.addresses import openai_base_url, parse_host
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    ModelError,
    OllamaConnectionError,
    OllamaError,
    OllamaStatusError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.pasted_names import unwrap
from mcp_ollama.settings import OllamaSettings

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models.ollama import OllamaModel

INSTALL = "pip install 'pydantic-ai-slim[openai]>=2.30,<3'"
"""The package that the extra installs, by its own name: this package is installed, and may not be on PyPI."""

HEALTH_SECONDS = 10
"""Limit of one request of the health check, whatever the settings allow."""

# Pydantic AI and the OpenAI client require a key; without one they send OLLAMA_API_KEY or OPENAI_API_KEY of the
# environment to any address.
_NO_KEY = "none"

_USED_FIELDS = ("model", "name", "retries", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealthStatus:
    """Whether agents can use an Ollama server.

    Args:
        connected: A server answers there in Ollama's or OpenAI's protocol.
        model_detected: A chat model is installed that an agent can use.
        model_id: Its name, as Ollama lists it.
        base_url: Address of the OpenAI-compatible API, with `/v1`.
        provider_type: The kind of server; `ollama` when none answers.
        error: The cause and the next step; None without an error.
    """

    connected: bool = True
    model_detected: bool = False
    model_id: str | None = None
    base_url: str
    provider_type: Literal["ollama", "openai-compatible", "unknown"] = "ollama"
    error: str | None = None


async def detect_ollama_model(
    base_url: str | None = None,
    timeout: float = 10,  # noqa: ASYNC109 - of each request, and it becomes one of our errors
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Find the newest installed chat model, ties by name (`GET /api/tags`, `POST /api/show`).

    Args:
        base_url: The Ollama server, with or without `/v1`; None is the environment's.
        timeout: Seconds for one request.
        api_key: Sent only to this server; the environment's is used only when `base_url` is None.
        headers: Further request headers.

    Returns:
        Its name as Ollama lists it; None when no chat model is installed.

    Raises:
        ModelError: The server cannot be asked.
    """
    with _model_errors(None):
        ollama = OllamaClient(base_url, timeout, api_key=api_key, headers=headers)
    with _model_errors(None, ollama.base_url):
        async with ollama:
            return await _newest_chat_model(Catalog(ollama))


async def _newest_chat_model(catalog: Catalog) -> str | None:
    damaged = None
    for model in await catalog.ollama.list_models():
        known = (await catalog.facts([model]))[model.digest]
        if "completion" in capabilities_of(model, known):
            if known or model.remote_host:
                return model.name
            # Listed, but /api/show fails.
            damaged = damaged or model.name
    return damaged


async def ollama_health_check(settings: OllamaSettings | None = None) -> ProviderHealthStatus:
    """Check that agents can use the server; never raises, never loads a model, asks `/api/version` first.

    Args:
        settings: None reads the environment. A `model_name` that was set must be an installed chat model; else any
            chat model is accepted.
    """
    try:
        settings = settings or OllamaSettings.load()
    except ValueError as error:
        return ProviderHealthStatus(base_url="", connected=False, provider_type="unknown", error=str(error))
    status = ProviderHealthStatus(base_url=openai_base_url(settings.base_url))
    async with build_client(settings, limit=HEALTH_SECONDS) as ollama:
        try:
            await ollama.get_version()
        except OllamaConnectionError as error:
            return replace(status, connected=False, error=str(error))
        except OllamaError as error:
            return replace(await _probe_openai_api(status, ollama), error=str(error))
        try:
            catalog = Catalog(ollama)
            document = await configuration(catalog, settings, await _resolve_model_name(catalog, settings))
        except (OllamaError, ValueError) as error:
            return replace(status, error=str(error))
    return replace(status, model_detected=True, model_id=document["metadata"]["ollama"]["model"])


async def _probe_openai_api(status: ProviderHealthStatus, ollama: OllamaClient) -> ProviderHealthStatus:
    try:
        await ollama.check_openai_api()
    except OllamaError:
        return replace(status, connected=False, provider_type="unknown")
    return replace(status, provider_type="openai-compatible")


async def _resolve_model_name(catalog: Catalog, settings: OllamaSettings, *, detect: bool = True) -> str:
    """Return the name that was set, else the newest chat model, else the default."""
    if not detect or "model_name" in settings.model_fields_set:
        return settings.model_name
    name = await _newest_chat_model(catalog)
    if name is None:
        raise await no_chat_model_installed(catalog, settings.base_url)
    return name


def create_ollama_model(
    model_name: str | None = None,
    settings: OllamaSettings | None = None,
    auto_detect: bool = False,  # noqa: FBT001, FBT002 - as in the asynchronous form
) -> "OllamaModel":
    """Build a Pydantic AI model without any request.

    The capabilities of the model are then unknown: `create_ollama_model_async` reads them, which thinking and
    structured output need.

    Args:
        model_name: The model; None is the settings' `model_name`.
        settings: None reads the environment.
        auto_detect: Not supported here.

    Raises:
        ModelError: The name or a setting is wrong, or `auto_detect` is set.
        ImportError: Pydantic AI is not installed; the text names the command.
    """
    if auto_detect:
        problem = "create_ollama_model asks no server, so it cannot detect a model: await create_ollama_model_async()."
        raise ModelError(problem, model_name, {"error": "auto_detect"})
    with _model_errors(model_name):
        settings = settings or OllamaSettings.load()
        name = settings.model_name if model_name is None else model_name
        ModelName.for_pull(name)
    profile = wire_profile(cloud=is_cloud(name, "", settings.base_url))
    return _model(name, settings.base_url, profile, settings)


async def create_ollama_model_async(
    model_name: str | None = None,
    settings: OllamaSettings | None = None,
    auto_detect: bool = True,  # noqa: FBT001, FBT002 - part of the public signature
    test_connection: bool = True,  # noqa: FBT001, FBT002 - part of the public signature
) -> "OllamaModel":
    """Build a Pydantic AI model for an installed model, with a profile from its capabilities.

    Args:
        model_name: The model; None is the settings' `model_name` when it was set.
        settings: None reads the environment.
        auto_detect: Use the newest installed chat model when none was set.
        test_connection: Check that the server answers and has this chat model; no model is loaded.

    Raises:
        ModelError: The server cannot be asked, or the model is not installed or not a chat model.
        ImportError: Pydantic AI is not installed; the text names the command.
    """
    with _model_errors(model_name):
        settings = settings or OllamaSettings.load()
    with _model_errors(model_name, settings.base_url):
        async with build_client(settings) as ollama:
            catalog = Catalog(ollama)
            name = model_name
            if name is None:
                name = await _resolve_model_name(catalog, settings, detect=auto_detect)
            if not test_connection:
                return create_ollama_model(name, settings)
            described = (await configuration(catalog, settings, name))["metadata"]["ollama"]
    return _model(name, settings.base_url, described["profile"], settings)


def agent_from_config(document: Mapping[str, Any] | str, **overrides: Any) -> "Agent[Any, Any]":
    """Build the agent that a document of `ollama://config/pydantic-ai` describes, with its profile.

    Only `model`, `name`, `retries` and `metadata` of the document are used: it may configure a model, and cannot give
    the agent tools, instructions or addresses of MCP servers.

    The key and the headers of the environment are sent only when the environment names the same server.

    Args:
        document: The text of the resource, or the parsed object.
        overrides: As for `Agent.from_spec`: `toolsets`, `output_type`, `instructions`, `model_settings`, …

    Raises:
        ModelError: It is not such a document.
        ImportError: Pydantic AI is not installed; the text names the command.
    """
    spec = {key: value for key, value in _parse(document).items() if key in _USED_FIELDS}
    if "model" not in overrides:
        overrides["model"] = _described_model(spec)
        _check_tools(spec, overrides)
    with _extra():
        from pydantic_ai import Agent  # noqa: PLC0415 - the extra
    with _model_errors(None):
        return Agent.from_spec(spec, **overrides)


def _parse(document: Mapping[str, Any] | str) -> Mapping[str, Any]:
    try:
        parsed: object = json.loads(document) if isinstance(document, str) else document
    except (RecursionError, ValueError) as error:
        raise _not_a_document("it is not JSON", error) from error
    if not isinstance(parsed, Mapping):
        raise _not_a_document("it is not a JSON object", type(parsed))
    return cast("Mapping[str, Any]", parsed)


def _not_a_document(why: str, cause: object) -> ModelError:
    problem = f"This is not a document of ollama://config/pydantic-ai: {why}. Read that resource, and pass its text."
    return ModelError(problem, None, {"error": repr(cause)})


def _check_tools(spec: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Raise the document's warning when tools are given to a model without tools: Ollama answers 400 to each run."""
    described = _Description.model_validate(spec["metadata"]["ollama"])
    given = [name for name in ("tools", "toolsets") if overrides.get(name)]
    if given and described.profile.get("supports_tools") is False:
        raise ModelError(no_tools(described.model), described.model, {"error": "no tools", "given": given})


class _Description(BaseModel):
    """Required fields of `metadata.ollama` in a document."""

    model: str
    base_url: str
    profile: dict[str, Any]


def _described_model(spec: Mapping[str, Any]) -> "OllamaModel":
    try:
        described = _Description.model_validate(spec["metadata"]["ollama"])
        base_url = parse_host(described.base_url)
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_document("its metadata.ollama is missing or incomplete", error) from error
    with _model_errors(described.model):
        settings = OllamaSettings.load()
    # A document must not make us send the key to another address.
    return _model(described.model, base_url, described.profile, settings if settings.base_url == base_url else None)


def _model(name: str, base_url: str, profile: Mapping[str, Any], settings: OllamaSettings | None) -> "OllamaModel":
    with _extra():
        from openai import AsyncOpenAI  # noqa: PLC0415 - the extra
        from pydantic_ai.providers.ollama import OllamaProvider  # noqa: PLC0415 - the extra

        from mcp_ollama.agents.chat_model import OllamaChatModel  # noqa: PLC0415 - needs the extra

    key = (settings.plain_api_key() if settings else None) or _NO_KEY
    headers = {"Authorization": f"Bearer {key}"} | (settings.plain_headers() if settings else {})
    with _model_errors(name, base_url):
        http = new_agent_client(base_url, headers)
    client = AsyncOpenAI(base_url=openai_base_url(base_url), api_key=key, http_client=http)
    return OllamaChatModel(
        unwrap(name).strip(), provider=OllamaProvider(openai_client=client), profile=cast("Any", profile)
    )


@contextmanager
def _model_errors(model_name: str | None, base_url: str | None = None) -> Generator[None]:
    """Convert errors to ModelError, chained from their cause."""
    try:
        yield
    except ModelError:
        raise
    except (OllamaError, RecursionError, ValueError) as error:
        details: dict[str, object] = {"error": error.problem if isinstance(error, OllamaError) else str(error)}
        if base_url:
            details["url"] = base_url
        if isinstance(error, OllamaStatusError):
            details["status_code"] = error.status_code
        raise ModelError(str(error), model_name, details) from error


@contextmanager
def _extra() -> Generator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(f"This needs Pydantic AI, which is not installed: {INSTALL}") from error
