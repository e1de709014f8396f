"""Pure reasoning over what Ollama said: no I/O, so that each rule is a table in a test."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo

_WEIGHTS = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"^(\S+)\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Facts:
    """The part of `/api/show` that is worth remembering; it holds for every model of the same digest.

    Args:
        capabilities: In Ollama's words: `completion`, `tools`, `vision`, `embedding`, `thinking`, …
        context_length: Tokens that the model was trained for; None when unknown.
        weights: SHA-256 (64 hex digits) of the weights blob; None when the server does not name it.
    """

    capabilities: tuple[str, ...]
    context_length: int | None
    weights: str | None


def facts_of(info: ModelInfo) -> Facts:
    """Pick the facts out of a `/api/show` answer."""
    weights = _WEIGHTS.search(info.modelfile)
    return Facts(tuple(sorted(info.capabilities)), trained_context(info), weights[1] if weights else None)


def trained_context(info: ModelInfo) -> int | None:
    """Read the context length in tokens that the model was trained for; None when unknown."""
    length = _of_architecture(info, "context_length")
    return length if isinstance(length, int) and length > 0 else None


def _of_architecture(info: ModelInfo, key: str) -> object:
    known = info.model_info or {}
    return known.get(f"{known.get('general.architecture')}.{key}")


def parameter_count(info: ModelInfo) -> int | None:
    """Read the number of weights; None when unknown."""
    count = (info.model_info or {}).get("general.parameter_count")
    return count if isinstance(count, int) and count > 0 else None


def parse_parameters(text: str) -> dict[str, str | list[str]]:
    """Read the `parameters` text of `/api/show`: a name and a value per line; repeated names become a list.

    The values stay texts, as Ollama prints them, without the quotes around strings.
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
            value = match[2].strip()
            yield match[1], value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def configured_context(parameters: Mapping[str, object]) -> int | None:
    """Read the context length that the model's own `num_ctx` parameter sets; None when it sets none."""
    value = parameters.get("num_ctx")
    return int(value) if isinstance(value, str) and value.isdigit() else None


def license_name(info: ModelInfo) -> str | None:
    """Name the licence: the GGUF's own short name, else the first line of its text, at most 80 characters."""
    known = (info.model_info or {}).get("general.license")
    texts = info.license if isinstance(info.license, list) else [info.license or ""]
    first = next((line.strip() for line in "\n".join(texts).splitlines() if line.strip()), "")
    name = known if isinstance(known, str) and known else first
    return name[:80] or None


def find_model(name: ModelName, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model by its name, as Ollama does: completed with `latest`, and in any letter case."""
    return next((model for model in models if key_of(model.name) == name.key), None)


def key_of(name: str) -> str:
    """Give the key under which Ollama takes two names to be the same model."""
    try:
        return ModelName.parse(name).key
    except ValueError:
        # A server may list what its own parser would refuse.
        return name.lower()


def nearest_names(name: ModelName, models: Iterable[InstalledModel], limit: int = 3) -> list[str]:
    """List the installed names that a misspelt one may mean, the likeliest first."""
    keys = {model.name.lower(): model.name for model in models}
    same_model = [full for key, full in keys.items() if key.partition(":")[0] == name.short.lower().partition(":")[0]]
    alike = [keys[key] for key in get_close_matches(name.short.lower(), keys, limit, 0.5)]
    return list(dict.fromkeys([*same_model, *alike]))[:limit]


@dataclass(frozen=True, slots=True)
class Freed:
    """What deleting a model gives back.

    Args:
        frees_bytes: Bytes of disk that become free; None when a model that may share them could not be read.
        shared_with: Names that keep the same weights on disk.
        unread: Names that may share them but could not be read.
    """

    frees_bytes: int | None
    shared_with: tuple[str, ...]
    unread: tuple[str, ...] = ()


def may_share(model: InstalledModel, others: Iterable[InstalledModel]) -> list[InstalledModel]:
    """List the other models that may have the same weights: same digest, or same family, size, quantization."""

    def kind(one: InstalledModel) -> tuple[str, str, str]:
        return one.details.family, one.details.parameter_size, one.details.quantization_level

    return [
        other
        for other in others
        if other.name != model.name and (other.digest == model.digest or kind(other) == kind(model))
    ]


def freed_by_deleting(
    model: InstalledModel, others: Sequence[InstalledModel], facts: Mapping[str, Facts | None]
) -> Freed:
    """Work out what deleting `model` frees.

    Args:
        model: The model to delete.
        others: What `may_share` gave.
        facts: By digest, what `/api/show` said of it and of the others; None where it could not be read.
    """
    own = facts.get(model.digest)
    weights = own.weights if own else None

    def reads(other: InstalledModel) -> Facts | None:
        return facts.get(other.digest)

    shared = [
        other.name
        for other in others
        if other.digest == model.digest or (weights and (known := reads(other)) and known.weights == weights)
    ]
    if shared:
        return Freed(0, tuple(sorted(shared)))
    unread = others if not weights else [other for other in others if not reads(other)]
    return Freed(None if unread else model.size, (), tuple(sorted(other.name for other in unread)))
