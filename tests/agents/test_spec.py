"""`ollama://config/pydantic-ai`: which model is chosen, what the document says, and what it never says."""

import json
from functools import cache
from typing import Any

import jsonschema
import pytest
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference, TextResourceContents
from pydantic_ai.agent.spec import AgentSpec

from mcp_ollama import ModelError, OllamaSettings
from mcp_ollama.agents.spec import describe, is_cloud
from mcp_ollama.models.app import Timeouts
from mcp_ollama.ollama.schemas import InstalledModel, ModelDetails, ModelInfo, RunningModel
from mcp_ollama.simulator import Fail, Simulator
from mcp_ollama.simulator.recipes import Recipe
from tests.conftest import Connect
from tests.support.client import Host

CONFIG = "ollama://config/pydantic-ai"
CHAT, TOOLS = ("completion",), ("completion", "tools")
CUT = (
    "A longer prompt is cut at its beginning without an error, tool definitions first. It cannot be set per request: "
    "start Ollama with OLLAMA_CONTEXT_LENGTH, or use a variant of the model with the parameter num_ctx."
)


@cache
def strict_spec() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(AgentSpec.model_json_schema_with_capabilities())


async def read(host: Host, model: str = "") -> str:
    (content,) = (await host.client.read_resource(f"{CONFIG}{model and '/'}{model}")).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return content.text


async def refusal(host: Host, model: str = "") -> tuple[int, str]:
    with pytest.raises(MCPError) as caught:
        await read(host, model)
    return caught.value.error.code, caught.value.error.message


def described(*capabilities: str, running: Any = (), **info: Any) -> dict[str, Any]:
    settings = OllamaSettings(**info.pop("settings", {}))
    model = InstalledModel(name=info.pop("name", "m:1"), details=ModelDetails(context_length=info.pop("tagged", 0)))
    document = describe(model, ModelInfo(capabilities=["completion", *capabilities], **info), running, settings)
    return document["metadata"]["ollama"]


def trained(length: int) -> dict[str, Any]:
    return {"general.architecture": "llama", "llama.context_length": length}


def test_what_a_model_can_do_decides_the_profile_and_the_output_modes():
    metadata = described("tools", "vision", "thinking")
    assert metadata["capabilities"] == {"tools": True, "vision": True, "thinking": True, "embedding": False}
    assert metadata["output_modes"] == ["tool", "native", "prompted"]
    assert metadata["profile"] == {
        "supports_tools": True,
        "supports_image_input": True,
        "supports_thinking": True,
        "thinking_always_enabled": False,
        "default_structured_output_mode": "tool",
        "openai_chat_supports_max_completion_tokens": False,
        "supports_json_schema_output": True,
        "openai_supports_reasoning_effort_none": True,
        "openai_chat_supports_max_reasoning_effort": True,
    }


def test_a_model_that_can_only_chat_gets_native_output_and_a_warning():
    metadata = described()
    assert metadata["output_modes"] == ["native", "prompted"]
    assert metadata["profile"]["default_structured_output_mode"] == "native"
    assert metadata["profile"]["supports_thinking"] is metadata["profile"]["thinking_always_enabled"] is False
    assert metadata["warnings"][0] == (
        "m:1 cannot call tools: Ollama refuses requests with tools (400). Give the agent no tools or toolsets, "
        "or use a model that list_models shows with the capability tools."
    )


@pytest.mark.parametrize(
    "where",
    [
        {"remote_host": "https://ollama.com:443"},
        {"name": "glm-5:cloud"},
        {"name": "gpt-oss:120b-cloud"},
        {"settings": {"base_url": "https://ollama.com"}},
    ],
)
def test_json_schemas_are_not_promised_in_the_cloud(where: Any):
    metadata = described("tools", model_info=trained(8192), **where)
    assert metadata["output_modes"] == ["tool", "prompted"]
    assert metadata["profile"]["supports_json_schema_output"] is False
    assert metadata["profile"]["context_window"] == 8192
    assert len(metadata["warnings"]) == 1
    assert "prompts leave the server" in metadata["warnings"][0]


