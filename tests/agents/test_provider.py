"""The Pydantic AI functions of the library: what they find, what they make, what they ask and what they never do."""

import asyncio
import re
import sys
from dataclasses import asdict
from typing import Any, cast

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel

from mcp_ollama import (
    ModelError,
    OllamaSettings,
    ProviderHealthStatus,
    agent_from_config,
    create_ollama_model,
    create_ollama_model_async,
    detect_ollama_model,
    ollama_health_check,
)
from mcp_ollama.ollama.addresses import InvalidAddress
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaConnectionError
from mcp_ollama.simulator import Fail, RunningSimulator, Simulator
from tests.support.raw_server import answering, http

EXTRA = "pip install 'pydantic-ai-slim[openai]>=2.30,<3'"
CHAT, TOOLS = ("completion",), ("completion", "tools")


@pytest.fixture
def settings(running: RunningSimulator) -> OllamaSettings:
    return OllamaSettings(base_url=running.base_url)


def asked(simulator: Simulator) -> set[str]:
    return {request.path for request in simulator.requests}


def profile_of(model: OllamaModel) -> dict[str, Any]:
    return cast("dict[str, Any]", model.profile)


async def test_newest_chat_model_is_detected_without_the_openai_api(simulator: Simulator, running: RunningSimulator):
    simulator.install("old", size_bytes=1000, capabilities=CHAT, modified_at=1_000)
    simulator.install("b", size_bytes=1000, capabilities=CHAT, modified_at=2_000)
    simulator.install("a", size_bytes=1000, capabilities=CHAT, modified_at=2_000.5)
    simulator.install("emb", size_bytes=1000, capabilities=("embedding",), modified_at=3_000)
    for address in (running.base_url, f"{running.base_url}/v1", running.base_url.removeprefix("http://")):
        assert await detect_ollama_model(address) == "a:latest"
    assert asked(simulator) == {"/api/tags", "/api/show"}


async def test_the_environments_server_is_asked_when_none_is_named(
    simulator: Simulator, running: RunningSimulator, monkeypatch: pytest.MonkeyPatch
):
    assert await detect_ollama_model(running.base_url) is None
    simulator.install("m-cloud:cloud", size_bytes=0, capabilities=CHAT, remote_host="https://ollama.com:443")
    monkeypatch.setenv("OLLAMA_HOST", running.base_url)
    assert await detect_ollama_model() == "m-cloud:cloud"


async def test_a_model_that_cannot_be_shown_is_detected_only_for_want_of_another(
    simulator: Simulator, running: RunningSimulator
):
    for name in ("damaged", "damaged:too"):
        simulator.install(name, size_bytes=1000, capabilities=CHAT, template="x", modified_at=3_000)
        simulator.faults.add(name, Fail(text="bad GGUF"), operation="show")
    assert await detect_ollama_model(running.base_url) == "damaged:latest"
    simulator.install("sound", size_bytes=2000, capabilities=CHAT, modified_at=1_000)
    assert await detect_ollama_model(running.base_url) == "sound:latest"


async def test_detection_fails_with_a_model_error_that_keeps_its_cause(nowhere: str):
    with pytest.raises(ModelError, match="Nothing answers") as caught:
        await detect_ollama_model(nowhere)
    assert caught.value.details == {"url": nowhere, "error": f"Nothing answers at {nowhere}."}
    assert isinstance(caught.value.__cause__, OllamaConnectionError)
    with pytest.raises(ModelError) as caught:
        await detect_ollama_model("http://me:sesame@host")
    assert isinstance(caught.value.__cause__, InvalidAddress)
    assert "sesame" not in f"{caught.value} {caught.value.details}"


