"""The choice of a chat model for an agent; without I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcp_ollama.models.facts import Facts, capabilities_of
from mcp_ollama.models.lookup import identity
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that suits an agent best.

    Args:
        model: The model.
        why: The reasons, as a sentence.
    """

    model: InstalledModel
    why: str


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
