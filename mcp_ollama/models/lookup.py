"""Pure reasoning over what Ollama said: no I/O, so that each rule is a table in a test."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from difflib import get_close_matches

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel

_WEIGHTS = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_WHOLE = re.compile(r"[0-9]{1,15}|[0-9](\.[0-9]{1,15})?e\+[0-9]{2}")  # Go writes a million as 1e+06
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

    The values stay texts, as Ollama prints them, but for the quotes and escapes of strings.
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
            yield match[1], _unquoted(match[2])


def _unquoted(value: str) -> str:
    # Go's quotes are JSON's but for a few rare escapes.
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    try:
        # Half a pair of surrogates is a text to JSON, and to nobody else.
        return str(json.loads(value)).encode("utf-8", "replace").decode()
    except ValueError:
        return value[1:-1]


def configured_context(parameters: Mapping[str, object]) -> int | None:
    """Read the context length that the model's own `num_ctx` parameter sets; None when it sets none."""
    value = parameters.get("num_ctx")
    return int(float(value)) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


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


def find_case_variant(name: ModelName, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model whose name has a part that differs from the wanted one in letter case alone.

    Ollama then asks a registry for that spelling of the part, whatever was wanted (`getExistingName`).
    """

    def differs(text: str) -> bool:
        other = listed_name(text)
        if other is None:
            return False
        # The host is no matter: its case means nothing to the network.
        pairs = zip(astuple(name)[1:], astuple(other)[1:], strict=True)
        return any(ours != theirs and ours.lower() == theirs.lower() for ours, theirs in pairs)

    return next((model for model in models if differs(model.name)), None)


def find_named(name: str, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model by a name that a server gave, which may be none at all."""
    try:
        return find_model(ModelName.for_pull(name), models)
    except InvalidModelName:
        return None


def key_of(name: str) -> str:
    """Give the key under which Ollama takes two names to be the same model."""
    listed = listed_name(name)
    return listed.key if listed else name.lower()


def listed_name(text: str) -> ModelName | None:
    """Read a name that Ollama could list: it is short, and holds letters, digits and a few signs alone.

    None for another: a server may list what its own parser would refuse, or would forget in part.
    """
    try:
        return None if "://" in text else ModelName.parse(text)
    except InvalidModelName:
        return None


def identity(model: InstalledModel | RunningModel) -> tuple[str, str]:
    """Give what makes a model the same on disk and in memory: under its name may run what had it before an update."""
    return key_of(model.name), model.digest


def find_running(model: InstalledModel, running: Iterable[RunningModel]) -> list[RunningModel]:
    """Find a model in memory."""
    return [one for one in running if identity(one) == identity(model)]


def join_limited(names: Sequence[str]) -> str:
    """Name five at most, and say how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


def nearest_names(name: ModelName, models: Iterable[InstalledModel], limit: int = 3) -> list[str]:
    """List the installed names that a misspelt one may mean, the likeliest first."""
    # Two names are not alike because both are the latest of something.
    wanted = name.short.lower().removesuffix(":latest")
    keys = {model.name.lower().removesuffix(":latest"): model.name for model in models}
    same_model = [full for key, full in keys.items() if key.partition(":")[0] == wanted.partition(":")[0]]
    alike = [keys[key] for key in get_close_matches(wanted, keys, limit, 0.6)]
    return list(dict.fromkeys([*same_model, *alike]))[:limit]


@dataclass(frozen=True, slots=True)
class FreedSpace:
    """What deleting a model gives back.

    Args:
        frees_bytes: Bytes of disk that become free; None when nobody knows whether another model shares them.
        shared_with: Names that keep the same weights on disk.
        unread: Names whose weights could not be read, so that nobody knows.
    """

    frees_bytes: int | None
    shared_with: tuple[str, ...]
    unread: tuple[str, ...] = ()


def sharing_candidates(model: InstalledModel, others: Iterable[InstalledModel]) -> list[InstalledModel]:
    """List the other models that may have the same weights: same digest, or same family, size, quantization.

    A cloud model has no weights to share.
    """

    def kind(one: InstalledModel) -> tuple[str, str, str]:
        return one.details.family, one.details.parameter_size, one.details.quantization_level

    def has_weights_alike(other: InstalledModel) -> bool:
        return not model.remote_host and not other.remote_host and kind(other) == kind(model)

    return [other for other in others if _same_digest(other, model) or has_weights_alike(other)]


def _same_digest(one: InstalledModel, other: InstalledModel) -> bool:
    return one.digest == other.digest != ""


def freed_space(
    model: InstalledModel, others: Sequence[InstalledModel], facts: Mapping[str, Facts | None]
) -> FreedSpace:
    """Work out what deleting `model` frees.

    Args:
        model: The model to delete.
        others: What `sharing_candidates` gave.
        facts: By digest, what `/api/show` said of it and of the others; None where it could not be read.
    """

    def weights_of(one: InstalledModel) -> str | None:
        known = facts.get(one.digest)
        return known.weights if known else None

    own = weights_of(model)
    shared = [other.name for other in others if _same_digest(other, model) or (own and weights_of(other) == own)]
    if shared:
        return FreedSpace(0, tuple(sorted(shared)))
    unread = [one.name for one in (model, *others) if others and not weights_of(one)]
    return FreedSpace(None if unread else model.size, (), tuple(sorted(unread)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that suits an agent best.

    Args:
        model: The model.
        why: What speaks for it, as a sentence.
    """

    model: InstalledModel
    why: str


def capabilities_of(model: InstalledModel, facts: Facts | None) -> list[str]:
    """Give what `/api/show` says; `/api/tags`, which misses some, only where that cannot be had."""
    return list(facts.capabilities) if facts else sorted(model.capabilities)


def best_chat_model(
    models: Iterable[InstalledModel], facts: Mapping[str, Facts | None], running: Iterable[RunningModel]
) -> Choice | None:
    """Choose the chat model that an agent should use; None when none is installed.

    A loaded model answers at once; one on this server keeps its prompts here; one that calls tools can do more;
    of equals the newest is likely to be the one that is wanted. One that cannot be shown may be damaged: it comes last.

    Args:
        models: The installed ones, newest first.
        facts: By digest, what `/api/show` said; None where it could not be read.
        running: The loaded ones.
    """
    loaded = {identity(one) for one in running}
    chats = [model for model in models if "completion" in capabilities_of(model, facts.get(model.digest))]

    def merits(model: InstalledModel) -> dict[str, bool]:
        return {
            "it can be shown": bool(model.remote_host or facts.get(model.digest)),
            "it is loaded": identity(model) in loaded,
            "it runs on this server": not model.remote_host,
            "it can call tools": "tools" in capabilities_of(model, facts.get(model.digest)),
        }

    best = max(chats, key=lambda model: tuple(merits(model).values()), default=None)
    if best is None:
        return None
    if len(chats) == 1:
        return Choice(best, "It is the only chat model that is installed.")
    _, *shared = merits(best)
    has = ", ".join(merit for merit in shared if merits(best)[merit]) or "it is the newest"
    order = "What counts, in this order: loaded, on this server, able to call tools, newest."
    return Choice(best, f"Of {len(chats)} chat models it was chosen because {has}. {order}")