@pytest.mark.parametrize(
    ("address", "openai"),
    [
        ("http://h:11434", "http://h:11434/v1"),
        ("http://h:11434/v1/", "http://h:11434/v1"),
        ("h", "http://h:11434/v1"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
        ("[::]:11434", "http://[::1]:11434/v1"),
        ("https://h/ollama/v1", "https://h:443/ollama/v1"),
    ],
)
def test_every_form_of_an_address_gives_the_openai_address(address: str, openai: str):
    model = create_ollama_model("llama3.2", OllamaSettings(base_url=address))
    assert model.base_url.rstrip("/") in (openai, openai.replace(":443", ""))


def test_a_model_is_made_without_any_request(nowhere: str):
    model = create_ollama_model("test", OllamaSettings(base_url=nowhere))
    assert isinstance(model, OllamaModel)
    assert isinstance(model, OpenAIChatModel)
    assert (model.model_name, model.system) == ("test", "ollama")
    assert profile_of(model)["openai_chat_supports_max_completion_tokens"] is False
    assert profile_of(model)["supports_json_schema_output"] is True
    assert profile_of(create_ollama_model("glm-5:cloud"))["supports_json_schema_output"] is False


def test_the_name_comes_from_the_settings_when_none_is_given(monkeypatch: pytest.MonkeyPatch):
    assert create_ollama_model().model_name == "llama3.2"
    monkeypatch.setenv("MCP_OLLAMA_MODEL", "qwen3:8b")
    assert create_ollama_model().model_name == "qwen3:8b"
    assert create_ollama_model(settings=OllamaSettings(model_name="gemma3:4b")).model_name == "gemma3:4b"
    for given in (" gemma3:4b ", "ollama:gemma3:4b", "`ollama run gemma3:4b`"):
        assert create_ollama_model(given).model_name == "gemma3:4b"


def test_what_cannot_be_made_is_a_model_error(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ModelError, match="await create_ollama_model_async"):
        create_ollama_model(auto_detect=True)
    with pytest.raises(ModelError, match="is not a model name") as caught:
        create_ollama_model("no name!")
    assert isinstance(caught.value.__cause__, InvalidModelName)
    assert caught.value.model_name == "no name!"
    with pytest.raises(ModelError, match="this one is empty"):
        create_ollama_model("")
    monkeypatch.setenv("MCP_OLLAMA_TIMEOUT", "soon")
    with pytest.raises(ModelError, match="MCP_OLLAMA_TIMEOUT"):
        create_ollama_model("m")


async def test_a_model_that_is_checked_gets_a_profile_of_what_the_server_says(
    simulator: Simulator, settings: OllamaSettings
):
    simulator.install("qwen3:8b", size_bytes=1000, capabilities=(*TOOLS, "thinking"), parameters={"num_ctx": 8192})
    model = await create_ollama_model_async("qwen3:8b", settings)
    assert model.model_name == "qwen3:8b"
    profile = profile_of(model)
    assert profile["supports_thinking"] is True
    assert profile["supports_image_input"] is False
    assert profile["context_window"] == 8192
    assert profile["openai_chat_thinking_field"] == "reasoning"
    assert asked(simulator) == {"/api/tags", "/api/ps", "/api/show"}


async def test_a_model_is_detected_when_none_was_chosen(simulator: Simulator, settings: OllamaSettings):
    simulator.install("other", size_bytes=1000, capabilities=CHAT)
    assert (await create_ollama_model_async(settings=settings)).model_name == "other:latest"
    untested = await create_ollama_model_async(settings=settings, test_connection=False)
    assert untested.model_name == "other:latest"
    chosen = OllamaSettings(base_url=settings.base_url, model_name="mine")
    assert (await create_ollama_model_async(settings=chosen, test_connection=False)).model_name == "mine"


async def test_nothing_is_asked_when_nothing_is_to_be_found_out(nowhere: str):
    settings = OllamaSettings(base_url=nowhere)
    named = await create_ollama_model_async("m", settings, test_connection=False)
    default = await create_ollama_model_async(settings=settings, auto_detect=False, test_connection=False)
    assert (named.model_name, default.model_name) == ("m", "llama3.2")


async def test_a_model_that_no_agent_can_use_is_a_model_error(simulator: Simulator, settings: OllamaSettings):
    with pytest.raises(ModelError, match="No chat model is installed"):
        await create_ollama_model_async(settings=settings)
    simulator.install("emb", size_bytes=1000, capabilities=("embedding",))
    with pytest.raises(ModelError, match=r"Embedder\(\"ollama:emb:latest\"\)") as caught:
        await create_ollama_model_async("emb", settings)
    assert caught.value.details == {"error": "not a chat model"}
    with pytest.raises(ModelError, match="The model nope:latest is not installed") as caught:
        await create_ollama_model_async("nope", settings)
    assert isinstance(caught.value.__cause__, ModelNotFoundError)
    assert caught.value.model_name == "nope"
    assert caught.value.details["status_code"] == 404
    assert caught.value.details["url"] == settings.base_url


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydantic_ai.providers.ollama", None)
    with pytest.raises(ImportError, match=re.escape(EXTRA)):
        create_ollama_model("m")
    with pytest.raises(ImportError, match=re.escape(EXTRA)):
        agent_from_config(document("http://h"))


async def test_a_healthy_server_has_a_chat_model_which_is_not_loaded(simulator: Simulator, settings: OllamaSettings):
    simulator.install("llama3.2:3b", size_bytes=1000, capabilities=TOOLS)
    status = await ollama_health_check(settings)
    assert asdict(status) == {
        "connected": True,
        "model_detected": True,
        "model_id": "llama3.2:3b",
        "base_url": f"{settings.base_url}/v1",
        "provider_type": "ollama",
        "error": None,
    }
    assert simulator.runners.listed() == {"models": []}
    assert asked(simulator) == {"/api/version", "/api/tags", "/api/ps", "/api/show"}


async def test_a_server_without_the_model_is_connected_and_says_what_is_missing(
    simulator: Simulator, settings: OllamaSettings
):
    status = await ollama_health_check(settings)
    assert (status.connected, status.model_detected, status.model_id) == (True, False, None)
    assert "No chat model is installed" in (status.error or "")
    simulator.install("llama3.2:3b", size_bytes=1000, capabilities=TOOLS)
    for name, says in [("llama3.2:1b", "Did you mean llama3.2:3b?"), ("no name!", "is not a model name")]:
        status = await ollama_health_check(OllamaSettings(base_url=settings.base_url, model_name=name))
        assert (status.connected, status.model_detected) == (True, False)
        assert says in (status.error or "")


async def test_nothing_there_is_an_answer_too(nowhere: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", nowhere)
    status = await ollama_health_check()
    assert (status.connected, status.provider_type, status.base_url) == (False, "ollama", f"{nowhere}/v1")
    assert "Nothing answers" in (status.error or "")


async def test_a_silent_server_is_not_connected(simulator: Simulator, running: RunningSimulator):
    simulator.delay("/api/version", 5)
    status = await ollama_health_check(OllamaSettings(base_url=running.base_url, timeout=0.05))
    assert (status.connected, status.provider_type) == (False, "ollama")
    assert "did not answer within 0.05 s" in (status.error or "")


async def test_another_server_is_distinguished_from_ollama(simulator: Simulator, settings: OllamaSettings):
    simulator.lack("/api/version")
    status = await ollama_health_check(settings)
    assert (status.connected, status.model_detected, status.provider_type) == (True, False, "openai-compatible")
    assert "it is not Ollama" in (status.error or "")
    simulator.lack("/v1/models")
    status = await ollama_health_check(settings)
    assert (status.connected, status.provider_type) == (False, "unknown")


async def test_a_wrong_setting_is_an_answer_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "ftp://nowhere")
    status = await ollama_health_check()
    assert isinstance(status, ProviderHealthStatus)
    assert (status.connected, status.provider_type, status.base_url) == (False, "unknown", "")
    assert "ftp://" in (status.error or "")


def document(base_url: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "ollama:m",
        "metadata": {"ollama": {"model": "m", "base_url": f"{base_url}/v1", "profile": {}} | more},
    }


@pytest.mark.parametrize(
    "not_ours",
    [
        "no JSON",
        "[1]",
        "[" * 100_000,
        None,
        document("http://h") | {"retries": "often"},
        {},
        {"metadata": None},
        {"metadata": {"ollama": {"model": "m"}}},
        document("ftp://h"),
        document("http://h", profile=7),
    ],
)
def test_a_foreign_document_is_a_model_error(not_ours: Any):
    with pytest.raises(ModelError):
        agent_from_config(not_ours)


@pytest.mark.parametrize("not_ours", ["", "[1]", "{}"])
def test_foreign_document_names_the_resource_to_read(not_ours: str):
    with pytest.raises(ModelError, match=r"not a document of ollama://config/pydantic-ai: .+ Read that resource"):
        agent_from_config(not_ours)


def test_what_is_no_object_is_a_model_error_with_any_model():
    with pytest.raises(ModelError, match="not a JSON object"):
        agent_from_config("[]", model="test")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks5://u:pw@h:1"), ("HTTPS_PROXY", "ftp://pw@h"), ("HTTPS_PROXY", "http://[::pw")],
)
def test_an_environment_that_cannot_be_used_is_a_model_error(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelError, match="names a proxy or certificates that cannot be used") as caught:
        create_ollama_model("m", OllamaSettings(base_url="https://ollama.example"))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [("my-cloud", False), ("cloud", False), ("me/x-cloud", False), ("x:cloud", True), ("x:8b-Cloud", True)],
)
def test_only_a_tag_makes_a_cloud_model(name: str, cloud: bool):
    profile = cast("Any", create_ollama_model(name, OllamaSettings(base_url="http://h")).profile)
    assert profile["supports_json_schema_output"] is not cloud


