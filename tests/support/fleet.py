"""Three hosts for tests: `desk`, the default; `gpu`, which is read-only; and `gone`, where nothing listens."""

import json
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.models.app import Timeouts
from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.server.server import OllamaServer
from mcp_ollama.simulator import Simulator, serve
from mcp_ollama.sources.registry import Registry
from tests.support.client import Era, Host, host

TABLES: Mapping[str, str] = {"desk": "", "gpu": 'access = "read-only"\ndescription = "two cards"', "gone": ""}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Simulators by the name of their host, and the file that names the hosts."""

    desk: Simulator
    gpu: Simulator
    file: Path

    def build(self, timeouts: Timeouts, **settings: Any) -> OllamaServer:
        """Build a server of the three hosts; `desk` is their registry, too."""
        chosen = OllamaSettings.load(hosts_file=self.file, **settings)
        registry = Registry((), dict.fromkeys(REGISTRIES, self.addresses()["desk"]))
        return build_server(chosen, registry=registry, timeouts=timeouts)

    def addresses(self) -> dict[str, str]:
        """Return the address of each host."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        urls = [json.loads(line.partition(" = ")[2]) for line in lines if line.startswith("url")]
        return dict(zip(TABLES, urls, strict=True))

    @asynccontextmanager
    async def connect(self, era: Era, timeouts: Timeouts, **settings: Any) -> AsyncGenerator[Host]:
        """Open a conversation with a new server."""
        async with host(self.build(timeouts, **settings), era) as client:
            yield client

    def changes(self, host: str) -> list[str]:
        """Return the paths of the requests that change something on a host."""
        simulator: Simulator = getattr(self, host)
        reading = {"/api/tags", "/api/ps", "/api/show", "/api/version", "/api/status", "/v1/models", "/"}
        return [one.path for one in simulator.requests if one.path not in reading and "/v2/" not in one.path]


@contextmanager
def serve_fleet(folder: Path, nowhere: str, extra: Mapping[str, str] | None = None) -> Generator[Fleet]:
    """Serve the hosts.

    Args:
        folder: Where the file of hosts goes.
        nowhere: An address where nothing listens.
        extra: Further lines of a host's table.
    """
    desk, gpu = Simulator(tick=0.002), Simulator(tick=0.002)
    with ExitStack() as stack:
        urls = [stack.enter_context(serve(one)).base_url for one in (desk, gpu)]
        tables = [
            f"[hosts.{name}]\nurl = {json.dumps(url)}\n{lines}\n{(extra or {}).get(name, '')}\n"
            for (name, lines), url in zip(TABLES.items(), [*urls, nowhere], strict=True)
        ]
        (folder / "hosts.toml").write_text("".join(tables), encoding="utf-8")
        yield Fleet(desk, gpu, folder / "hosts.toml")
