"""The chat model that is chosen of those installed, and the reason that is given."""

from typing import Any

import pytest

from mcp_ollama.models.chat_choice import best_chat_model
from mcp_ollama.models.facts import Facts
from mcp_ollama.ollama.schemas import InstalledModel, RunningModel

CHAT, TOOLS = ("completion",), ("completion", "tools")


def choose(models: dict[str, tuple[str, ...]], *loaded: str, damaged: str = "", cloud: str = "") -> tuple[str, str]:
    installed = [
        InstalledModel(
            name=name, digest=name, capabilities=list(able), remote_host="ollama.com" if name == cloud else ""
        )
        for name, able in models.items()
    ]
    facts = {name: None if name in (damaged, cloud) else Facts(able, None, None) for name, able in models.items()}
    choice = best_chat_model(installed, facts, [RunningModel(name=name, digest=name) for name in loaded])
    return (choice.model.name, choice.why) if choice else ("", "")


def test_a_loaded_model_is_chosen_first():
    name, why = choose({"new:1": TOOLS, "old:1": CHAT, "emb:1": ("embedding",)}, "old:1")
    assert name == "old:1"
    assert why == (
        "Of 2 chat models it was chosen because it is loaded, it runs on this server. What counts, in this order: "
        "loaded, on this server, able to call tools, newest."
    )


@pytest.mark.parametrize(
    ("models", "options", "chosen"),
    [
        ({"new:1": CHAT, "old:1": TOOLS}, {}, "old:1"),
        ({"new:1": TOOLS, "old:1": TOOLS}, {}, "new:1"),
        ({"new-cloud:cloud": TOOLS, "old:1": CHAT}, {"cloud": "new-cloud:cloud"}, "old:1"),
        ({"new:1": TOOLS, "old:1": CHAT}, {"damaged": "new:1"}, "old:1"),
        ({"emb:1": ("embedding",)}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_then_what_runs_here_can_call_tools_and_is_newest(models: Any, options: Any, chosen: str):
    assert choose(models, **options)[0] == chosen


def test_reason_of_the_choice_is_a_sentence():
    assert choose({"one:1": TOOLS})[1] == "It is the only chat model that is installed."
    both = {"a-cloud:cloud": CHAT, "b-cloud:cloud": CHAT}
    assert "because it is the newest." not in choose(both, cloud="a-cloud:cloud")[1]
    assert "because it runs on this server, it can call tools. What" in choose({"a:1": TOOLS, "b:1": TOOLS})[1]


def test_of_cloud_models_without_tools_the_newest_is_chosen():
    models = [
        InstalledModel(name=name, capabilities=["completion"], remote_host="x") for name in ("a:cloud", "b:cloud")
    ]
    choice = best_chat_model(models, {}, [])
    assert choice
    assert choice.model.name == "a:cloud"
    assert "because it is the newest. What counts" in choice.why
