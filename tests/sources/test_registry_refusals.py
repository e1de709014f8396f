"""Refusals of Hugging Face's registry, whose own sentences reach the user with a next step."""

from typing import Any

import anyio
import pytest
import respx

from mcp_ollama.ollama.errors import OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.sources.registry import Registry
from tests.sources.hub import exchanges, reply

NAME = ModelName.parse("hf.co/user/repo:Q4_K_M")
REFUSALS = [
    one
    for one in exchanges("hfco_manifests")
    if one["response"]["status"] in (400, 401) and "error" in one["response"]["body"]
]


async def refusal() -> OllamaError:
    registry = Registry(("hf.co",))
    with anyio.fail_after(4), pytest.raises(OllamaError) as caught:
        await registry.get_manifest(NAME)
    await registry.aclose()
    return caught.value


@pytest.mark.parametrize("exchange", REFUSALS)
async def test_refusal_of_hugging_face_names_the_way_on(exchange: dict[str, Any], wire: respx.MockRouter) -> None:
    wire.get().mock(return_value=reply(exchange))
    error = await refusal()
    if exchange["response"]["status"] == 401:
        assert "accept its terms on Hugging Face" in error.next_step
    else:
        assert exchange["response"]["body"]["error"].rstrip(".")[:100] in error.problem
        assert "search_models lists the quantizations" in error.next_step
    assert len(str(error)) <= 600


async def test_model_for_a_newer_ollama_asks_for_an_update(wire: respx.MockRouter) -> None:
    wire.get().respond(412)
    assert (await refusal()).next_step == "Update Ollama: the model needs a newer version."
