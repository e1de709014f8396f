"""The main jobs on a real Ollama server, in both protocol eras: `pytest -m live`.

MCP_OLLAMA_LIVE_URL       the server; without it these tests are skipped
MCP_OLLAMA_LIVE_MODEL     a small model to pull and delete; refused when it is installed already
MCP_OLLAMA_LIVE_INSECURE  true when its registry speaks plain http (then also MCP_OLLAMA_REGISTRIES)

Only what a test pulled or made is deleted.
"""

import faulthandler
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent

from mcp_ollama import OllamaClient, OllamaSettings, build_server
from mcp_ollama.models.lookup import find_model
from mcp_ollama.ollama.names import ModelName

URL = os.environ.get("MCP_OLLAMA_LIVE_URL", "")
MODEL = os.environ.get("MCP_OLLAMA_LIVE_MODEL", "")
INSECURE = os.environ.get("MCP_OLLAMA_LIVE_INSECURE", "").lower() in ("1", "true", "yes")
REGISTRIES = os.environ.get("MCP_OLLAMA_REGISTRIES", "")
SECONDS = 600

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not URL, reason="MCP_OLLAMA_LIVE_URL names no real Ollama server"),
    pytest.mark.parametrize("era", ["auto", "legacy"]),
]

needs_model = pytest.mark.skipif(not MODEL, reason="MCP_OLLAMA_LIVE_MODEL names no model to pull")

Era = Literal["auto", "legacy"]


class Host:
    """Calls tools as a host does, and reads what a model would."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.reported: list[tuple[float, float | None]] = []

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error
        assert isinstance(result.content[0], TextContent)
        return result.content[0].text

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.reported.append((progress, total))


@asynccontextmanager
async def host(era: Era) -> AsyncGenerator[Host]:
    settings = OllamaSettings.load(base_url=URL, registries=REGISTRIES)
    with anyio.fail_after(SECONDS):
        async with Client(build_server(settings), mode=era) as client:
            yield Host(client)


@asynccontextmanager
async def removed_at_the_end(*names: str) -> AsyncGenerator[None]:
    """Delete that names are not the user's own, and that nothing has them afterwards."""
    async with OllamaClient(URL) as ollama:
        installed = await ollama.list_models()
        if taken := [name for name in names if find_model(ModelName.for_pull(name), installed)]:
            pytest.fail(f"{taken} installed already: name a model in MCP_OLLAMA_LIVE_MODEL that may be deleted")
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                for name in names:
                    await ollama.delete_model(name)


@pytest.fixture
async def smallest() -> str:
    """The smallest model that is installed and no mere reference to one in the cloud."""
    async with OllamaClient(URL) as ollama:
        local = [one for one in await ollama.list_models() if not one.remote_host]
    if not local:
        pytest.skip("no model is installed")
    return min(local, key=lambda one: one.size).name


@pytest.fixture(autouse=True)
def _patience() -> None:
    """A test may take as long as it says: the clean-up must not be cut off by the watch over hanging tests."""
    faulthandler.cancel_dump_traceback_later()


async def test_the_server_is_well(era: Era):
    async with host(era) as call:
        report = await call("health")
    assert report["status"] in ("ok", "degraded")
    assert {check["name"]: check["status"] for check in report["checks"]}["is_ollama"] == "ok"


async def test_all_models_are_listed_and_each_can_be_shown_in_two_kilobytes(era: Era):
    async with host(era) as call:
        models = (await call("list_models", limit=200))["models"]
        for model in models:
            if not model["remote"]:
                card = await call.client.call_tool("show_model", {"model": model["name"]})
                assert isinstance(card.content[0], TextContent)
                assert len(card.content[0].text) < 2048 or card.is_error


async def test_missing_model_is_reported_in_a_sentence(era: Era):
    async with host(era) as call:
        assert "is not installed" in await call.refusal("show_model", model="surely-not/installed:here")


@needs_model
async def test_model_is_pulled_shown_and_deleted_after_confirmation(era: Era):
    async with removed_at_the_end(MODEL), host(era) as call:
        pull = await call("pull_model", model=MODEL, wait_seconds=SECONDS, insecure=INSECURE)
        assert pull["state"] == "done"
        steps = [progress for progress, _ in call.reported]
        assert steps == sorted(set(steps))
        name = (await call("show_model", model=MODEL))["name"]
        again = await call("pull_model", model=MODEL, wait_seconds=SECONDS, insecure=INSECURE)
        assert again["state"] == "done"
        question = await call("delete_model", model=MODEL)
        assert not question["deleted"]
        assert name in {model["name"] for model in (await call("list_models", limit=200))["models"]}
        assert (await call("delete_model", model=MODEL, confirm=question["confirmation"]))["deleted"]
        assert name not in {model["name"] for model in (await call("list_models", limit=200))["models"]}


@needs_model
async def test_a_host_that_cuts_every_call_gets_its_pull_to_the_end(era: Era):
    async with removed_at_the_end(MODEL), host(era) as call:
        while True:
            with anyio.move_on_after(2):
                pull = await call("pull_model", model=MODEL, insecure=INSECURE)
                break
        assert pull["state"] == "done"
        assert pull["attempts"] == 1


@needs_model
async def test_a_cancelled_pull_is_resumed_by_the_next(era: Era):
    async with removed_at_the_end(MODEL), host(era) as call:
        await call("pull_model", model=MODEL, wait_seconds=0, insecure=INSECURE)
        cancelled = await call("cancel_pull", model=MODEL)
        assert cancelled["state"] in ("cancelled", "done")
        assert (await call("pull_model", model=MODEL, wait_seconds=SECONDS, insecure=INSECURE))["state"] == "done"


async def test_a_model_that_the_registry_lacks_is_a_plain_failure(era: Era):
    name = ModelName.for_pull(MODEL or "llama3.2")
    absent = f"{name.host}/{name.namespace}/surely-absent-model:never"
    async with host(era) as call:
        text = await call.refusal("pull_model", model=absent, insecure=INSECURE)
    # Hugging Face does not distinguish an absent model from a private one.
    assert "has no" in text or "requires authentication" in text


async def test_a_model_is_copied_varied_and_looked_up(era: Era, smallest: str):
    copy, variant = (f"mcp-ollama-live-{token_hex(4)}:{number}" for number in (1, 2))
    async with removed_at_the_end(copy, variant), host(era) as call:
        assert (await call("copy_model", source=smallest, destination=copy))["created"]
        assert (await call("create_model", model=variant, from_model=copy, parameters={"num_ctx": 512}))["created"]
        assert (await call("show_model", model=variant))["configured_context_length"] == 512
        rows = (await call("check_updates", models=[copy]))["models"]
        assert {one["state"] for one in rows} <= {"local_only", "unknown"}


async def test_a_model_that_can_run_is_loaded_listed_and_unloaded(era: Era, smallest: str):
    async with OllamaClient(URL) as ollama:
        if await ollama.list_running_models():
            pytest.skip("somebody uses the server")
    async with host(era) as call:
        result = await call.client.call_tool("load_model", {"model": smallest, "wait_seconds": SECONDS})
        if not result.is_error:
            assert smallest in {one["name"] for one in (await call("list_running_models"))["models"]}
            assert smallest in (await call("unload_model", model=smallest))["unloaded"]
    if result.is_error:
        pytest.skip(f"this server cannot run models: {result.content}")


async def test_documents_are_what_the_tools_answer(era: Era):
    async with host(era) as call:
        uris = {str(one.uri) for one in (await call.client.list_resources()).resources}
    assert {"ollama://models", "ollama://running", "ollama://pulls"} <= uris
