"""Proxies of the environment: entries of NO_PROXY that cannot be read are dropped and named in the log."""

import pytest

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import OllamaResponseError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.proxies import Proxies, read_proxies
from mcp_ollama.sources.registry import Registry
from tests.ollama.endpoints import JSON, REMOTE_URL, VERSION
from tests.support.raw_server import answering, http

ODD = "localhost,::1,[::1],fd07::/64,10.0.0.0/8,bad entry,"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_unreadable_entries_are_dropped_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", ODD)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert read_proxies() == Proxies({"https": "http://proxy.example:3128"}, ("localhost", "[::1]", "[::1]"))
    assert (
        "NO_PROXY: ignored entries that are not host names or IP addresses: fd07::/64, 10.0.0.0/8, bad" in caplog.text
    )


def test_star_disables_all_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", "*")
    assert read_proxies() == Proxies({}, ())


@pytest.mark.parametrize(
    ("url", "is_direct"),
    [
        ("http://gpu.example:11434", True),
        ("http://a.gpu.example", True),
        ("http://notgpu.example", False),
        ("http://10.1.2.3", True),
        ("http://[::1]:5", True),
        ("http://box:8080", True),
        ("http://box:80", False),
        ("http://localhost", True),
        ("http://x.localhost", False),
    ],
)
def test_find_bypasses_the_entries(url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", ".gpu.example,10.1.2.3,::1,box:8080,localhost")
    assert read_proxies().find(url) == (None if is_direct else "http://proxy.example")


def test_bypass_patterns_are_those_of_httpx() -> None:
    proxies = Proxies({}, (".a.example", "b.example", "10.0.0.1", "[::1]", "localhost"))
    hosts = ("*a.example", "*b.example", "10.0.0.1", "[::1]", "localhost")
    assert proxies.bypass_patterns() == [f"all://{host}" for host in hosts]


async def test_client_works_with_an_unreadable_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(http(VERSION, JSON)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.setenv("NO_PROXY", ODD)
        async with OllamaClient(REMOTE_URL) as client:
            assert await client.get_version() == "0.33.0"
    assert proxy.requests[0].startswith(f"GET {REMOTE_URL}/api/version ".encode())


async def test_registry_is_reached_with_an_unreadable_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(http(b"{}", JSON)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.setenv("NO_PROXY", ODD)
        registry = Registry((), {"registry.ollama.ai": REMOTE_URL})
        with pytest.raises(OllamaResponseError):
            await registry.get_manifest(ModelName.parse("m"))
        await registry.aclose()
    assert proxy.requests[0].startswith(f"GET {REMOTE_URL}/v2/library/m/manifests/latest ".encode())
