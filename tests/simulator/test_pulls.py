"""Pulls: exact bytes, shared downloads, resuming, safetensors."""

from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mcp_ollama.simulator import Drop, Manifest, RunningSimulator, Simulator, Stall
from tests.simulator.conftest import Client, drain

STEP = 1_200_000
"""Bytes per tick of the fixture."""


def _counts(lines: list[Any]) -> list[int]:
    return [line.get("completed", 0) for line in lines if "digest" in line]


def _statuses(lines: list[Any]) -> list[str]:
    return [line["status"] for line in lines if "digest" not in line]


def _served(simulator: Simulator) -> dict[str, int]:
    return dict(simulator.registry.bytes_served)


def _sizes(manifest: Manifest) -> dict[str, int]:
    return {blob.digest: blob.size for blob in manifest.blobs}


def test_a_layer_has_a_line_per_tick_and_ends_below_its_total(simulator: Simulator, client: Client) -> None:
    simulator.registry.publish("small", size_bytes=5_000_000, template="{{ .Prompt }}")
    lines = client.pull("small")
    assert _counts(lines) == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert _statuses(lines) == [
        *("pulling manifest", "verifying sha256 digest", "writing manifest", "success"),
    ]


def test_lines_do_not_depend_on_the_clock(simulator: Simulator, client: Client) -> None:
    simulator.registry.publish("small", size_bytes=5_000_000)
    slow = client.pull("small")
    simulator.library.remove(simulator.model("small"))
    simulator.pace.tick = 0.0
    assert client.pull("small") == slow


def test_a_dropped_pull_resumes_at_the_exact_byte(simulator: Simulator, client: Client) -> None:
    manifest = simulator.registry.publish("small", size_bytes=5_000_000, license="MIT")
    armed = simulator.faults.add("small", Drop(at=0.5), times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.pull("small")
    kept = manifest.size // 2
    assert simulator.library.partials == {manifest.layers[0].digest: kept}
    assert _counts(client.pull("small"))[0] == kept + STEP
    assert _served(simulator) == _sizes(manifest)
    assert armed.struck == 1


def test_a_client_that_leaves_stops_the_download_and_keeps_the_bytes(simulator: Simulator, client: Client) -> None:
    manifest = simulator.registry.publish("small", size_bytes=50_000_000)
    with client.begin("small") as read:
        assert read() == {"status": "pulling manifest"}
        assert read()["completed"] == STEP
    simulator.wait_until(lambda: not simulator.in_flight["/api/pull"])
    assert _served(simulator) == simulator.library.partials
    client.pull("small")
    assert _served(simulator) == _sizes(manifest)


def test_two_pulls_share_one_download(simulator: Simulator, client: Client) -> None:
    manifest = simulator.registry.publish("small", size_bytes=20_000_000)
    with client.begin("small") as first, client.begin("small") as second:
        assert [drain(read) for read in (first, second)] == [{"status": "success"}] * 2
    assert _served(simulator) == _sizes(manifest)


def test_a_shared_download_goes_on_when_one_of_two_leaves(simulator: Simulator, client: Client) -> None:
    simulator.registry.publish("small", size_bytes=20_000_000)
    stall = simulator.faults.add("small", Stall(at=0.2))
    with ExitStack() as first, client.begin("small") as second:
        first.enter_context(client.begin("small"))
        stall.wait()
        first.close()
        simulator.wait_until(lambda: simulator.in_flight["/api/pull"] == 1)
        stall.release()
        assert drain(second) == {"status": "success"}
    assert not simulator.library.partials


def test_a_new_version_fetches_only_what_is_missing(simulator: Simulator, client: Client) -> None:
    old = simulator.install("small", size_bytes=5_000_000, system="old").manifest
    simulator.registry.publish("small", size_bytes=5_000_000, system="new")
    assert _statuses(client.pull("small"))[-2:] == ["removing unused layers", "success"]
    assert list(_served(simulator).values()) == [len("new")]
    assert old.layers[1].digest not in simulator.library.blobs


def test_a_differently_spelled_local_model_breaks_a_pull(simulator: Simulator, client: Client) -> None:
    simulator.registry.publish("tiny", size_bytes=10)
    simulator.install("Tiny:q", size_bytes=10)
    assert client.pull("tiny")[-1] == {"error": "pull model manifest: file does not exist"}


def test_safetensors_have_a_line_per_read_and_no_verification(simulator: Simulator, client: Client) -> None:
    simulator.pace.rate = None
    size = 1_000_000
    manifest = simulator.registry.publish("mlx", size_bytes=size, safetensors=True, tensor_count=3)
    lines = client.pull("mlx")
    assert _statuses(lines) == ["pulling manifest", "writing manifest", "success"]
    assert {(line["status"], line["digest"], line["total"]) for line in lines if "digest" in line} == {
        ("pulling model", "sha256:model", manifest.size)
    }
    counts = _counts(lines)
    assert counts == sorted(counts)
    assert counts[-1] == manifest.size
    assert len(counts) == 3 * 11 + 1
    assert _statuses(client.pull("mlx")) == _statuses(lines)
    assert _served(simulator) == _sizes(manifest)


def test_large_tensors_are_resumed_and_small_ones_restarted(simulator: Simulator, client: Client) -> None:
    simulator.pace.rate = 2_000_000_000
    large = simulator.registry.publish("large", size_bytes=160_000_000, safetensors=True, tensor_count=1)
    simulator.registry.publish("small", size_bytes=40_000_000, safetensors=True, tensor_count=1)
    for name in ("large", "small"):
        simulator.faults.add(name, Drop(at=0.9), times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            client.pull(name)
    assert list(simulator.library.partials.values()) == [int(large.size * 0.9)]
    for name in ("large", "small"):
        assert client.pull(name)[-1] == {"status": "success"}


def test_a_stop_of_the_server_breaks_the_stream_off_and_a_start_resumes(
    simulator: Simulator, running: RunningSimulator, client: Client
) -> None:
    manifest = simulator.registry.publish("small", size_bytes=20_000_000)
    stall = simulator.faults.add("small", Stall(at=0.5))
    with client.begin("small") as read:
        while read()["status"] == "pulling manifest":
            stall.wait()
        running.stop(keep=0.6)
        with pytest.raises(httpx.RemoteProtocolError):
            drain(read)
    with pytest.raises(httpx.ConnectError):
        client.get("/api/version")
    kept = int(manifest.size // 2 * 0.6)
    assert simulator.library.partials == {manifest.layers[0].digest: kept}
    running.start()
    stall.release()
    assert _counts(client.pull("small"))[0] == kept + STEP
    assert simulator.crashed == ""


def test_models_with_equal_weights_share_the_blob(simulator: Simulator, client: Client) -> None:
    one = simulator.registry.publish("one", size_bytes=3_000_000, weights="shared")
    two = simulator.registry.publish("two", size_bytes=3_000_000, weights="shared", system="another")
    client.pull("one")
    lines = client.pull("two")
    assert _counts(lines) == [3_000_000, one.config.size]
    assert one.layers == two.layers[:1]
