"""Every call of the client, with the request it sends and what it makes of an answer."""

import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    OllamaError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Progress

BASE_URL = "http://127.0.0.1:11434"


REMOTE_URL = "http://gpu.example:11434"


DIGEST = f"sha256:{'ab' * 32}"


JSON = "Content-Type: application/json"


VERSION = b'{"version":"0.33.0"}'


Call = Callable[[OllamaClient], Awaitable[object]]


async def statuses(stream: AsyncIterator[Progress]) -> list[str]:
    with anyio.fail_after(5):
        return [line.status async for line in stream]


async def names(listing: Awaitable[list[Any]]) -> list[str]:
    return [row.name for row in await listing]


async def template_of(client: OllamaClient) -> str:
    return (await client.get_model_info("m")).template


async def recommended(client: OllamaClient) -> list[str]:
    return [row.model for row in await client.list_recommendations()]


@dataclass(frozen=True)
class Endpoint:
    """One call, what it must send, and what it makes of an answer."""

    call: Call
    method: str
    path: str
    body: object = None
    answer: object = None
    result: object = None


STREAM = b'{"status":"pulling manifest"}\n{"status":"success"}\n'


STREAMED = ["pulling manifest", "success"]


ENDPOINTS = {
    "get_version": Endpoint(
        OllamaClient.get_version, "GET", "/api/version", answer={"version": "0.33.0"}, result="0.33.0"
    ),
    "list_models": Endpoint(
        lambda client: names(client.list_models()), "GET", "/api/tags", answer={"models": [{"name": "m"}]}, result=["m"]
    ),
    "list_models, none": Endpoint(
        OllamaClient.list_models, "GET", "/api/tags", answer={"models": None}, result=list[str]()
    ),
    "list_running_models": Endpoint(
        lambda client: names(client.list_running_models()),
        *("GET", "/api/ps"),
        answer={"models": [{"name": "m"}]},
        result=["m"],
    ),
    "list_running_models, none": Endpoint(
        OllamaClient.list_running_models, "GET", "/api/ps", answer={"models": None}, result=list[str]()
    ),
    "get_model_info": Endpoint(
        template_of, "POST", "/api/show", {"model": "m:latest"}, {"template": "{{ .Prompt }}"}, "{{ .Prompt }}"
    ),
    "delete_model": Endpoint(
        lambda client: client.delete_model(" m:8b:cloud "), "DELETE", "/api/delete", {"model": "m:8b-cloud"}, b"", True
    ),
    "copy_model": Endpoint(
        lambda client: client.copy_model("m", "user/n:1"),
        *("POST", "/api/copy", {"source": "m:latest", "destination": "user/n:1"}, b""),
    ),
    "load_model": Endpoint(
        lambda client: client.load_model("m"), "POST", "/api/generate", {"model": "m:latest"}, {"done": True}
    ),
    "load_model, for a time": Endpoint(
        lambda client: client.load_model("m", "5m"),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": "5m"}, {"done": True}),
    ),
    "load_model, without limit": Endpoint(
        lambda client: client.load_model("m", -1),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": -1}, {"done": True}),
    ),
    "unload_model": Endpoint(
        lambda client: client.unload_model("m"),
        *("POST", "/api/generate", {"model": "m:latest", "keep_alive": 0}, {"done": True}),
    ),
    "has_blob": Endpoint(
        lambda client: client.has_blob(DIGEST), "HEAD", f"/api/blobs/{DIGEST}", answer=b"", result=True
    ),
    "check_openai_api": Endpoint(
        OllamaClient.check_openai_api, "GET", "/v1/models", answer={"object": "list", "data": None}
    ),
    "is_cloud_disabled": Endpoint(
        OllamaClient.is_cloud_disabled, "GET", "/api/status", answer={"cloud": {"disabled": True}}, result=True
    ),
    "list_recommendations": Endpoint(
        recommended,
        *("GET", "/api/experimental/model-recommendations"),
        answer={"recommendations": [{"model": "m"}]},
        result=["m"],
    ),
    "pull_model": Endpoint(
        lambda client: statuses(client.pull_model("m")),
        *("POST", "/api/pull", {"model": "m:latest", "insecure": False}, STREAM, STREAMED),
    ),
    "pull_model, last line": Endpoint(
        lambda client: statuses(client.pull_model("m", stream=False, insecure=True)),
        *("POST", "/api/pull", {"model": "m:latest", "insecure": True}, STREAM, ["success"]),
    ),
    "push_model": Endpoint(
        lambda client: statuses(client.push_model("user/m", insecure=True)),
        *("POST", "/api/push", {"model": "user/m:latest", "insecure": True}, STREAM, STREAMED),
    ),
    "create_model": Endpoint(
        lambda client: statuses(client.create_model("n", "m:local")),
        *("POST", "/api/create", {"model": "n:latest", "from": "m:latest"}, STREAM, STREAMED),
    ),
    "create_model, with wishes": Endpoint(
        lambda client: statuses(client.create_model("n", "m", system="", template="t", parameters={"top_k": 1})),
        *("POST", "/api/create"),
        {"model": "n:latest", "from": "m:latest", "system": "", "template": "t", "parameters": {"top_k": 1}},
        *(STREAM, STREAMED),
    ),
}


CALLS = {name: endpoint for name, endpoint in ENDPOINTS.items() if "," not in name}


READING = {name: endpoint for name, endpoint in CALLS.items() if isinstance(endpoint.answer, dict) and endpoint.result}


every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)


def encoded(answer: object) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


async def failures(
    client: OllamaClient, calls: dict[str, Endpoint] = CALLS
) -> AsyncGenerator[tuple[Endpoint, OllamaError]]:
    """Every call with its error."""
    for endpoint in calls.values():
        yield endpoint, await failure(endpoint.call(client))


async def failure(call: Awaitable[object]) -> OllamaError:
    """The error of a call, which must come soon."""
    with anyio.fail_after(5), pytest.raises(OllamaError) as caught:
        await call
    return caught.value


def requests(router: respx.MockRouter) -> list[httpx.Request]:
    calls: list[respx.models.Call] = list(router.calls)
    return [call.request for call in calls]


NAMED: dict[str, Callable[[OllamaClient, ModelName | str], Awaitable[object]]] = {
    "get_model_info": OllamaClient.get_model_info,
    "delete_model": OllamaClient.delete_model,
    "load_model": OllamaClient.load_model,
    "unload_model": OllamaClient.unload_model,
    "copy_model, from": lambda client, name: client.copy_model(name, "n"),
    "copy_model, to": lambda client, name: client.copy_model("m", name),
    "pull_model": lambda client, name: statuses(client.pull_model(name)),
    "push_model": lambda client, name: statuses(client.push_model(name)),
    "create_model": lambda client, name: statuses(client.create_model(name, "m")),
    "create_model, from": lambda client, name: statuses(client.create_model("n", name)),
}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