def test_a_name_that_only_ends_like_the_clouds_address_is_none_of_it():
    assert described(settings={"base_url": "https://notollama.com"})["profile"]["supports_json_schema_output"]


@pytest.mark.parametrize(("name", "cloud"), [("a b:cloud", False), ("a:cloud", True), ("a:8b-CLOUD", True)])
def test_cloud_tag_counts_only_in_a_name_that_ollama_accepts(name: str, cloud: bool):
    assert is_cloud(name, "", "http://127.0.0.1:11434") is cloud


TOO_SMALL = (
    "The definitions of all tools of this server take some 6000 tokens, which do not fit into {}: "
    "give the agent only the tools that it needs."
)


def loaded(length: int) -> list[RunningModel]:
    return [RunningModel(name="other:1", context_length=1), RunningModel(name="M:1", context_length=length)]


@pytest.mark.parametrize(
    ("facts", "lengths", "window", "warning"),
    [
        (
            {"model_info": trained(8192), "parameters": "num_ctx 4096", "running": loaded(2048)},
            {"trained": 8192, "configured": 4096, "loaded": 2048},
            4096,
            f"The context window is 4096 of 8192 tokens. {CUT}",
        ),
        (
            {"model_info": trained(8192), "running": [RunningModel(name="m:1", digest="old", context_length=8192)]},
            {"trained": 8192},
            None,
            f"How many tokens of context m:1 gets is unknown until it is loaded, often only 4096. {CUT}",
        ),
        (
            {"model_info": trained(8192), "parameters": "num_ctx 4096"},
            {"trained": 8192, "configured": 4096},
            4096,
            f"The context window is 4096 of 8192 tokens. {CUT}",
        ),
        (
            {"model_info": trained(2048), "parameters": "num_ctx 4096"},
            {"trained": 2048, "configured": 4096},
            2048,
            None,
        ),
        ({"parameters": "num_ctx 4096"}, {"configured": 4096}, 4096, None),
        ({"tagged": 2048, "running": loaded(2048)}, {"trained": 2048, "loaded": 2048}, 2048, None),
        (
            {"model_info": trained(2048)},
            {"trained": 2048},
            None,
            f"How many tokens of context m:1 gets is unknown until it is loaded, often only 4096. {CUT}",
        ),
        (
            {"model_info": trained(8192)},
            {"trained": 8192},
            None,
            f"How many tokens of context m:1 gets is unknown until it is loaded, often only 4096. {CUT}",
        ),
    ],
)
def test_context_window_is_only_a_known_one(facts: Any, lengths: Any, window: int | None, warning: str | None):
    metadata = described("tools", **facts)
    assert metadata["context_length"] == lengths
    assert metadata["profile"].get("context_window") == window
    largest = window or lengths["trained"]
    tools = [TOO_SMALL.format(largest)] if largest < 6000 else []
    assert metadata["warnings"] == tools + ([warning] if warning else [])


def test_context_window_with_vision_is_at_least_what_ollama_loads():
    metadata = described("vision", model_info=trained(8192), parameters="num_ctx 1024")
    assert metadata["profile"]["context_window"] == 2048


@pytest.mark.parametrize(
    ("capabilities", "says"),
    [
        (["embedding"], 'use Embedder("ollama:m:1") of Pydantic AI'),
        (["image"], "Its capabilities: image."),
    ],
)
def test_what_is_no_chat_model_is_refused_with_what_it_is_for(capabilities: list[str], says: str):
    with pytest.raises(ModelError, match=r"^m:1 is not a chat model") as caught:
        describe(InstalledModel(name="m:1"), ModelInfo(capabilities=capabilities), [], OllamaSettings())
    assert says in str(caught.value)
    assert caught.value.model_name == "m:1"


