"""Model names as each endpoint parses them; rules and refusals differ."""

from typing import Any, NamedTuple

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import ModelName, split_source
from mcp_ollama.simulator.wire import Refusal


class Reference(NamedTuple):
    """Name, the text of the request, and whether the model is to run on ollama.com."""

    name: ModelName
    text: str
    is_cloud: bool = False


def requested_name(request: dict[str, Any]) -> str:
    """Return the `model` of a request, or the older `name`."""
    return request.get("model") or request.get("name") or ""


def plain(text: str, refusal: str) -> ModelName:
    """Read a name without any suffix rules, as copy and create do."""
    try:
        return ModelName.parse(text)
    except InvalidModelName as error:
        raise Refusal(refusal, 400) from error


def for_pull(text: str, refusal: str) -> ModelName:
    """Read a name as pull and delete do."""
    _check_sources(text)
    try:
        return ModelName.for_pull(text)
    except InvalidModelName as error:
        raise Refusal(refusal, 400) from error


def to_use(text: str, empty: Refusal) -> Reference:
    """Read a name as show, generate, chat and embed do."""
    if not text.strip():
        raise empty
    _check_sources(text)
    base, source = split_source(text)
    name = plain(base if source == "local" else text.strip(), "invalid model name")
    return Reference(name, text, is_cloud=source == "cloud")


def _check_sources(text: str) -> None:
    try:
        split_source(text)
    except InvalidModelName as error:
        if text.strip():
            raise Refusal(f'use either :local or :cloud, not both: "{text}"', 400) from error
