"""The client: the error that each failure of the server becomes."""

import inspect

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    OllamaAuthorizationError,
    OllamaResponseError,
    OllamaStatusError,
)
from tests.ollama.endpoints import BASE_URL, CALLS, NAMED, READING, VERSION, failure, failures, statuses
from tests.support.raw_server import SILENCE, answering


async def test_lack_of_memory_suggests_unloading(wire: respx.MockRouter, client: OllamaClient) -> None:
    text = "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"
    wire.post("/api/generate").respond(500, json={"error": text})
    error = await failure(client.load_model("m"))
    assert error.next_step == "unload_model others first, or use a smaller model, quantization or num_ctx."


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "said",
    [
        '{"error":"bad token Bearer sesame\\u0026\\u003cx"}',
        '{"error":"no access for eA=="}',
        "Authorization: sesame&<x",
    ],
)
async def test_echoed_secret_is_redacted(said: str, status: int, wire: respx.MockRouter) -> None:
    client = OllamaClient(BASE_URL, api_key="sesame&<x", headers={"X-Door": "Basic eA=="})
    wire.post("/api/pull").respond(status, text=f"{said}\n")
    text = str(await failure(statuses(client.pull_model("m"))))
    assert "***" in text
    assert "sesame" not in text
    assert "eA==" not in text


