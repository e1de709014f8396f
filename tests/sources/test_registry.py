"""Manifests: asked of allowed hosts only, without any credential, within a time and a size."""

import hashlib
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Manifest
from mcp_ollama.sources.registry import MAX_CONNECTIONS, MAX_MANIFEST_BYTES, Registry
from tests.support.raw_server import SILENCE, answering, http, until_connected

RECORDED = Path(__file__).parents[1] / "data" / "recordings" / "_manifest_big.json"
MANIFEST = RECORDED.read_bytes()
HOSTS = ("registry.ollama.ai", "hf.co", "huggingface.co", "localhost:5055")
HF = "hf.co/user/repo:Q4_K_M"
HF_PATH = "/v2/user/repo/manifests/Q4_K_M"


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


# Behind the mocked wire it never opens a connection; and loading the certificates for each test takes long.
@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(HOSTS)


async def manifest_of(registry: Registry, name: str, *, insecure: bool = False) -> Manifest:
    with anyio.fail_after(4):
        return await registry.get_manifest(ModelName.parse(name), insecure=insecure)


async def failure(registry: Registry, name: str = "tiny") -> OllamaError:
    with pytest.raises(OllamaError) as caught:
        await manifest_of(registry, name)
    return caught.value


def asked(wire: respx.MockRouter) -> list[str]:
    calls: list[respx.models.Call] = list(wire.calls)
    return [str(call.request.url) for call in calls]


async def test_manifest_digest_is_that_of_its_bytes(wire: respx.MockRouter, registry: Registry) -> None:
    spaced = b" " + MANIFEST + b"\n"
    for content in (MANIFEST, spaced):
        wire.get().respond(content=content)
        manifest = await manifest_of(registry, "tiny")
        assert manifest.digest == hashlib.sha256(content).hexdigest()
        assert manifest.digests == {manifest.digest, hashlib.sha256(content + b"\n").hexdigest()}


