"""Heads of weights files over HTTP: ranges, redirects, limits, and what is kept secret."""

import logging
import struct
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import respx

from mcp_ollama.ollama.errors import (
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.sources.gguf import read_metadata
from mcp_ollama.sources.weights_head import CAPACITY, MAX_BYTES, WeightsHeads, resolve_host

HEADERS = Path(__file__).parents[1] / "data" / "memory" / "headers"
HEAD = (HEADERS / "qwen3_30b-a3b.converter.v3.gguf").read_bytes()
EXPECTED = read_metadata(HEAD)
FILE = HEAD + bytes(3 * 2**20)
BLOB = "https://registry.example/v2/library/m/blobs/sha256:1"
CDN = "https://cdn.example/data?X-Signature=secret"
KIB = 1024


def long_head(kib: int) -> bytes:
    """Build a file whose needed keys end behind that many KiB."""
    licences = b"".join(
        struct.pack("<Q", 8) + f"text{n:04}".encode() + struct.pack("<IQ", 8, KIB - 28) + b"x" * (KIB - 28)
        for n in range(kib)
    )
    count = struct.unpack_from("<Q", HEAD, 16)[0] + kib
    return HEAD[:16] + struct.pack("<Q", count) + licences + HEAD[24:] + bytes(3 * 2**20)


def ranged(content: bytes) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        start, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        part = content[start : end + 1]
        headers = {"content-range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        return httpx.Response(206, content=part, headers=headers)

    return answer


def refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(403)


async def resolve(host: str) -> Collection[str]:
    return {"cdn.example": ["93.184.216.34"], "lan.example": ["93.184.216.34", "10.0.0.7"]}.get(host, [])


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        router.get(BLOB).respond(307, headers={"location": CDN})
        router.get(CDN).mock(side_effect=ranged(FILE))
        yield router


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        verify=False, headers={"x-ours": "1"}, cookies={"ours": "1"}, auth=("ours", "1")
    ) as ours:
        yield ours


@pytest.fixture
def heads(client: httpx.AsyncClient) -> WeightsHeads:
    return WeightsHeads(client, resolve=resolve)


async def read(heads: WeightsHeads, url: str = BLOB, size: int = len(FILE), digest: str = "1") -> object:
    with anyio.fail_after(5):
        return await heads.read(url, digest=digest, size_bytes=size)


async def failure(heads: WeightsHeads, url: str = BLOB, size: int = len(FILE)) -> OllamaError:
    with pytest.raises(OllamaError) as caught:
        await read(heads, url, size)
    assert "secret" not in str(caught.value)
    return caught.value


def requests_of(wire: respx.MockRouter) -> list[httpx.Request]:
    calls: list[respx.models.Call] = list(wire.calls)
    return [call.request for call in calls]


def sent(wire: respx.MockRouter) -> list[tuple[str, str]]:
    return [(request.url.host, request.headers["range"]) for request in requests_of(wire)]


async def test_head_takes_two_requests_with_nothing_but_a_range(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    assert await read(heads) == EXPECTED

    assert sent(wire) == [("registry.example", "bytes=0-65535"), ("cdn.example", "bytes=0-65535")]
    requests = requests_of(wire)
    assert [sorted(request.headers) for request in requests] == [["accept-encoding", "host", "range"]] * 2
    assert {request.headers["accept-encoding"] for request in requests} == {"identity"}


async def test_address_with_a_signature_is_not_logged(
    wire: respx.MockRouter, heads: WeightsHeads, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    # A test of the command in the same process leaves it at WARNING.
    caplog.set_level(logging.INFO, logger="httpx")

    await read(heads)

    assert "cdn.example" in caplog.text
    assert "secret" not in caplog.text


async def test_head_is_remembered_by_digest(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    assert await read(heads) is await read(heads, "https://other.example/")
    assert len(wire.calls) == 2

    for number in range(CAPACITY):
        await read(heads, digest=f"other {number}")
    await read(heads)
    assert len(wire.calls) == 2 * (CAPACITY + 2)


async def test_long_head_is_read_on_at_the_content_host(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    content = long_head(200)
    wire.get(CDN).mock(side_effect=ranged(content))

    assert (await read(heads, size=len(content)) or {}) != EXPECTED

    assert sent(wire) == [
        ("registry.example", "bytes=0-65535"),
        ("cdn.example", "bytes=0-65535"),
        ("cdn.example", "bytes=65536-131071"),
        ("cdn.example", "bytes=131072-262143"),
    ]


async def test_head_longer_than_a_mebibyte_is_given_up(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    content = long_head(1100)
    wire.get(CDN).mock(side_effect=ranged(content))

    assert "incomplete within 1 MiB" in str(await failure(heads, size=len(content)))
    assert sent(wire)[-1] == ("cdn.example", f"bytes=524288-{MAX_BYTES - 1}")


async def test_file_that_ends_within_its_head_is_given_up(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).mock(side_effect=ranged(HEAD[:500]))

    assert "incomplete" in str(await failure(heads, size=500))
    assert sent(wire)[-1] == ("cdn.example", "bytes=0-499")


@pytest.mark.parametrize("kib", [0, 100])
async def test_host_without_ranges_is_read_until_the_head_is_there(
    wire: respx.MockRouter, heads: WeightsHeads, kib: int
) -> None:
    content = long_head(kib)
    read_bytes = 0

    async def body() -> AsyncGenerator[bytes]:
        nonlocal read_bytes
        for start in range(0, len(content), 40_000):
            read_bytes = start + 40_000
            yield content[start : start + 40_000]

    wire.get(CDN).mock(return_value=httpx.Response(200, content=body()))

    await read(heads, size=len(content))

    assert len(wire.calls) == 2
    assert read_bytes <= 200_000


async def test_host_without_ranges_is_read_for_a_mebibyte_at_most(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    content = long_head(1100)
    wire.get(CDN).respond(200, content=content)

    assert "incomplete within 1 MiB" in str(await failure(heads, size=len(content)))
    assert len(wire.calls) == 2


async def test_expired_signature_is_renewed_at_the_registry(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    content = long_head(100)
    answers = iter([ranged(content), refuse, ranged(content)])

    def answer(request: httpx.Request) -> httpx.Response:
        return next(answers)(request)

    wire.get(CDN).mock(side_effect=answer)

    await read(heads, size=len(content))

    assert [host.partition(".")[0] for host, _ in sent(wire)] == ["registry", "cdn", "cdn", "registry", "cdn"]


async def test_signature_that_is_expired_at_once_is_an_error(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).respond(403)

    error = await failure(heads)

    assert isinstance(error, OllamaStatusError)
    assert error.status_code == 403
    assert len(wire.calls) == 2


@pytest.mark.parametrize("status", [304, 401, 404, 416, 500])
async def test_other_status_is_an_error(wire: respx.MockRouter, heads: WeightsHeads, status: int) -> None:
    wire.get(BLOB).respond(status)

    assert str(await failure(heads)).startswith(f"The host of the weights file answers {status}.")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://cdn.example/", "not https"),
        ("ftp://cdn.example/", "not https"),
        ("https://user@cdn.example/", "not https"),
        ("https://[::1/secret", "unreachable"),
        ("https://127.0.0.1/", "private network"),
        ("https://[::1]/", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://[::ffff:10.0.0.1]/", "private network"),
        ("https://lan.example/", "private network"),
        ("https://registry.example/v2/library/m/blobs/sha256:1", "too often"),
    ],
)
async def test_redirect_is_refused(wire: respx.MockRouter, heads: WeightsHeads, location: str, words: str) -> None:
    wire.get(BLOB).respond(307, headers={"location": location})

    assert words in str(await failure(heads))
    assert {host for host, _ in sent(wire)} == {"registry.example"}


@pytest.mark.parametrize("location", ["/blob?__sign=secret", "https://unresolved.example/", "https://[2606:4700::1]/"])
async def test_redirect_to_public_or_same_host_is_followed(
    wire: respx.MockRouter, heads: WeightsHeads, location: str
) -> None:
    wire.get(BLOB).respond(302, headers={"location": location})
    wire.get(httpx.URL(BLOB).join(location)).mock(side_effect=ranged(FILE))

    assert await read(heads) == EXPECTED


async def test_registry_that_the_operator_named_may_stay_in_its_network(
    wire: respx.MockRouter, client: httpx.AsyncClient
) -> None:
    heads = WeightsHeads(client, named_hosts=["registry.lan:5000"], resolve=resolve)
    wire.get("http://registry.lan:5000/blob").respond(307, headers={"location": "http://10.0.0.7/blob"})
    wire.get("http://10.0.0.7/blob").mock(side_effect=ranged(FILE))

    assert await read(heads, "http://registry.lan:5000/blob") == EXPECTED


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (206, {"content-range": "bytes 1-65536/3148224"}, "not the one of the manifest"),
        (206, {"content-range": "bytes 0-65535/99"}, "not the one of the manifest"),
        (206, {}, "not the one of the manifest"),
        (200, {"content-length": "99"}, "not the one of the manifest"),
        (200, {"content-encoding": "unknown"}, "is encoded as 'unknown'"),
    ],
)
async def test_answer_of_another_file_is_refused(
    wire: respx.MockRouter, heads: WeightsHeads, status: int, headers: dict[str, str], words: str
) -> None:
    wire.get(CDN).mock(return_value=httpx.Response(status, headers=headers, stream=httpx.ByteStream(FILE[:99])))

    assert words in str(await failure(heads))


async def test_range_without_a_total_is_accepted(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).respond(206, content=FILE[:65536], headers={"content-range": "bytes 0-65535/*"})

    assert await read(heads) == EXPECTED


async def test_empty_answer_is_an_error(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).respond(206, headers={"content-range": f"bytes 0-0/{len(FILE)}"})

    assert "sends none" in str(await failure(heads))


async def test_manifest_without_a_size_asks_no_one(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    assert "states no size" in str(await failure(heads, size=0))
    assert not wire.calls


async def test_file_that_is_not_gguf_is_an_error(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).mock(side_effect=ranged(b"<html>" + FILE[6:]))

    error = await failure(heads)

    assert isinstance(error, OllamaResponseError)
    assert "not a GGUF file" in str(error)


async def test_unreachable_host_is_an_error(wire: respx.MockRouter, heads: WeightsHeads) -> None:
    wire.get(CDN).mock(side_effect=httpx.ConnectError("secret"))

    assert isinstance(await failure(heads), OllamaConnectionError)


async def test_slow_host_is_given_up(wire: respx.MockRouter, client: httpx.AsyncClient) -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    wire.get(CDN).mock(side_effect=hang)

    error = await failure(WeightsHeads(client, timeout=0.05, resolve=resolve))

    assert isinstance(error, OllamaTimeoutError)


async def test_names_are_resolved_on_this_machine() -> None:
    assert "127.0.0.1" in await resolve_host("localhost")
    assert await resolve_host("invalid name") == []
