"""Facts about a model from the answer of `/api/show`; without I/O."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mcp_ollama.ollama.sanitizing import clean_text, truncate
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo

_FROM = re.compile(r"^FROM (\S.*?)\s*$", re.MULTILINE)
_MAX_PATHS = 20
_MAX_PATH = 1024
_WEIGHTS = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_WHOLE = re.compile(r"[0-9]{1,15}|[0-9](\.[0-9]{1,15})?e\+[0-9]{2}")  # Go writes a million as 1e+06
_PARAMETER = re.compile(r"^(\S+)\s+(.*)$")
_MAX_LICENSE_NAME = 80
_MAX_TITLE = 200
_LEAST_CONTEXT = 4
_LEAST_VISION_CONTEXT = 2048
_MAX_VALUE = 200


@dataclass(frozen=True, slots=True)
class Facts:
    """The part of `/api/show` that is remembered; it holds for every model of the same digest.

    Args:
        capabilities: In Ollama's words: `completion`, `tools`, `vision`, `embedding`, `thinking`, …
        context_length: Tokens that the model was trained for; None when unknown.
        weights: SHA-256 (64 hex digits) of the weights blob; None when the server does not name it.
        title: The `general.name` of the weights, such as "Qwen3 4B Instruct 2507"; empty when unknown.
        sources: What the `FROM` lines of the modelfile name: paths of the blobs on the server, or a model.
    """

    capabilities: tuple[str, ...]
    context_length: int | None
    weights: str | None
    title: str = ""
    sources: tuple[str, ...] = ()


def facts_of(info: ModelInfo) -> Facts:
    """Read the facts from a `/api/show` answer."""
    weights = _WEIGHTS.search(info.modelfile)
    title = (info.model_info or {}).get("general.name")
    return Facts(
        capabilities=tuple(sorted(info.capabilities)),
        context_length=trained_context(info),
        weights=weights[1] if weights else None,
        title=title[:_MAX_TITLE] if isinstance(title, str) else "",
        sources=tuple(source for source in _FROM.findall(info.modelfile)[:_MAX_PATHS] if len(source) <= _MAX_PATH),
    )


def file_digests(info: ModelInfo) -> list[str]:
    """Return the SHA-256 (64 hex digits) of each file that the modelfile names: weights, then projectors."""
    return _WEIGHTS.findall(info.modelfile)


def capabilities_of(model: InstalledModel, facts: Facts | None) -> list[str]:
    """Return the capabilities from `/api/show`; from `/api/tags`, which misses some, only without facts."""
    return list(facts.capabilities) if facts else sorted(model.capabilities)


def needs_show(model: InstalledModel) -> bool:
    """Return whether only `/api/show` knows what a model can do.

    For a cloud model the server asks ollama.com, so its row of `/api/tags` suffices where it lists capabilities.
    """
    return not (model.remote_host and model.capabilities)


def trained_context(info: ModelInfo) -> int | None:
    """Read the context length in tokens that the model was trained for; None when unknown."""
    known = info.model_info or {}
    length = known.get(f"{known.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and length > 0 else None


def configured_context(parameters: Mapping[str, object]) -> int | None:
    """Read the context length that the model's own `num_ctx` parameter sets; None when it sets none."""
    value = parameters.get("num_ctx")
    return int(float(value)) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def effective_context(asked: int, trained: int | None, capabilities: Collection[str]) -> int:
    """Return the context length that Ollama loads for `num_ctx`.

    It is at most what the model was trained for, and at least 4, or 2048 where it has vision (`getRunner` of
    server/sched.go).
    """
    raised = max(asked, _LEAST_VISION_CONTEXT if "vision" in capabilities else _LEAST_CONTEXT)
    return min(raised, trained or raised)


def parameter_count(info: ModelInfo) -> int | None:
    """Read the number of weights; None when unknown."""
    count = (info.model_info or {}).get("general.parameter_count")
    return count if isinstance(count, int) and count > 0 else None


def license_name(info: ModelInfo) -> str | None:
    """Return the GGUF's own short name of the licence, else the first line of its text, at most 80 characters."""
    known = (info.model_info or {}).get("general.license")
    texts = info.license if isinstance(info.license, list) else [info.license or ""]
    first = next((line.strip() for line in "\n".join(texts).splitlines() if line.strip()), "")
    name = known if isinstance(known, str) and known else first
    return name[:_MAX_LICENSE_NAME] or None


def parse_parameters(text: str) -> dict[str, str | list[str]]:
    """Parse the `parameters` text of `/api/show`: a name and a value per line; repeated names become a list.

    The values stay texts of at most 200 characters, as Ollama prints them, without the quotes and escapes of strings.
    """
    found: dict[str, str | list[str]] = {}
    for name, value in sorted(_parameter_lines(text)):
        match found.get(name):
            case None:
                found[name] = value
            case list(values):
                values.append(value)
            case first:
                found[name] = [first, value]
    return found


def _parameter_lines(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        if match := _PARAMETER.match(line.strip()):
            # Cleaned again, since its quotes escape what was cleaned from the whole.
            yield match[1], truncate(clean_text(_unquote(match[2])), _MAX_VALUE)


def _unquote(value: str) -> str:
    # Go's quotes are JSON's except for a few rare escapes.
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    try:
        # JSON accepts half a surrogate pair; UTF-8 does not.
        return str(json.loads(value)).encode("utf-8", "replace").decode()
    except ValueError:
        return value[1:-1]
