"""Models made out of installed ones: nothing is overwritten without consent, nothing pulled by the way."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.types import ElicitRequestParams, ElicitResult, ErrorData

from mcp_ollama import OllamaClient, OllamaSettings
from mcp_ollama.models.app import open_app
from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.ollama.schemas import InstalledModel
from mcp_ollama.simulator import Fail, RunningSimulator, Send, Silence, Simulator, Stall
from mcp_ollama.tools.create import copy_model
from mcp_ollama.tools.spec import Call
from tests.conftest import QUICK, Connect
from tests.support.client import Era, Host, built

MB = 1_000_000


@pytest.fixture(autouse=True)
def _furnished(simulator: Simulator) -> None:
    simulator.install("llama3.2:3b", size_bytes=20 * MB)
    simulator.install("qwen3:8b", size_bytes=50 * MB)


async def test_a_copy_is_the_same_model_under_another_name(simulator: Simulator, connect: Connect):
    async with connect() as host:
        answer = await host("copy_model", source="llama3.2:3b", destination="me/mine")
    assert answer["created"]
    assert answer["model"] == answer["details"]["name"] == "me/mine:latest"
    digest = simulator.model("llama3.2:3b").manifest.digest
    assert answer["details"]["digest"] == digest[:12]
    assert simulator.model("me/mine").manifest.digest == digest


@pytest.mark.parametrize("destination", ["mine:cloud", "mine:LOCAL", "mine:8b-cloud", "a b", ""])
async def test_a_name_that_ollama_could_not_find_again_is_refused(
    destination: str, simulator: Simulator, connect: Connect
):
    async with connect() as host:
        await host.refusal("copy_model", source="llama3.2:3b", destination=destination)
        await host.refusal("create_model", model=destination, from_model="llama3.2:3b")
    assert not simulator.asked("/api/copy")
    assert not simulator.asked("/api/create")


@pytest.mark.parametrize("name", ["`mine`", "ollama run mine", "\u201cmine\u201d"])
async def test_pasted_form_of_a_new_name_is_read(name: str, connect: Connect):
    async with connect() as host:
        assert (await host("copy_model", source="`llama3.2:3b`", destination=name))["model"] == "mine:latest"
        made = await host("create_model", model=name.replace("mine", "more"), from_model="ollama run llama3.2:3b")
    assert made["model"] == "more:latest"


async def test_a_copy_onto_itself_or_of_nothing_is_refused(simulator: Simulator, connect: Connect):
    async with connect() as host:
        assert "has that name" in await host.refusal("copy_model", source="llama3.2:3b", destination="LLAMA3.2:3b")
        assert "llama3.2:3b" in await host.refusal("copy_model", source="llama3.2", destination="mine")
    assert not simulator.asked("/api/copy")


async def test_a_variant_has_its_parameters_and_texts(simulator: Simulator, connect: Connect):
    async with connect() as host:
        answer = await host(
            "create_model",
            model="llama3.2:16k",
            from_model="llama3.2:3b",
            system="Be brief.",
            template="{{ .Prompt }}",
            parameters={"num_ctx": 16384, "stop": "END"},
        )
        card = await host("show_model", model="llama3.2:16k", include=["system", "template"])
    assert answer["created"]
    assert card["configured_context_length"] == 8192
    assert card["parameters"] == {"num_ctx": "16384", "stop": "END"}
    assert card["texts"] == {"system": "Be brief.", "template": "{{ .Prompt }}"}
    (request,) = simulator.asked("/api/create")
    assert request.body == {
        "model": "llama3.2:16k",
        "from": "llama3.2:3b",
        "system": "Be brief.",
        "template": "{{ .Prompt }}",
        "parameters": {"num_ctx": 16384, "stop": ["END"]},
    }


@pytest.mark.parametrize("text", ['{"persona":"pirate"}', "[1]", "null", "7", ' "x" '])
async def test_a_system_prompt_that_looks_like_json_is_taken_to_the_letter(
    text: str, simulator: Simulator, connect: Connect
):
    async with connect() as host:
        await host("create_model", model="mine", from_model="llama3.2:3b", system=text, template=text)
    (request,) = simulator.asked("/api/create")
    assert request.body == {"model": "mine:latest", "from": "llama3.2:3b", "system": text, "template": text}


async def test_a_long_context_is_read_as_ollama_writes_it(simulator: Simulator, connect: Connect):
    async with connect() as host:
        await host(
            "create_model",
            model="mine",
            from_model="llama3.2:3b",
            parameters={"num_ctx": "1048576", "use_mmap": "false"},
        )
        card = await host("show_model", model="mine")
    assert card["parameters"] == {"num_ctx": "1.048576e+06", "use_mmap": "false"}
    assert card["configured_context_length"] == 8192


async def test_a_variant_of_what_is_not_installed_is_refused_before_any_request(simulator: Simulator, connect: Connect):
    simulator.registry.publish("gemma3")
    async with connect() as host:
        assert "is not installed" in await host.refusal("create_model", model="mine", from_model="gemma3")
        assert "is not installed" in await host.refusal("create_model", model="mine", from_model="gemma3:cloud")
        text = await host.refusal("create_model", model="mine", from_model="llama3.2:3b", parameters={"num_cxt": 1})
    assert "Did you mean num_ctx" in text
    assert not simulator.asked("/api/create")


async def test_a_base_that_vanishes_is_not_pulled(simulator: Simulator, connect: Connect):
    line = b'{"status":"pulling manifest"}\n'
    simulator.faults.add("mine", Send(data=line), operation="create")
    simulator.faults.add("mine", Stall(), operation="create")
    async with connect() as host:
        text = await host.refusal("create_model", model="mine", from_model="llama3.2:3b")
        simulator.faults.clear()
    assert "was deleted meanwhile" in text


async def test_model_that_ollama_refuses_to_create_is_an_error(simulator: Simulator, connect: Connect):
    simulator.faults.add("mine", Fail(text="template error: unclosed action", status=400), operation="create")
    async with connect() as host:
        text = await host.refusal("create_model", model="mine", from_model="llama3.2:3b", template="{{")
    assert "template error" in text
    assert not simulator.is_installed("mine")


WAYS = {
    "copy_model": {"source": "llama3.2:3b", "destination": "qwen3:8b"},
    "create_model": {"model": "qwen3:8b", "from_model": "llama3.2:3b", "system": "x"},
}


@pytest.mark.parametrize("tool", WAYS)
async def test_overwriting_needs_the_argument_and_the_users_consent(tool: str, simulator: Simulator, connect: Connect):
    old = simulator.model("qwen3:8b").manifest.digest
    simulator.load("qwen3:8b")
    async with connect() as host:
        assert f"exists already ({old[:12]})" in await host.refusal(tool, **WAYS[tool])
        asked = await host(tool, **WAYS[tool], overwrite=True)
        assert (asked["created"], asked["reason"]) == (False, "needs_confirmation")
        assert f"overwrite qwen3:8b ({old[:12]}, 50 MB)" in asked["next_step"]
        assert simulator.model("qwen3:8b").manifest.digest == old
        made = await host(tool, **WAYS[tool], overwrite=True, confirm=asked["confirmation"])
        assert made["created"]
        assert not (await host("list_running_models"))["models"]
    assert simulator.model("qwen3:8b").manifest.digest != old


@pytest.mark.parametrize("tool", WAYS)
async def test_what_took_the_name_meanwhile_is_not_overwritten(tool: str, simulator: Simulator, connect: Connect):
    async with connect() as host:
        asked = await host(tool, **WAYS[tool], overwrite=True)
        simulator.install("qwen3:8b", size_bytes=60 * MB)
        stale = await host(tool, **WAYS[tool], overwrite=True, confirm=asked["confirmation"])
    assert (stale["created"], stale["reason"]) == (False, "needs_confirmation")
    assert not simulator.asked("/api/copy")
    assert not simulator.asked("/api/create")


@pytest.mark.parametrize("tool", WAYS)
async def test_where_nothing_may_be_deleted_nothing_is_overwritten(tool: str, simulator: Simulator, connect: Connect):
    async with connect(access="no-delete") as host:
        text = await host.refusal(tool, **WAYS[tool], overwrite=True)
        assert "MCP_OLLAMA_ACCESS=no-delete" in text
        assert (await host("copy_model", source="llama3.2:3b", destination="mine"))["created"]
    async with connect(access="read-only") as host:
        assert "is disabled" in await host.refusal(tool, **WAYS[tool])


async def test_copy_over_the_same_model_loses_nothing_and_asks_nothing(simulator: Simulator, connect: Connect):
    simulator.copy("llama3.2:3b", "mine")
    async with connect() as host:
        assert (await host("copy_model", source="llama3.2:3b", destination="mine", overwrite=True))["created"]


async def test_a_copy_over_the_same_model_is_one_already(simulator: Simulator, connect: Connect):
    simulator.copy("llama3.2:3b", "mine")
    async with connect() as host:
        assert (await host("copy_model", source="llama3.2:3b", destination="mine"))["created"]


async def test_what_is_made_is_said_to_be_though_it_cannot_be_looked_at(simulator: Simulator, connect: Connect):
    held = simulator.faults.add("mine", Silence(), operation="create")
    answers: list[dict[str, Any]] = []

    async def make(host: Host) -> None:
        answers.append(await host("create_model", model="mine", from_model="llama3.2:3b", system="x"))

    async with connect() as host, anyio.create_task_group() as group:
        group.start_soon(make, host)
        await simulator.until(lambda: held.struck == 1)
        simulator.respond("/api/tags", status=500)
        held.release()
    assert answers == [{"model": "mine:latest", "created": True}]
    assert simulator.is_installed("mine")


async def test_nothing_is_made_under_a_name_that_is_being_pulled(simulator: Simulator, connect: Connect):
    simulator.registry.publish("mine")
    simulator.faults.add("mine", Stall(at=0.5))
    async with connect() as host:
        await host("pull_model", model="mine", wait_seconds=0)
        text = await host.refusal("copy_model", source="llama3.2:3b", destination="mine")
        simulator.faults.clear()
    assert "is being pulled" in text


@pytest.mark.parametrize("tool", WAYS)
async def test_what_changes_while_the_user_thinks_is_not_overwritten(
    tool: str, simulator: Simulator, running: RunningSimulator, era: Era
):
    async def agree(context: Any, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        simulator.install("qwen3:8b", size_bytes=60 * MB)
        return ElicitResult(action="accept", content={"confirm": True})

    async with Client(built(QUICK), mode=era, elicitation_callback=agree) as client:
        answer = await Host(client)(tool, **WAYS[tool], overwrite=True)
    assert (answer["created"], answer["reason"]) == (False, "changed")
    assert not simulator.asked("/api/copy")
    assert not simulator.asked("/api/create")


class _Meanwhile(OllamaClient):
    """A client before whose second list something else changes what is installed."""

    def __init__(self, base_url: str, change: Callable[[], object]) -> None:
        super().__init__(base_url)
        self._change = change
        self._lists = 0

    async def list_models(self) -> list[InstalledModel]:
        self._lists += 1
        if self._lists == 2:
            self._change()
        return await super().list_models()


async def _refusal_of_copy_while(running: RunningSimulator, change: Callable[[], object]) -> str:
    async def unused(*_: object) -> None:
        raise AssertionError

    settings = OllamaSettings(base_url=running.base_url, state_dir="off")
    async with open_app(settings) as app, _Meanwhile(running.base_url, change) as client:
        own = replace(app, ollama=client, catalog=Catalog(client))
        call = Call(own, cast("Any", unused), cast("Any", unused), nullcontext)
        with pytest.raises(RefusedError) as refused:
            await copy_model(call, "llama3.2:3b", "mine")
    return str(refused.value)


async def test_name_taken_between_check_and_copy_is_not_overwritten(simulator: Simulator, running: RunningSimulator):
    text = await _refusal_of_copy_while(running, lambda: simulator.install("mine", size_bytes=70 * MB))
    assert "mine:latest was created by another client meanwhile" in text
    assert not simulator.asked("/api/copy")


async def test_source_deleted_between_check_and_copy_is_refused(simulator: Simulator, running: RunningSimulator):
    text = await _refusal_of_copy_while(running, lambda: simulator.library.remove(simulator.model("llama3.2:3b")))
    assert text == "llama3.2:3b was deleted or changed meanwhile. See list_models, then call again."
    assert not simulator.asked("/api/copy")
