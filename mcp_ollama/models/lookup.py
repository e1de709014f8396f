"""Names of models, matched as Ollama matches them; without I/O."""

from collections.abc import Iterable
from dataclasses import astuple
from difflib import get_close_matches
from functools import lru_cache

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel


def find_model(name: ModelName, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model by its complete name, in any case; of several, the one in that very spelling comes first."""
    found = find_all(name, models)
    return found[0] if found else None


def find_all(name: ModelName, models: Iterable[InstalledModel]) -> list[InstalledModel]:
    """Find all models that the name means in any case, the one in that very spelling first."""
    found = [model for model in models if key_of(model.name) == name.key]
    return sorted(found, key=lambda model: listed_name(model.name) != name)


def find_case_variant(name: ModelName, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model whose name has a part that differs from the one asked for only in case.

    Ollama then asks a registry for that spelling of the part, whatever was asked for (`getExistingName`).
    """

    def differs(text: str) -> bool:
        other = listed_name(text)
        if other is None:
            return False
        # The host is left out: its case means nothing to the network.
        pairs = zip(astuple(name)[1:], astuple(other)[1:], strict=True)
        return any(ours != theirs and ours.lower() == theirs.lower() for ours, theirs in pairs)

    return next((model for model in models if differs(model.name)), None)


def find_named(name: str, models: Iterable[InstalledModel]) -> InstalledModel | None:
    """Find a model by a name that came from a server and may be invalid."""
    try:
        return find_model(ModelName.for_pull(name), models)
    except InvalidModelName:
        return None


@lru_cache(maxsize=4096)  # each call looks up names in the same lists, and parsing one takes 10 µs
def key_of(name: str) -> str:
    """Return the key under which Ollama takes two names to be the same model."""
    listed = listed_name(name)
    return listed.key if listed else name.lower()


def listed_name(text: str) -> ModelName | None:
    """Parse a name from a server's list; None when Ollama's own parser would refuse it or drop a part of it."""
    try:
        return None if "://" in text else ModelName.parse(text)
    except InvalidModelName:
        return None


def identity(model: InstalledModel | RunningModel) -> tuple[str, str]:
    """Return (name key, digest). After an update the former digest may still be loaded under the same name."""
    return key_of(model.name), model.digest


def find_running(model: InstalledModel, running: Iterable[RunningModel]) -> list[RunningModel]:
    """Find the rows of `/api/ps` that are this very model."""
    # Digests first: to parse the names of hundreds of models takes longer than all the rest of a list.
    return [one for one in running if one.digest == model.digest and key_of(one.name) == key_of(model.name)]


def nearest_names(name: ModelName, models: Iterable[InstalledModel]) -> list[str]:
    """List at most three installed names that a misspelt one may mean, the likeliest first."""
    # That both are the latest of something makes two names no more alike.
    wanted = name.short.lower().removesuffix(":latest")
    keys = {model.name.lower().removesuffix(":latest"): model.name for model in models}
    same_model = [full for key, full in keys.items() if key.partition(":")[0] == wanted.partition(":")[0]]
    alike = [keys[key] for key in get_close_matches(wanted, keys, 3, 0.6)]
    return list(dict.fromkeys([*same_model, *alike]))[:3]
