"""Every fault does what it says, where it says, as often as it says."""

from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mcp_ollama.simulator import (
    Drop,
    Fail,
    FakeSuccess,
    Fault,
    HeadWindow,
    Rewind,
    RunningSimulator,
    Send,
    Silence,
    Simulator,
    Stall,
    digest_mismatch,
    no_space,
    registry_error,
)
from mcp_ollama.simulator.faults import Operation
from tests.simulator.conftest import Client, drain

SIZE = 6_000_000


@pytest.fixture(autouse=True)
def published(simulator: Simulator) -> None:
    simulator.registry.publish("small", size_bytes=SIZE)


def _errors(lines: list[Any]) -> list[str]:
    return [line["error"] for line in lines if "error" in line]


@pytest.mark.parametrize("status", [401, 403, 412, 429, 500])
def test_refusing_registry_is_an_error_line_in_the_stream(simulator: Simulator, client: Client, status: int) -> None:
    simulator.faults.add("small", registry_error(status, "no"))
    assert client.pull("small") == [
        {"status": "pulling manifest"},
        {"error": f"pull model manifest: {status}: no"},
    ]
    answer = client.ask("/api/pull", model="small", stream=False)
    assert (answer.status_code, answer.json()) == (500, {"error": f"pull model manifest: {status}: no"})


def test_fault_happens_the_number_of_times_it_was_set(simulator: Simulator, client: Client) -> None:
    armed = simulator.faults.add("*", registry_error(429), times=2)
    ends = [client.pull("small")[-1] for _ in range(3)]
    assert [list(end) for end in ends] == [["error"], ["error"], ["status"]]
    assert armed.struck == 2