async def test_is_running_with_a_version_is_true(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.get("/api/version").respond(content=VERSION)
    assert await client.is_running() is True


@pytest.mark.parametrize(
    "outcome",
    [
        *(httpx.ConnectError("refused"), httpx.ConnectTimeout("late"), httpx.ReadError("reset")),
        *(httpx.Response(status) for status in (301, 403, 404, 500)),
        *(httpx.Response(200, content=content) for content in (b"", b"<html>", b"{}", b"[" * 10_000)),
    ],
    ids=["refused", "late", "reset", "moved", "forbidden", "missing", "broken", "empty", "page", "odd", "deep"],
)
async def test_is_running_with_any_other_answer_is_false(
    outcome: httpx.Response | Exception, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().mock(side_effect=[outcome])
    assert await client.is_running() is False


async def test_is_running_of_a_silent_server_is_false() -> None:
    assert inspect.signature(OllamaClient.is_running).parameters["seconds"].default == 5
    async with answering(SILENCE) as server, OllamaClient(server.base_url) as client:
        with anyio.fail_after(5):
            assert await client.is_running(seconds=0.05) is False


@pytest.mark.parametrize("status", [401, 403])
async def test_refusal_without_text_lists_possible_causes(
    status: int, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status)
    async for _, error in failures(client):
        assert type(error) is OllamaAuthorizationError
        assert (error.status_code, error.retryable) == (status, False)
        assert error.problem == f"{BASE_URL} refuses the request ({status}) without a reason."
        assert "`Host: localhost:11434`" in error.next_step
        assert "MCP_OLLAMA_API_KEY" in error.next_step


@pytest.mark.parametrize(
    ("status", "answer", "problem", "next_step"),
    [
        (401, {"error": "bad key."}, "refuses the request (401): bad key.", "Set MCP_OLLAMA_API_KEY to a valid key."),
        (
            401,
            {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x&key=y"},
            "refuses the request (401): unauthorized.",
            "Run `ollama signin` on the machine that Ollama runs on.",
        ),
        (403, {"error": "go away"}, "refuses the request (403): go away.", "Ask the operator of that server."),
        (
            403,
            {"error": "ollama cloud is disabled: remote model details are unavailable"},
            "refuses the request (403): ollama cloud is disabled: remote model details are unavailable.",
            "Cloud models are disabled on this server by OLLAMA_NO_CLOUD or its settings.",
        ),
    ],
    ids=["401", "signed out", "403", "cloud disabled"],
)
async def test_refusal_with_text_quotes_it_with_a_next_step(
    status: int, answer: object, problem: str, next_step: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, json=answer)
    error = await failure(client.get_model_info("m"))
    assert type(error) is OllamaAuthorizationError
    assert (error.problem, error.next_step) == (f"{BASE_URL} {problem}", next_step)


@pytest.mark.parametrize("method", ["get_model_info", "load_model", "unload_model", "pull_model", "push_model"])
async def test_missing_model_is_named(method: str, wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(404, json={"error": "model 'm' not found"})
    error = await failure(NAMED[method](client, "m"))
    assert isinstance(error, ModelNotFoundError)
    assert (error.model, error.status_code, error.retryable) == ("m:latest", 404, False)
    assert error.problem == "The model m:latest is not installed on this server."


async def test_copy_of_a_missing_model_names_the_source(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(404, json={"error": 'model "m" not found'})
    error = await failure(client.copy_model("m", "n"))
    assert isinstance(error, ModelNotFoundError)
    assert error.model == "m:latest"


@pytest.mark.parametrize(("status", "page"), [(404, "404 page not found"), (405, "405 method not allowed")])
async def test_missing_endpoint_is_not_a_missing_model(
    status: int, page: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, text=page)
    # An answer to HEAD has no text: a missing blob and a missing endpoint look the same.
    calls = {name: endpoint for name, endpoint in CALLS.items() if endpoint.method != "HEAD"}
    async for endpoint, error in failures(client, calls):
        assert type(error) is OllamaStatusError
        assert error.status_code == status
        assert error.problem.startswith(f"The server at {BASE_URL} does not know {endpoint.path}: it is not Ollama")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b'{"error":"the runner is gone."}', "the runner is gone"),
        (b'{"error":{"message":"the runner is gone","type":"api_error"}}', "the runner is gone"),
        (b'{"error":{"odd":1}}', "{'odd': 1}"),
        (b"<!DOCTYPE html><html><body>Bad gateway</body></html>", "<a web page>"),
        (b"upstream\r\n\x1b[31mfailed", "upstream failed"),
        (b"", "nothing more"),
        (b'{"error":""}', '{"error":""}'),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}"),
    ],
    ids=["json", "object", "odd object", "html", "text", "nothing", "empty text", "binary"],
)
async def test_server_error_is_quoted_and_retryable(
    content: bytes, shown: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(500, content=content)
    async for _, error in failures(client):
        assert type(error) is OllamaStatusError
        assert (error.status_code, error.retryable) == (500, True)
        assert error.problem == f"Ollama answered 500: {shown}."


@pytest.mark.parametrize(
    ("status", "next_step"), [(400, "Correct it and call again."), (429, "Wait a minute, then call again.")]
)
async def test_bad_request_is_quoted_and_not_retryable(
    status: int, next_step: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, json={"error": 'time: invalid duration "x"'})
    error = await failure(client.load_model("m", "x"))
    assert str(error) == f'Ollama answered {status}: time: invalid duration "x". {next_step}'
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "text", "sentences"),
    [
        (
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            f"{BASE_URL} speaks https, not http. Set MCP_OLLAMA_BASE_URL to its https:// address.",
        ),
        (
            400,
            "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
            f"{BASE_URL} speaks https, not http. Set MCP_OLLAMA_BASE_URL to its https:// address.",
        ),
        (
            407,
            "<html>Squid</html>",
            (
                f"The proxy between this server and {BASE_URL} requires authentication (407). Put a user name and "
                "password into HTTP_PROXY, or name the host in NO_PROXY."
            ),
        ),
        (
            502,
            "<html>nginx</html>",
            f"The proxy at {BASE_URL} does not reach Ollama (502). Check that Ollama runs behind it, then call again.",
        ),
        (
            418,
            "I am a teapot.",
            (
                f"{BASE_URL} answered 418, not as Ollama does: I am a teapot. "
                "Check that the address is an Ollama server and not a web interface or a proxy in front of it."
            ),
        ),
    ],
    ids=["https of go", "https of nginx", "proxy authentication", "bad gateway", "other"],
)
async def test_status_without_text_of_ollama_names_what_answers(
    status: int, text: str, sentences: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(status, text=text)
    error = await failure(client.list_models())
    assert type(error) is OllamaStatusError
    assert str(error) == sentences
    assert (error.status_code, error.retryable) == (status, status == 502)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty response"),
        (b" \n", "an empty response"),
        (b"<!DOCTYPE html><title>Open WebUI</title>", "a web page"),
        (b"Ollama is running", "something that is not JSON"),
        (b'{"version":"\xff"}', "something that is not JSON"),
        (b"[" * 10_000, "something that is not JSON"),
        (b'{"version":' * 10_000 + b"1" + b"}" * 10_000, "something that is not JSON"),
        (b"[]", "JSON that does not match Ollama's API"),
        (b"null", "JSON that does not match Ollama's API"),
        (
            b'{"version":1,"models":[{}],"recommendations":{},"model_info":[],"object":0}',
            "JSON that does not match Ollama's API",
        ),
    ],
    ids=["empty", "blank", "page", "text", "not utf-8", "deep list", "deep object", "list", "null", "wrong fields"],
)
async def test_unexpected_response_is_described(
    content: bytes, what: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.route().respond(200, content=content)
    async for endpoint, error in failures(client, READING):
        assert type(error) is OllamaResponseError
        assert not error.retryable
        assert error.problem == f"{BASE_URL}{endpoint.path} returned {what}."


async def test_list_without_models_is_not_an_empty_list(wire: respx.MockRouter, client: OllamaClient) -> None:
    wire.route().respond(200, json={})
    for call in (client.list_models, client.list_running_models, client.list_recommendations, client.check_openai_api):
        assert isinstance(await failure(call()), OllamaResponseError)


@pytest.mark.parametrize(
    ("text", "problem", "next_step"),
    [
        ("unknown model architecture: 'mllama'", "Ollama cannot run m:latest: ", "Update Ollama"),
        ("unable to load model: /models/blobs/sha256-ab", "Ollama cannot load m:latest: ", "Pull it again"),
        (
            "no kernel image is available for execution",
            "The GPU of the Ollama server cannot run m:latest",
            "GPU driver",
        ),
        ("model requires more system memory (9 GiB)", "Ollama answered 500: model requires", "unload_model others"),
        ("write /models/x: no space left on device", "The disk of the Ollama server is full.", "Free space there"),
    ],
)
async def test_load_that_cannot_succeed_later_is_not_retryable(
    text: str, problem: str, next_step: str, wire: respx.MockRouter, client: OllamaClient
) -> None:
    wire.post("/api/generate").respond(500, json={"error": text})
    error = await failure(client.load_model("m"))
    assert error.problem.startswith(problem)
    assert next_step in error.next_step
    assert not error.retryable
    assert "/models" not in str(error)