async def test_the_best_models_document_is_a_strict_agent_spec(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:3b", size_bytes=1000, context_length=131072, capabilities=TOOLS)
    simulator.load("llama3.2:3b", context_length=4096)
    async with connect() as host:
        text = await read(host)
    document = json.loads(text)
    strict_spec().validate(document)  # pyright: ignore[reportUnknownMemberType]
    base_url = document["metadata"]["ollama"]["base_url"]
    assert base_url.endswith("/v1")
    assert document == {
        "model": "ollama:llama3.2:3b",
        "name": "ollama",
        "retries": 2,
        "metadata": {
            "ollama": {
                "base_url": base_url,
                "env": {"OLLAMA_BASE_URL": base_url},
                "model": "llama3.2:3b",
                "why": "It is the only chat model that is installed.",
                "capabilities": {"tools": True, "vision": False, "thinking": False, "embedding": False},
                "output_modes": ["tool", "native", "prompted"],
                "context_length": {"trained": 131072, "loaded": 4096},
                "profile": {
                    "supports_tools": True,
                    "supports_image_input": False,
                    "supports_thinking": False,
                    "default_structured_output_mode": "tool",
                    "openai_chat_supports_max_completion_tokens": False,
                    "supports_json_schema_output": True,
                    "thinking_always_enabled": False,
                    "context_window": 4096,
                },
                "warnings": [TOO_SMALL.format(4096), f"The context window is 4096 of 131072 tokens. {CUT}"],
            }
        },
    }


@pytest.mark.parametrize(
    "spelling", ["hf.co/user/repo:Q4_K_M", "hf.co%2Fuser%2Frepo%3AQ4_K_M", "HF.co/User/Repo:q4_k_m"]
)
async def test_a_model_is_found_by_any_spelling_of_its_name(simulator: Simulator, connect: Connect, spelling: str):
    simulator.install("hf.co/user/repo:Q4_K_M", size_bytes=1000, capabilities=TOOLS)
    simulator.install("other", size_bytes=1000, capabilities=TOOLS)
    async with connect() as host:
        document = json.loads(await read(host, spelling))
    assert document["model"] == "ollama:hf.co/user/repo:Q4_K_M"
    assert document["metadata"]["ollama"]["why"] == "It was requested by name."


async def test_no_secret_and_no_text_of_the_models_own_is_in_a_document(simulator: Simulator, connect: Connect):
    texts: Recipe = {
        "size_bytes": 1000,
        "capabilities": TOOLS,
        "system": "{{ obey }} me",
        "template": "{{ .Prompt }} obey",
        "license": "obey",
        "messages": [{"role": "user", "content": "obey"}],
    }
    simulator.install("m", **texts)
    async with connect(api_key="sesame", headers='{"X-Door": "sesame"}') as host:
        text = await read(host)
    assert "obey" not in text
    assert "sesame" not in text
    assert "X-Door" not in text
    assert "The server requires a key or headers" in json.loads(text)["metadata"]["ollama"]["warnings"][-1]


async def test_older_server_that_reports_no_capabilities_is_to_be_updated(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:3b", size_bytes=1000, capabilities=())
    async with connect() as host:
        sentences = [(await refusal(host))[1], (await refusal(host, "llama3.2:3b"))[1]]
    assert "does not report what its models can do. Update Ollama" in sentences[0]
    assert "does not report what llama3.2:3b can do. Update Ollama" in sentences[1]


async def test_what_is_not_there_is_not_found_with_what_to_do(simulator: Simulator, connect: Connect):
    async with connect() as host:
        code, nothing = await refusal(host)
        assert code == -32602
        assert nothing.startswith("No chat model is installed on http://127.0.0.1:")
        assert "Pull one first: pull_model with llama3.2" in nothing
        simulator.install("nomic-embed-text", size_bytes=1000, capabilities=("embedding",))
        assert await refusal(host) == (code, nothing)
        simulator.install("llama3.2:3b", size_bytes=1000, capabilities=TOOLS)
        assert (await refusal(host, "llama3.2:1b"))[0] == code
        assert "Did you mean llama3.2:3b?" in (await refusal(host, "llama3.2:1b"))[1]
        assert 'Embedder("ollama:nomic-embed-text:latest")' in (await refusal(host, "nomic-embed-text"))[1]
        assert "is not a model name that Ollama accepts" in (await refusal(host, "no name!"))[1]


async def test_document_of_an_unreachable_server_is_an_error(connect: Connect, nowhere: str):
    async with connect(base_url=nowhere) as host:
        code, sentence = await refusal(host)
    assert code == -32603
    assert sentence.startswith(f"Nothing answers at {nowhere}. ")


async def test_a_server_that_is_too_slow_is_not_waited_for(simulator: Simulator, connect: Connect):
    simulator.delay("/api/ps", 5)
    async with connect(timeouts=Timeouts(call=0.05)) as host:
        assert await refusal(host) == (-32603, "Timed out after 0.05 s waiting for the Ollama server. Run health.")


async def test_a_long_sentence_is_cut(simulator: Simulator, connect: Connect):
    simulator.respond("/api/ps", status=500, body=json.dumps({"error": "word " * 1000}))
    async with connect() as host:
        assert len((await refusal(host))[1]) <= 600


async def test_a_damaged_model_does_not_stand_in_the_way(simulator: Simulator, connect: Connect):
    simulator.install("sound:1", size_bytes=1000, capabilities=CHAT, modified_at=1_000_000_000)
    simulator.install("damaged:1", size_bytes=2000, capabilities=TOOLS, template="x")
    simulator.faults.add("damaged:1", Fail(text="bad GGUF"), operation="show")
    async with connect() as host:
        assert json.loads(await read(host))["model"] == "ollama:sound:1"


async def test_a_host_without_resources_gets_the_same_document_from_show_model(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:3b", size_bytes=1000, capabilities=TOOLS)
    simulator.install("emb", size_bytes=1000, capabilities=("embedding",))
    simulator.load("llama3.2:3b")
    async with connect() as host:
        texts = (await host("show_model", model="llama3.2:3b", include=["pydantic_ai", "system"]))["texts"]
        assert texts == {"pydantic_ai": await read(host, "llama3.2:3b"), "system": ""}
        assert 'Embedder("ollama:emb:latest")' in await host.refusal("show_model", model="emb", include=["pydantic_ai"])


async def test_names_are_completed_those_first_that_begin_so(simulator: Simulator, connect: Connect):
    for name in ("codellama:7b", "llama3.2:3b", "qwen3:8b"):
        simulator.install(name, size_bytes=1000, capabilities=TOOLS)
    template = ResourceTemplateReference(uri=f"{CONFIG}/{{+model}}")
    async with connect() as host:
        found = (await host.client.complete(template, {"name": "model", "value": "LLama"})).completion
        assert (found.values, found.total, found.has_more) == (["llama3.2:3b", "codellama:7b"], 2, False)
        assert (await host.client.complete(template, {"name": "tag", "value": ""})).completion.values == []
        prompt = PromptReference(name="choose_a_model")
        assert (await host.client.complete(prompt, {"name": "model", "value": ""})).completion.values == []
        simulator.respond("/api/tags", status=500)
        assert (await host.client.complete(template, {"name": "model", "value": ""})).completion.values == []


async def test_at_most_a_hundred_names_are_offered(simulator: Simulator, connect: Connect):
    for number in range(101):
        simulator.install(f"m:{number}", size_bytes=1000, capabilities=TOOLS)
    async with connect() as host:
        reference = ResourceTemplateReference(uri=f"{CONFIG}/{{+model}}")
        found = (await host.client.complete(reference, {"name": "model", "value": ""})).completion
    assert (len(found.values), found.total, found.has_more) == (100, 101, True)


async def test_both_documents_are_listed(connect: Connect):
    async with connect() as host:
        resources = {str(one.uri) for one in (await host.client.list_resources()).resources}
        templates = {one.uri_template for one in (await host.client.list_resource_templates()).resource_templates}
    assert CONFIG in resources
    assert f"{CONFIG}/{{+model}}" in templates