def test_a_full_disk_keeps_the_partial_file(simulator: Simulator, client: Client) -> None:
    manifest = simulator.registry.publish("small", size_bytes=SIZE)
    simulator.faults.add("small", no_space(at=0.25))
    (error,) = _errors(client.pull("small"))
    file = manifest.layers[0].digest.replace(":", "-")
    assert error == f"write /models/blobs/{file}-partial: no space left on device"
    assert list(simulator.library.partials.values()) == [manifest.size // 4]


def test_a_digest_mismatch_throws_the_blob_away(simulator: Simulator, client: Client) -> None:
    digest = simulator.registry.manifests["library", "small", "latest"].layers[0].digest
    simulator.faults.add("small", digest_mismatch(), times=1)
    lines = client.pull("small")
    assert lines[-2] == {"status": "verifying sha256 digest"}
    assert _errors(lines)[0].startswith(f"digest mismatch, file must be downloaded again: want {digest}, got")
    assert digest not in simulator.library.blobs
    assert client.pull("small")[-1] == {"status": "success"}
    assert simulator.registry.bytes_served[digest] == 2 * SIZE


@pytest.mark.parametrize("at", ["manifest", 0.0, 0.5, 1.0, "verifying", "writing"])
def test_a_connection_can_be_cut_anywhere(simulator: Simulator, client: Client, at: Any) -> None:
    simulator.faults.add("small", Drop(at=at), times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.pull("small")
    assert not simulator.is_installed("small")
    assert client.pull("small")[-1] == {"status": "success"}
    assert simulator.is_installed("small")


def test_in_a_stall_lines_go_on_unchanged(simulator: Simulator, client: Client) -> None:
    stall = simulator.faults.add("small", Stall(at=0.5))
    with client.begin("small") as read:
        stall.wait()
        lines = [read() for _ in range(20)]
        stall.release()
        while line := read():
            lines.append(line)
    counts = [line.get("completed") for line in lines]
    assert counts.count((SIZE + 151) // 2) > 10
    assert lines[-1] == {"status": "success"}


def test_a_stall_before_the_first_byte_leaves_completed_out(simulator: Simulator, client: Client) -> None:
    simulator.faults.add("small", Stall(at=0.0, ticks=5))
    lines = [line for line in client.pull("small") if "digest" in line]
    assert ["completed" in line for line in lines[:7]] == [False] * 6 + [True]


def test_in_a_silence_nothing_comes(simulator: Simulator, client: Client) -> None:
    silence = simulator.faults.add("small", Silence())
    with client.begin("small") as read:
        assert read() == {"status": "pulling manifest"}
        silence.wait()
        assert simulator.in_flight["/api/pull"] == 1
        simulator.faults.clear()
        assert read()["digest"]
    assert not simulator.faults.ahead(simulator.install("small").name, "pull")


@pytest.mark.parametrize("data", [b"<html>\n", b'{"status":"\xff"}\n', b"x" * 20_000_000 + b"\n"])
def test_any_bytes_can_be_sent(simulator: Simulator, client: Client, data: bytes) -> None:
    simulator.faults.add("small", Send(data=data, at=0.5))
    answer = client.ask("/api/pull", model="small").content
    assert data in answer
    assert answer.endswith(b'\n{"status":"success"}\n')


def test_raw_bytes_are_not_seen_by_a_client_that_does_not_stream(simulator: Simulator, client: Client) -> None:
    simulator.faults.add("small", Send(data=b"junk", at=0.5))
    assert client.ask("/api/pull", model="small", stream=False).json() == {"status": "success"}


def test_completed_can_go_back(simulator: Simulator, client: Client) -> None:
    simulator.faults.add("small", Rewind(at=0.5, keep=0.1))
    counts = [line.get("completed", 0) for line in client.pull("small") if "digest" in line]
    assert counts != sorted(counts)
    assert simulator.is_installed("small")


def test_a_fake_success_installs_nothing_or_an_empty_model(simulator: Simulator, client: Client) -> None:
    fake = simulator.faults.add("small", FakeSuccess(), times=1)
    simulator.faults.add("other", FakeSuccess(empty=True))
    assert [client.pull(name)[-1] for name in ("small", "other")] == [{"status": "success"}] * 2
    (listed,) = client.get("/api/tags").json()["models"]
    assert (listed["name"], listed["size"]) == ("other:latest", 0)
    assert client.ask("/api/show", model="other").status_code == 200
    assert fake.struck == 1


def test_a_second_waiter_gets_lines_without_a_total_until_released(simulator: Simulator, client: Client) -> None:
    window = simulator.faults.add("small", HeadWindow())
    with client.begin("small") as first:
        window.wait()
        with client.begin("small") as second:
            assert second() == {"status": "pulling manifest"}
            assert set(second()) == {"status", "digest"}
            window.release()
            assert [drain(read) for read in (first, second)] == [{"status": "success"}] * 2
    assert simulator.crashed == ""


def test_a_second_waiter_that_leaves_too_early_kills_the_server(
    simulator: Simulator, running: RunningSimulator, client: Client
) -> None:
    window = simulator.faults.add("small", HeadWindow(), times=1)
    with client.begin("small") as first:
        window.wait()
        with client.begin("small") as second:
            assert [set(second()) for _ in range(2)] == [{"status"}, {"status", "digest"}]
        simulator.wait_until(lambda: simulator.crashed != "")
        with pytest.raises(httpx.RemoteProtocolError):
            drain(first)
    with pytest.raises(httpx.ConnectError):
        client.get("/")
    running.start()
    assert client.pull("small")[-1] == {"status": "success"}


def test_second_waiter_waits_forever_when_the_first_leaves(simulator: Simulator, client: Client) -> None:
    window = simulator.faults.add("small", HeadWindow(), times=1)
    with ExitStack() as stack:
        stack.enter_context(client.begin("small"))
        window.wait()
        with client.begin("small") as second:
            assert second() == {"status": "pulling manifest"}
            stack.close()
            simulator.wait_until(lambda: simulator.in_flight["/api/pull"] == 1)
            window.release()
            assert all(set(second()) == {"status", "digest"} for _ in range(10))
        simulator.wait_until(lambda: simulator.crashed != "")


def test_single_pull_that_leaves_in_that_time_crashes_nothing(simulator: Simulator, client: Client) -> None:
    window = simulator.faults.add("small", HeadWindow(), times=1)
    with client.begin("small"):
        window.wait()
    simulator.wait_until(lambda: not simulator.in_flight["/api/pull"])
    assert client.pull("small")[-1] == {"status": "success"}
    assert simulator.crashed == ""


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        ("load", "/api/generate", {"model": "ready"}),
        ("load", "/api/embed", {"model": "ready"}),
        ("show", "/api/show", {"model": "ready"}),
        ("create", "/api/create", {"model": "new", "from": "ready"}),
        ("copy", "/api/copy", {"source": "ready", "destination": "new"}),
        ("delete", "/api/delete", {"model": "ready"}),
    ],
)
def test_other_operations_fail_with_a_status(
    simulator: Simulator, client: Client, operation: Operation, path: str, body: dict[str, str]
) -> None:
    simulator.install("ready")
    simulator.faults.add("*", Fail(text="llama-server is gone", status=503), operation=operation)
    answer = client.request("DELETE" if operation == "delete" else "POST", path, json=body)
    assert (answer.status_code, answer.json()) == (503, {"error": "llama-server is gone"})


@pytest.mark.parametrize("fault", [Silence(ticks=3), Stall(ticks=3)])
def test_other_operations_can_take_long(simulator: Simulator, client: Client, fault: Fault) -> None:
    simulator.install("ready")
    simulator.faults.add("ready", fault, operation="load")
    assert client.ask("/api/generate", model="ready").json()["done_reason"] == "load"


def test_a_push_meets_its_faults(simulator: Simulator, client: Client) -> None:
    simulator.install("ready", size_bytes=SIZE)
    simulator.registry.blobs.clear()
    simulator.faults.add("ready", Fail(text="403: denied", at=0.5), operation="push", times=1)
    lines = client.lines("/api/push", model="ready")
    assert lines[-1] == {"error": "403: denied"}
    assert lines[-2]["completed"] == (SIZE + 151) // 2
    assert client.lines("/api/push", model="ready")[-1] == {"status": "success"}


def test_waiting_for_a_fault_ends_in_time(simulator: Simulator) -> None:
    with pytest.raises(TimeoutError):
        simulator.faults.add("small", Drop()).wait(timeout=0)
