"""An application per host: opened on first use, kept, and closed at the end."""

from pathlib import Path

import anyio
import pytest

from mcp_ollama.models.hosts import load_hosts, open_hosts
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.simulator import Simulator, serve

SECONDS = 10


async def test_hosts_reach_their_own_server_only() -> None:
    desk, gpu = Simulator(), Simulator()
    gpu.install("qwen3:8b")
    with serve(desk) as one, serve(gpu) as two, anyio.fail_after(SECONDS):
        text = f'{{"desk": "{one.base_url}", "gpu": "{two.base_url}"}}'
        async with open_hosts(load_hosts(OllamaSettings.load(hosts=text))) as hosts:
            assert [model.name for model in await (await hosts.app("gpu")).ollama.list_models()] == ["qwen3:8b"]
        assert (len(desk.requests), len(gpu.requests)) == (0, 1)
        await gpu.until(lambda: two.open_connections == 0)


async def test_host_opens_once_for_calls_at_the_same_time(nowhere: str) -> None:
    async with open_hosts(load_hosts(OllamaSettings.load(hosts=f'{{"a": "{nowhere}", "b": "b"}}'))) as hosts:
        apps: list[object] = []

        async def open_one(name: str | None) -> None:
            apps.append(await hosts.app(name))

        async with anyio.create_task_group() as tasks:
            for name in ("a", "a", None):
                tasks.start_soon(open_one, name)
        assert apps == [await hosts.app("a")] * 3
        assert (await hosts.app("b")) is not (await hosts.app("a"))
        with pytest.raises(KeyError):
            await hosts.app("c")


async def test_host_trusts_its_own_certificates(tmp_path: Path, one_certificate: Path) -> None:
    (tmp_path / "hosts.toml").write_text(f'[hosts.gpu]\nurl = "https://gpu"\nca_file = "{one_certificate}"')
    named = load_hosts(OllamaSettings.load(hosts_file=tmp_path / "hosts.toml"))
    async with open_hosts(named) as hosts:
        assert (await hosts.app("gpu")).settings.extra_certificates() == one_certificate


async def test_single_server_is_open_from_the_start(nowhere: str) -> None:
    async with open_hosts(load_hosts(OllamaSettings.load(base_url=nowhere))) as hosts:
        assert (await hosts.app()).settings.base_url == nowhere
        assert hosts.named.hosts[""].extra_certificates() is None
