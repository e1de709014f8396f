"""Knowing before doing: bytes are exact, and what is unknown is said."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_ollama.models.app import Timeouts
from mcp_ollama.models.formatting import format_bytes
from mcp_ollama.simulator import HubRepository, Simulator, digest_mismatch, no_space
from tests.conftest import Connect

MB = 1_000_000


def pulled(simulator: Simulator) -> set[str]:
    return {request.path for request in simulator.requests if request.path == "/api/pull"}


async def test_plan_of_a_new_model_counts_every_byte(simulator: Simulator, connect: Connect):
    manifest = simulator.registry.publish("llama3.2:1b", size_bytes=50 * MB, license="MIT")
    async with connect() as call:
        plan = await call("plan_pull", model="llama3.2:1b")
    assert (plan["exists"], plan["installed"]) == (True, False)
    assert plan["total_bytes"] == plan["download_bytes"] == manifest.size
    assert plan["present_bytes"] == 0
    assert plan["layers"][0] == {
        "digest": manifest.layers[0].digest[7:19],
        "kind": "model",
        "size_bytes": 50 * MB,
        "present": False,
    }
    assert sum(layer["size_bytes"] for layer in plan["layers"]) == manifest.size
    # The config is not looked up while a layer is missing.
    assert [layer["kind"] for layer in plan["layers"] if "present" not in layer] == ["config"]
    assert len([one for one in simulator.requests if "/api/blobs/" in one.path]) == len(manifest.layers)
    assert "fits_on_disk" not in plan
    assert "is unknown" in plan["warnings"][0]
    assert not pulled(simulator)


async def test_plan_of_a_pasted_file_is_for_that_file(simulator: Simulator, connect: Connect):
    simulator.registry.publish_repository(
        HubRepository(id="u/R-GGUF", quantizations={"Q4_K_M": 5 * MB, "Q8_0": 9 * MB})
    )
    async with connect() as call:
        plan = await call("plan_pull", model="https://huggingface.co/u/R-GGUF/blob/main/R-Q8_0.gguf")
    assert plan["layers"][0]["size_bytes"] == 9 * MB


async def test_a_plan_leaves_out_what_the_server_has_already(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:1b", size_bytes=50 * MB, license="MIT")
    async with connect() as call:
        assert (await call("plan_pull", model="llama3.2:1b"))["up_to_date"]
        newer = simulator.registry.publish("llama3.2:1b", size_bytes=50 * MB, license="Apache")
        plan = await call("plan_pull", model="llama3.2:1b")
    assert (plan["installed"], plan["up_to_date"]) == (True, False)
    assert 0 < plan["download_bytes"] < 10_000
    assert plan["present_bytes"] == newer.size - plan["download_bytes"]


async def test_plan_of_unknown_and_of_cloud_model_states_it(simulator: Simulator, connect: Connect):
    simulator.registry.publish("gpt-oss:120b-cloud", remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
    async with connect() as call:
        absent = await call("plan_pull", model="nope:1")
        cloud = await call("plan_pull", model="gpt-oss:120b-cloud")
        assert "allowed" in await call.refusal("plan_pull", model="evil.example/x/y")
    assert absent == {
        "model": "nope:1",
        "exists": False,
        "installed": False,
        "layers": [],
        "warnings": absent["warnings"],
    }
    assert "has no nope:1" in absent["warnings"][0]
    assert "runs on ollama.com" in cloud["warnings"][0]


async def test_of_a_model_in_a_thousand_parts_the_server_is_not_asked_for_each(simulator: Simulator, connect: Connect):
    simulator.registry.publish("mlx:1", safetensors=True, tensor_count=100, size_bytes=100 * MB)
    async with connect() as call:
        plan = await call("plan_pull", model="mlx:1")
    assert plan["total_bytes"] > 0
    assert "download_bytes" not in plan
    assert "too many" in plan["warnings"][0]
    assert len(plan["layers"]) == 64
    assert not [request for request in simulator.requests if "/blobs/" in request.path]


def stored(simulator: Simulator, blob: Path) -> None:
    simulator.install("here:1", size_bytes=MB)
    simulator.respond("/api/show", body=json.dumps({"modelfile": f"# made up\nFROM {blob}\nTEMPLATE x"}))


async def test_free_disk_is_reported_where_the_servers_blobs_can_be_seen(
    simulator: Simulator, connect: Connect, tmp_path: Path
):
    blob = tmp_path / "blobs" / f"sha256-{'a' * 64}"
    simulator.registry.publish("small:1", size_bytes=MB)
    simulator.registry.publish("vast:1", size_bytes=2 * 10**14)
    stored(simulator, blob)
    async with connect() as call:
        assert "disk_free_bytes" not in await call("plan_pull", model="small:1")
        blob.parent.mkdir()
        blob.write_bytes(b"GGUF")
        small, vast = await call("plan_pull", model="small:1"), await call("plan_pull", model="vast:1")
        assert abs(small["disk_free_bytes"] - shutil.disk_usage(tmp_path).free) < 1000 * MB
        assert small["fits_on_disk"]
        assert small["warnings"] == []
        assert not vast["fits_on_disk"]
        assert "The disk lacks" in vast["warnings"][0]
        simulator.registry.publish("mlx:1", safetensors=True, tensor_count=100)
        assert "fits_on_disk" not in await call("plan_pull", model="mlx:1")


async def test_plan_counts_what_an_unfinished_pull_has(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blob = tmp_path / "blobs" / f"sha256-{'a' * 64}"
    blob.parent.mkdir()
    blob.write_bytes(b"GGUF")
    stored(simulator, blob)
    total = simulator.registry.publish("llama3.2:1b", size_bytes=10 * MB).size
    free = [6 * MB]

    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=free[0])

    monkeypatch.setattr(shutil, "disk_usage", usage)
    simulator.faults.add("llama3.2:1b", no_space(0.5), times=1)
    simulator.pause = 0.1  # Time to read the manifest for the size of the whole.
    async with connect() as call:
        before = await call("plan_pull", model="llama3.2:1b")
        await call.refusal("pull_model", model="llama3.2:1b")
        (failed,) = (await call("list_pulls"))["transfers"]
        after = await call("plan_pull", model="llama3.2:1b")
        free[0] = MB
        too_full = await call("plan_pull", model="llama3.2:1b")
        await call("pull_model", model="llama3.2:1b")
        done = await call("plan_pull", model="llama3.2:1b")
    left = total - failed["completed_bytes"]
    assert (before["fits_on_disk"], after["fits_on_disk"], too_full["fits_on_disk"]) == (False, True, False)
    assert before["warnings"][-1].startswith("The disk lacks 4.0 MB: plan_cleanup")
    assert after["warnings"] == ["Of download_bytes a pull has 5.0 MB already (failed): pull_model continues it."]
    assert f"The disk lacks {format_bytes(left - MB)}: plan_cleanup" in too_full["warnings"][-1]
    assert (done["up_to_date"], done["warnings"]) == (True, [])


async def test_plan_counts_no_bytes_that_are_discarded_or_outdated(simulator: Simulator, connect: Connect):
    simulator.registry.publish("bad:1", size_bytes=MB)
    simulator.registry.publish("moved:1", size_bytes=MB)
    simulator.faults.add("bad:1", digest_mismatch())
    simulator.faults.add("moved:1", no_space(0.5))
    simulator.pause = 0.1  # Time to read the manifest for the size of the whole.
    async with connect() as call:
        for name in ("bad:1", "moved:1"):
            await call.refusal("pull_model", model=name)
        simulator.registry.publish("moved:1", size_bytes=2 * MB, weights="newer")
        plans = [await call("plan_pull", model=name) for name in ("bad:1", "moved:1")]
    assert not any("a pull has" in warning for plan in plans for warning in plan["warnings"])


@pytest.mark.parametrize(
    "body", ['{"error":"no"}', '{"modelfile":"FROM llama3.2"}', '{"modelfile":"FROM /%s/blobs/sha256-%s"}']
)
async def test_free_disk_is_never_guessed(body: str, simulator: Simulator, connect: Connect):
    if "%s" in body:
        body %= ("x" * 300, "a" * 64)
    simulator.install("here:1", size_bytes=MB)
    simulator.respond("/api/show", body=body, status=404 if "error" in body else 200)
    async with connect() as call:
        assert "disk_free_bytes" not in await call("plan_pull", model="here:1")


async def test_every_state_of_an_installed_model_is_found_without_download(simulator: Simulator, connect: Connect):
    simulator.install("current:1", size_bytes=MB)
    simulator.install("old:1", size_bytes=MB)
    newer = simulator.registry.publish("old:1", size_bytes=2 * MB, weights="newer")
    simulator.install("mine:1", size_bytes=MB)
    simulator.registry.withdraw("mine:1")
    simulator.install("cloudy:120b-cloud", remote_host="https://ollama.com:443", remote_model="cloudy:120b")
    simulator.install("evil.example/x/y:1", size_bytes=MB)
    async with connect() as call:
        await call("create_model", model="variant:1", from_model="current:1", parameters={"num_ctx": 8192})
        answer = await call("check_updates")
        rows = {row["model"]: row for row in answer["models"]}
        one = await call("check_updates", models=["old:1", "OLD:1"])
        assert "is not installed" in await call.refusal("check_updates", models=["nope"])
    assert {name: row["state"] for name, row in rows.items()} == {
        "current:1": "current",
        "old:1": "outdated",
        "mine:1": "local_only",
        "variant:1": "local_only",
        "cloudy:120b-cloud": "remote",
        "evil.example/x/y:1": "unknown",
    }
    assert rows["variant:1"]["reason"] == "Made here from current:1."
    assert rows["old:1"]["download_bytes"] == 2 * MB + newer.config.size
    assert not answer["complete"]
    assert one == {"models": [rows["old:1"]], "complete": True}
    assert not pulled(simulator)


async def test_variant_has_updates_where_its_registry_has_it(simulator: Simulator, connect: Connect):
    simulator.install("base:1", size_bytes=MB)
    async with connect() as call:
        await call("create_model", model="derived:1", from_model="base:1", system="x")
        newer = simulator.registry.publish("derived:1", size_bytes=2 * MB, weights="newer")
        (row,) = (await call("check_updates", models=["derived:1"]))["models"]
    assert (row["state"], row["download_bytes"]) == ("outdated", 2 * MB + newer.config.size)
    assert row["reason"] == "It was made from base:1: if here, a pull would replace it."


async def test_variant_that_was_pushed_as_it_is_has_no_update(simulator: Simulator, connect: Connect):
    simulator.install("base:1", size_bytes=MB)
    async with connect(allow_push=True) as call:
        await call("create_model", model="me/derived:1", from_model="base:1", system="x")
        await call("push_model", model="me/derived:1")
        (row,) = (await call("check_updates", models=["me/derived:1"]))["models"]
        plan = await call("plan_pull", model="me/derived:1")
    assert row == {"model": "me/derived:1", "state": "current"}
    assert plan["up_to_date"]
    assert not any("made from" in warning for warning in plan["warnings"])


async def test_plan_of_a_model_that_is_only_here_names_show_model(simulator: Simulator, connect: Connect):
    simulator.install("base:1", size_bytes=MB)
    async with connect() as call:
        await call("create_model", model="mine:1", from_model="base:1", system="x")
        plan = await call("plan_pull", model="mine:1")
    assert (plan["exists"], plan["installed"]) == (False, True)
    (warning,) = plan["warnings"]
    assert warning.endswith("has no mine:1. It is only here: see show_model, with include memory for what it takes.")


async def test_variant_under_the_name_of_its_model_is_not_to_be_replaced(simulator: Simulator, connect: Connect):
    simulator.install("base:1", size_bytes=MB)
    async with connect(confirm_delete=False) as call:
        await call("create_model", model="base:1", from_model="base:1", parameters={"num_ctx": 8192}, overwrite=True)
        (row,) = (await call("check_updates"))["models"]
        plan = await call("plan_pull", model="base:1")
    assert row == {"model": "base:1", "state": "local_only", "reason": "Made here from base:1, whose name it took."}
    assert plan["warnings"][0] == "The installed one was made from base:1: if here, a pull would replace it."


async def test_file_that_a_model_was_made_from_is_not_shown(simulator: Simulator, connect: Connect):
    parent = f"/Users/me/.ollama/models/blobs/sha256-{'ab' * 32}"
    model = {"name": "packed:1", "digest": "ab" * 32, "size": MB, "details": {"parent_model": parent}}
    simulator.respond("/api/tags", body=json.dumps({"models": [model]}))
    async with connect() as call:
        (unknown,) = (await call("check_updates"))["models"]
        simulator.registry.publish("packed:1", size_bytes=2 * MB)
        (known,) = (await call("check_updates"))["models"]
    assert unknown == {"model": "packed:1", "state": "local_only", "reason": "The registry has no such model."}
    assert known == {"model": "packed:1", "state": "outdated", "download_bytes": known["download_bytes"]}


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_plan_that_cannot_be_made_says_what_else_can_be_done(
    status: int, simulator: Simulator, connect: Connect
):
    simulator.respond("/v2/library/llama3.2/manifests/1b", status=status)
    async with connect() as call:
        text = await call.refusal("plan_pull", model="llama3.2:1b")
    assert f"answered {status} for llama3.2:1b." in text
    assert ("try pull_model" if status == 401 else "Call again") in text


async def test_all_models_are_listed_once_however_many_are_named(simulator: Simulator, connect: Connect):
    names = [f"m{number}:1" for number in range(5)]
    for number, name in enumerate(names):
        simulator.install(name, size_bytes=MB + number)
    async with connect() as call:
        assert len((await call("check_updates", models=names))["models"]) == 5
    assert len(simulator.asked("/api/tags")) == 1


async def test_rows_beyond_one_answer_are_counted(simulator: Simulator, connect: Connect):
    rows = [{"name": f"m{number}:cloud", "remote_host": "https://ollama.com"} for number in range(203)]
    simulator.respond("/api/tags", body=json.dumps({"models": rows}))
    async with connect() as call:
        answer = await call("check_updates")
    assert (len(answer["models"]), answer["complete"]) == (200, False)
    assert answer["next_step"] == (
        "3 older ones were not looked up: call again with models, from list_models with offset=200."
    )


async def test_a_plan_asks_in_the_spelling_of_what_is_installed(simulator: Simulator, connect: Connect):
    simulator.install("llama3.2:1b", size_bytes=MB)
    async with connect() as call:
        plan = await call("plan_pull", model="LLAMA3.2:1B")
    assert (plan["model"], plan["exists"], plan["up_to_date"]) == ("llama3.2:1b", True, True)


async def test_plan_is_made_without_the_partial_files_of_the_server(simulator: Simulator, connect: Connect):
    manifest = simulator.registry.publish("llama3.2:1b", size_bytes=MB)
    simulator.respond(f"/api/blobs/{manifest.blobs[0].digest}", status=500)
    async with connect() as call:
        plan = await call("plan_pull", model="llama3.2:1b")
    assert plan["total_bytes"] == manifest.size
    assert "download_bytes" not in plan
    assert "the server does not report which of them it has already" in plan["warnings"][0]


async def test_updates_that_take_too_long_are_reported_as_unknown(simulator: Simulator, connect: Connect):
    simulator.install("slow:1", size_bytes=MB)
    simulator.install("cloudy:120b-cloud", remote_host="https://ollama.com:443", remote_model="cloudy:120b")
    simulator.delay("/v2/library/slow/manifests/1", 5)
    async with connect(timeouts=Timeouts(updates=0.3)) as call:
        answer = await call("check_updates")
    states = {row["model"]: row["state"] for row in answer["models"]}
    assert states == {"slow:1": "unknown", "cloudy:120b-cloud": "remote"}
    assert not answer["complete"]