async def answered(agent: Agent[Any, Any]) -> str:
    try:
        return str((await agent.run("Hello")).output)
    finally:
        await cast("OllamaModel", agent.model).client.close()


@pytest.fixture
def greeting(simulator: Simulator) -> Simulator:
    simulator.install("m", size_bytes=1000, capabilities=CHAT)
    simulator.script.say("Hi")
    return simulator


def sent_key(simulator: Simulator) -> str:
    (request,) = simulator.asked("/v1/chat/completions")
    return request.headers["authorization"]


async def test_a_document_cannot_send_the_key_elsewhere(
    greeting: Simulator, running: RunningSimulator, monkeypatch: pytest.MonkeyPatch
):
    for variable in ("MCP_OLLAMA_API_KEY", "OLLAMA_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "sesame")
    assert await answered(agent_from_config(document(running.base_url))) == "Hi"
    assert sent_key(greeting) == "Bearer none"


async def test_what_the_environment_holds_for_openai_goes_nowhere(
    greeting: Simulator, running: RunningSimulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_ORG_ID", "sesame")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "sesame")
    more = "X-Gateway: sesame\nAuthorization: Bearer sesame\nHost: sesame"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", more)
    settings = OllamaSettings(base_url=running.base_url, api_key=SecretStr("ours"))
    assert await answered(Agent(create_ollama_model("m", settings))) == "Hi"
    assert sent_key(greeting) == "Bearer ours"
    (request,) = greeting.asked("/v1/chat/completions")
    assert "sesame" not in str(request.headers)


async def test_a_redirect_is_not_followed():
    async with answering(http(b"")) as elsewhere:
        redirect = http(b"", f"Location: {elsewhere.base_url}/v1/chat/completions", status="307 Temporary Redirect")
        async with answering(redirect) as server:
            settings = OllamaSettings.load(base_url=server.base_url, headers='{"X-Door": "sesame"}')
            with pytest.raises(ModelAPIError, match="307"):
                await Agent(create_ollama_model("m", settings)).run("Hello")
    assert server.requests
    assert not elsewhere.connections


@pytest.mark.parametrize("headers", ["{}", '{"X-Door": "a"}'])
def test_a_model_serves_several_event_loops_one_after_the_other(
    headers: str, greeting: Simulator, running: RunningSimulator
):
    greeting.script.say("Ho")
    agent = Agent(create_ollama_model("m", OllamaSettings.load(base_url=running.base_url, headers=headers)))
    assert [asyncio.run(agent.run("Hello")).output for _ in range(2)] == ["Hi", "Ho"]


async def test_the_configured_server_gets_its_key(
    greeting: Simulator, running: RunningSimulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MCP_OLLAMA_API_KEY", "sesame")
    monkeypatch.setenv("MCP_OLLAMA_BASE_URL", running.base_url)
    assert await answered(agent_from_config(document(running.base_url))) == "Hi"
    assert sent_key(greeting) == "Bearer sesame"


async def test_a_given_model_replaces_that_of_the_document(greeting: Simulator, running: RunningSimulator):
    model = create_ollama_model("m", OllamaSettings(base_url=running.base_url))
    assert await answered(agent_from_config(document("http://127.0.0.1:1"), model=model)) == "Hi"


async def test_headers_for_a_proxy_in_front_go_with_every_request(greeting: Simulator, running: RunningSimulator):
    headers = '{"authorization": "Basic eA==", "X-Door": "a"}'
    settings = OllamaSettings.load(base_url=running.base_url, api_key="key", headers=headers)
    assert await answered(Agent(create_ollama_model("m", settings))) == "Hi"
    (request,) = greeting.asked("/v1/chat/completions")
    assert (request.headers["authorization"], request.headers["x-door"]) == ("Basic eA==", "a")


async def test_this_machine_is_reached_past_any_proxy(
    greeting: Simulator, running: RunningSimulator, nowhere: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", nowhere)
    assert await answered(agent_from_config(document(running.base_url))) == "Hi"