async def test_recorded_manifest_has_sizes_and_kinds(wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(content=MANIFEST)
    manifest = await manifest_of(registry, "tiny")
    recorded = json.loads(MANIFEST)
    assert [(layer.digest, layer.size) for layer in manifest.layers] == [
        (layer["digest"], layer["size"]) for layer in recorded["layers"]
    ]
    assert manifest.total_bytes == sum(layer["size"] for layer in (*recorded["layers"], recorded["config"]))
    assert [layer.kind for layer in manifest.layers] == [
        layer["mediaType"].removeprefix("application/vnd.ollama.image.") for layer in recorded["layers"]
    ]


@pytest.mark.parametrize(
    ("name", "insecure", "url"),
    [
        ("tiny", False, "https://registry.ollama.ai/v2/library/tiny/manifests/latest"),
        (HF, False, f"https://hf.co{HF_PATH}"),
        ("HF.co/User/Repo", False, "https://hf.co/v2/User/Repo/manifests/latest"),
        ("localhost:5055/test/big", False, "https://localhost:5055/v2/test/big/manifests/latest"),
        ("localhost:5055/test/big", True, "http://localhost:5055/v2/test/big/manifests/latest"),
        ("http://localhost:5055/test/big", False, "https://localhost:5055/v2/test/big/manifests/latest"),
    ],
)
async def test_manifest_is_requested_from_the_host_of_the_name(
    name: str, insecure: bool, url: str, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().respond(content=MANIFEST)
    await manifest_of(registry, name, insecure=insecure)
    assert asked(wire) == [url]


async def test_request_carries_no_credentials(wire: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MCP_OLLAMA_API_KEY", "OLLAMA_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(variable, "secret")
    wire.get().respond(content=MANIFEST)
    await manifest_of(Registry(HOSTS), "tiny")
    headers = wire.calls.last.request.headers
    assert headers["accept"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert headers["user-agent"] == "mcp-ollama-manager"
    assert set(headers) == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert "secret" not in str(headers.raw)


@pytest.mark.parametrize("name", ["evil.example/user/m", "registry.ollama.ai.evil.example/user/m", "localhost:1/u/m"])
async def test_disallowed_host_is_never_requested(name: str, wire: respx.MockRouter, registry: Registry) -> None:
    assert "is not among the allowed ones" in (await failure(registry, name)).problem
    assert not wire.calls


async def test_address_replaces_the_host() -> None:
    async with answering(http(MANIFEST)) as server:
        registry = Registry((), {"registry.ollama.ai": server.base_url})
        assert (await manifest_of(registry, "Registry.Ollama.AI/library/tiny")).total_bytes
        assert isinstance(await failure(registry, HF), OllamaError)
        await registry.aclose()
    assert server.requests[0].startswith(b"GET /v2/library/tiny/manifests/latest HTTP/1.1\r\n")
    assert len(server.requests) == 1


async def test_connection_is_reused_and_closing_is_idempotent() -> None:
    async with answering(http(MANIFEST)) as server:
        registry = Registry((), {"registry.ollama.ai": server.base_url})
        await registry.aclose()
        for connections in (1, 1, 2):
            await manifest_of(registry, "tiny")
            assert server.connections == connections
            if len(server.requests) > 1:
                await registry.aclose()
        await registry.aclose()


async def test_concurrent_requests_share_a_few_connections() -> None:
    async with answering(SILENCE) as server:
        registry = Registry((), {"registry.ollama.ai": server.base_url})
        async with anyio.create_task_group() as group:
            for _ in range(3 * MAX_CONNECTIONS):
                group.start_soon(manifest_of, registry, "tiny")
            await until_connected(server, MAX_CONNECTIONS)
            group.cancel_scope.cancel()
        await registry.aclose()


@pytest.mark.parametrize("variable", ["ALL_PROXY", "SSL_CERT_FILE"])
async def test_unusable_environment_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "socks5://127.0.0.1:9")
    assert "The environment names a proxy or certificates" in (await failure(Registry(HOSTS), "tiny")).problem


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "ALL_PROXY"])
async def test_loopback_registry_bypasses_the_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with answering(http(MANIFEST)) as server, answering(http(b"")) as elsewhere:
        monkeypatch.setenv(proxy, elsewhere.base_url)
        host = server.base_url.removeprefix("http://")
        registry = Registry([host])
        await manifest_of(registry, f"{host}/test/big", insecure=True)
        await registry.aclose()
    assert not elsewhere.connections


async def test_missing_model_advises_by_registry(wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
    error = await failure(registry, HF)
    assert isinstance(error, ModelNotFoundError)
    assert error.model == HF
    assert error.problem == f"The registry hf.co has no {HF}."
    assert error.next_step == "Check the repository and its quantizations at https://huggingface.co/user/repo."


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (403, False), (429, False), (500, True), (204, False)])
async def test_other_status_has_a_next_step(
    status: int, retryable: bool, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().respond(status, text="secret page")
    error = await failure(registry)
    assert type(error) is OllamaStatusError
    assert (error.status_code, error.retryable) == (status, retryable)
    assert error.problem == f"The registry registry.ollama.ai answered {status} for tiny:latest."
    assert ("may have a key for it" if status in (401, 403) else "in a few minutes") in error.next_step


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<html>log in</html>", b"[]", b"{}", b"\xff", b"[" * 10_000),
        b'{"config":{"digest":"sha256:ab","size":1},"layers":[{"digest":"sha256:ab","size":-1}]}',
        b'{"schemaVersion":2,"manifests":[]}',
    ],
    ids=["nothing", "page", "list", "empty", "not utf-8", "deep", "negative size", "list of manifests"],
)
async def test_invalid_manifest_is_a_response_error(content: bytes, wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(content=content)
    error = await failure(registry)
    assert type(error) is OllamaResponseError
    assert error.problem == "The registry registry.ollama.ai returned an invalid manifest for tiny:latest."
    assert "log-in page" in error.next_step


async def test_endless_manifest_is_abandoned(wire: respx.MockRouter, registry: Registry) -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b" " * 100_000

    wire.get().mock(httpx.Response(200, content=endless()))
    error = await failure(registry)
    assert type(error) is OllamaResponseError
    assert "larger than 4,000,000 bytes" in error.problem
    assert sent <= MAX_MANIFEST_BYTES + 100_000


@pytest.mark.parametrize("answer", [SILENCE, http(b"{", length=10)], ids=["no answer", "half an answer"])
async def test_slow_registry_times_out(answer: bytes | None) -> None:
    async with answering(answer) as server:
        registry = Registry((), {"registry.ollama.ai": server.base_url}, timeout=0.05)
        error = await failure(registry)
        await registry.aclose()
    assert type(error) is OllamaTimeoutError
    assert error.problem == "The registry registry.ollama.ai did not answer within 0.05 s."


async def test_redirects_share_one_timeout() -> None:
    redirect = http(b"", "Location: /again", status="302 Found")
    async with answering(redirect, SILENCE) as server:
        registry = Registry((), {"registry.ollama.ai": server.base_url}, timeout=0.05)
        assert isinstance(await failure(registry), OllamaTimeoutError)
        await registry.aclose()


@pytest.mark.parametrize("trouble", [httpx.ConnectError("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x")])
async def test_unreachable_registry_is_named(trouble: Exception, wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().mock(side_effect=trouble)
    error = await failure(registry)
    assert type(error) is OllamaConnectionError
    assert error.problem == "The registry registry.ollama.ai cannot be reached from here."
    assert error.next_step == "The Ollama server may still reach it: try pull_model."


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("/elsewhere", "https://hf.co/elsewhere"),
        ("elsewhere", "https://hf.co/v2/user/repo/manifests/elsewhere"),
        ("//hf.co/elsewhere", "https://hf.co/elsewhere"),
        ("https://huggingface.co/v2/user/repo/manifests/Q4_K_M", f"https://huggingface.co{HF_PATH}"),
    ],
)
async def test_redirect_to_an_allowed_host_is_followed(
    location: str, followed: str, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get(f"https://hf.co{HF_PATH}").respond(307, headers={"Location": location})
    wire.get(followed).respond(content=MANIFEST)
    assert (await manifest_of(registry, HF)).digest
    assert asked(wire) == [f"https://hf.co{HF_PATH}", followed]


@pytest.mark.parametrize(
    "location",
    [
        *("https://evil.example/x", "//evil.example/x", "http://evil.example", "https://hf.co.evil.example/x"),
        *("http://hf.co/x", "http://huggingface.co/x", "https://hf.co:8443/x", "https://me@hf.co/x"),
        *("ftp://hf.co/x", "file:///etc/passwd", "https://169.254.169.254/latest/meta-data", "http://localhost:5055/x"),
    ],
)
async def test_redirect_to_another_host_is_refused(location: str, wire: respx.MockRouter, registry: Registry) -> None:
    wire.get(f"https://hf.co{HF_PATH}").respond(302, headers={"Location": location})
    error = await failure(registry, HF)
    assert str(error) == "The registry hf.co redirects to a host that is not allowed."
    assert len(wire.calls) == 1


async def test_redirect_from_http_to_https_is_followed(wire: respx.MockRouter, registry: Registry) -> None:
    path = "/v2/test/big/manifests/latest"
    wire.get(f"http://localhost:5055{path}").respond(301, headers={"Location": f"https://localhost:5055{path}"})
    wire.get(f"https://localhost:5055{path}").respond(content=MANIFEST)
    assert (await manifest_of(registry, "localhost:5055/test/big", insecure=True)).digest


async def test_redirect_to_an_invalid_url_is_an_error(wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(302, headers={"Location": "https://[oops/x"})
    assert str(await failure(registry)) == "The registry registry.ollama.ai redirects to an invalid URL."


async def test_redirect_too_long_for_httpx_is_an_error(wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(302, headers={"Location": "/" + "x" * 70_000})
    assert isinstance(await failure(registry), OllamaConnectionError)


@pytest.mark.parametrize("headers", [{"Location": "/v2/library/tiny/manifests/latest"}, {}], ids=["loop", "nowhere"])
async def test_redirect_loop_ends(headers: dict[str, str], wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(302, headers=headers)
    error = await failure(registry)
    assert type(error) is OllamaResponseError
    assert str(error) == "The registry registry.ollama.ai redirects in a loop."
    assert len(wire.calls) == 3


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"error":"The specified tag is not a valid quantization scheme."}', "not a valid quantization scheme."),
        (
            b'{"errors":[{"code":"NAME_INVALID","message":"bad\\u202e name"}]}',
            "hf.co/user/repo:Q4_K_M: bad name.",
        ),
        (b'{"errors":[]}', "answered 400 for hf.co/user/repo:Q4_K_M."),
        (b"no JSON", "answered 400 for hf.co/user/repo:Q4_K_M."),
    ],
)
async def test_reason_of_a_refusal_is_quoted(
    content: bytes, problem: str, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().respond(400, content=content)
    error = await failure(registry, HF)
    assert type(error) is OllamaStatusError
    assert error.problem.endswith(problem)


@pytest.mark.parametrize("status", [401, 403, 407, 418])
async def test_page_instead_of_json_is_a_proxy_or_filter(
    status: int, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().respond(status, text="\n<html>Blocked</html>")
    error = await failure(registry)
    assert error.next_step.startswith("A web page came instead of JSON: a proxy or filter may block it.")


async def test_endless_refusal_is_abandoned(wire: respx.MockRouter, registry: Registry) -> None:
    wire.get().respond(400, content=b" " * 1_000_000)
    assert "answered 400" in str(await failure(registry))


@pytest.mark.parametrize(
    ("model", "next_step"),
    [
        ("tiny", "Check the name and the tag at https://ollama.com/library."),
        ("me/tiny", "Check the name and the tag at https://ollama.com/me."),
        (HF, "Check the repository and its quantizations at https://huggingface.co/user/repo."),
        ("localhost:5055/a/b", "Check the name and the tag at the registry localhost:5055."),
    ],
)
async def test_advice_for_a_missing_model_fits_the_registry(
    model: str, next_step: str, wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().respond(404)
    assert (await failure(registry, model)).next_step == next_step


async def test_registry_named_with_http_needs_no_insecure(wire: respx.MockRouter) -> None:
    wire.get("http://localhost:5055/v2/a/b/manifests/latest").respond(content=MANIFEST)
    registry = Registry((), {"localhost:5055": "http://localhost:5055"})
    assert (await manifest_of(registry, "localhost:5055/a/b")).digest
    await registry.aclose()


async def test_unreachable_registry_of_the_operator_gets_a_hint_of_http(
    wire: respx.MockRouter, registry: Registry
) -> None:
    wire.get().mock(side_effect=httpx.ConnectError("EOF"))
    error = await failure(registry, "localhost:5055/a/b")
    assert "If it uses plain http, name it in MCP_OLLAMA_REGISTRIES as http://localhost:5055." in error.next_step
