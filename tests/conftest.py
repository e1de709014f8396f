"""Fixtures of all tests: an empty environment, and a server over a simulated Ollama."""

import gc
import json
import os
import socket
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import certifi
import hypothesis
import pytest
from jsonschema import Draft202012Validator

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import RunningSimulator, Simulator, serve
from mcp_ollama.tools.spec import ToolSpec
from tests.support.client import Era, Host, built, host, own_port

# A busy machine draws slowly; how long one example may take says nothing there.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

QUICK = Timeouts(progress_interval=0.01, progress_keepalive=0.05, retry=0.002, untouched_outage=0.05, outage_poll=0.02)


class Connect(Protocol):
    """Opens a conversation with a new server; keywords are settings."""

    def __call__(
        self, *tools: ToolSpec, timeouts: Timeouts = QUICK, **settings: Any
    ) -> AbstractAsyncContextManager[Host]: ...


# What is imported for the tests stays: the garbage collector need not go through it, then or again and again.
# With its usual threshold it takes a twentieth of the time of most tests.
gc.disable()
gc.set_threshold(10_000)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start one worker more than there are processors: two fifths of the tests' time is spent waiting."""
    return (yield) + 1


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def schemas_checked_once() -> Generator[None]:
    """Remember which schemas are sound: the SDK's client checks those of all tools again in each session."""
    check, sound = Draft202012Validator.check_schema, set[str]()

    def check_once(schema: Any) -> None:
        text = json.dumps(schema)
        if text not in sound:
            check(schema)
            sound.add(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Draft202012Validator, "check_schema", check_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_journal() -> Generator[None]:
    """Keep processes that fixtures of modules start from writing into the home; those of tests have an empty home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCP_OLLAMA_STATE_DIR", "off")
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with nothing in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def one_certificate(home: Path) -> Path:
    """One authority of the many: to read them all takes longer than most tests, and no test meets one."""
    end = "-----END CERTIFICATE-----\n"
    one = home.with_name("authorities.pem")
    one.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    return one


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, home: Path, one_certificate: Path) -> None:
    """Hide the machine: its settings, proxies, home and certificates."""
    for variable in list(os.environ):
        if variable.startswith(("MCP_OLLAMA_", "OLLAMA_")) or variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Era:
    """Each protocol era in turn."""
    return request.param


@pytest.fixture
def simulator() -> Simulator:
    """An Ollama without models."""
    return Simulator(tick=0.002)


@pytest.fixture
def running(simulator: Simulator) -> Generator[RunningSimulator]:
    """The simulator on a socket."""
    with serve(simulator, port=own_port()) as running:
        yield running


@pytest.fixture(scope="session")
def nowhere() -> Generator[str]:
    """An address where nothing listens, and no other process can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def connect(running: RunningSimulator, era: Era) -> Connect:
    """Opens conversations with servers over the simulator, which is their registry, too."""

    def connect(*tools: ToolSpec, timeouts: Timeouts = QUICK, **settings: Any) -> AbstractAsyncContextManager[Host]:
        return host(built(timeouts, *tools, **settings), era)

    return connect
