"""Transfers of this process and those of others in one list: interrupted, resumed, cancelled, forgotten, in order."""

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mcp_ollama.models.persistence.journal import Journal, Snapshot
from mcp_ollama.models.persistence.turns import Turns
from mcp_ollama.models.transfer_state import Kind
from mcp_ollama.simulator import RunningSimulator, Simulator, Stall
from tests.conftest import Connect
from tests.models.persistence.test_journal import execute
from tests.models.persistence.test_journal_faults import DAMAGES
from tests.support.children import until
from tests.support.client import Host
from tests.support.downloads import BUSY, MODEL, SIZE

OWN = "me/mine:latest"


async def interrupt(
    folder: Path, base_url: str, model: str = MODEL, *, kind: Kind = "pull", insecure: bool = False
) -> None:
    """Leave a half-done transfer behind, as a process that ends does."""
    journal = Journal(folder)
    record = await journal.begin(kind, model, server=base_url, insecure=insecure)
    await journal.write(record, Snapshot("retrying", SIZE // 2, SIZE, "The connection broke."))
    await journal.close()


async def test_interrupted_pull_is_listed_with_its_next_step(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url)
    async with connect(state_dir=str(tmp_path)) as host:
        (listed,) = (await host("list_pulls"))["transfers"]
        overview = await host("open_dashboard")
    status = listed.pop("status")
    assert status.startswith("interrupted at 20")
    assert status.endswith(" UTC, when its process ended")
    assert listed == {
        "kind": "pull",
        "model": MODEL,
        "state": "interrupted",
        "completed_bytes": SIZE // 2,
        "total_bytes": SIZE,
        "percent": 50,
        "elapsed_seconds": 0,
        "attempts": 0,
        "error": "The connection broke.",
        "next_step": "Call pull_model with the same model to resume it; cancel_pull forgets it.",
    }
    assert [one["state"] for one in overview["transfers"]] == ["interrupted"]


async def test_pull_interrupted_by_a_clean_end_keeps_its_bytes(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    half = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect(state_dir=str(tmp_path), timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await simulator.until(lambda: half.struck == 1)
        (left,) = (await host("list_pulls"))["transfers"]
    async with connect(state_dir=str(tmp_path)) as host:
        (listed,) = (await host("list_pulls"))["transfers"]
    assert SIZE // 4 < left["completed_bytes"] <= listed["completed_bytes"]
    assert (listed["state"], listed["total_bytes"]) == ("interrupted", left["total_bytes"])


async def test_interrupted_pull_of_another_server_is_not_listed(connect: Connect, tmp_path: Path) -> None:
    await interrupt(tmp_path, "http://elsewhere:11434")
    async with connect(state_dir=str(tmp_path)) as host:
        assert (await host("list_pulls"))["transfers"] == []
        assert "No pull of llama3.2:1b" in await host.refusal("cancel_pull", model=MODEL)


async def test_cancel_forgets_an_interrupted_pull(running: RunningSimulator, connect: Connect, tmp_path: Path) -> None:
    await interrupt(tmp_path, running.base_url)
    async with connect(state_dir=str(tmp_path)) as host:
        cancelled = await host("cancel_pull", model=MODEL)
        assert (cancelled["state"], cancelled["status"]) == ("cancelled", "forgotten; Ollama keeps what it had saved")
        assert "next_step" not in cancelled
        assert (await host("list_pulls"))["transfers"] == []


async def test_cancel_without_a_name_takes_the_pull_in_progress_first(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    for name in ("first:latest", "second:latest"):
        await interrupt(tmp_path, running.base_url, name)
    async with connect(state_dir=str(tmp_path)) as host:
        assert await host.refusal("cancel_pull") == ("2 pulls are interrupted. Name one: first:latest, second:latest.")
        await host("pull_model", model=MODEL, wait_seconds=0)
        assert (await host("cancel_pull"))["model"] == MODEL
        await host("cancel_pull", model="first")
        assert (await host("cancel_pull"))["model"] == "second:latest"


async def test_interrupted_pull_on_read_only_journal_is_not_forgotten(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url)
    execute(tmp_path, "PRAGMA user_version = 99")
    async with connect(state_dir=str(tmp_path)) as host:
        assert await host.refusal("cancel_pull", model=MODEL) == (
            "The interrupted pull of llama3.2:1b cannot be forgotten. The journal of transfers cannot be used: a newer "
            "version of this server wrote it, so it is read but not written. Update this server."
        )


async def test_end_of_the_server_interrupts_and_a_cancel_does_not(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    held = simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    async with connect(state_dir=str(tmp_path), timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await host("pull_model", model="waiting", wait_seconds=0)
        await host("pull_model", model="unwanted", wait_seconds=0)
        await host("cancel_pull", model="unwanted")
        await simulator.until(lambda: held.struck == 1)
    async with connect(state_dir=str(tmp_path)) as host:
        listed = (await host("list_pulls"))["transfers"]
        assert {(one["model"], one["state"]) for one in listed} == {
            (MODEL, "interrupted"),
            ("waiting:latest", "interrupted"),
        }


async def test_failed_and_done_pulls_leave_no_record(simulator: Simulator, connect: Connect, tmp_path: Path) -> None:
    async with connect(state_dir=str(tmp_path)) as host:
        await host("pull_model", model=MODEL)
        assert "has no nosuch" in await host.refusal("pull_model", model="nosuch")
    async with connect(state_dir=str(tmp_path)) as host:
        assert (await host("list_pulls"))["transfers"] == []


# Resuming at the start


async def test_resume_starts_only_what_the_settings_still_allow(
    simulator: Simulator,
    running: RunningSimulator,
    connect: Connect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulator.install(OWN, size_bytes=SIZE, weights="own")
    await interrupt(tmp_path, running.base_url)
    await interrupt(tmp_path, running.base_url, "evil.example/a/b:latest")
    await interrupt(tmp_path, running.base_url, "localhost:5000/a/b:latest", insecure=True)
    await interrupt(tmp_path, running.base_url, OWN, kind="push")
    async with connect(state_dir=str(tmp_path), resume=True) as host:
        await host("pull_model", model=MODEL)
        listed = {one["model"]: one["state"] for one in (await host("list_pulls"))["transfers"]}
    assert listed == {
        MODEL: "done",
        "evil.example/a/b:latest": "interrupted",
        "localhost:5000/a/b:latest": "interrupted",
        OWN: "interrupted",
    }
    assert "The interrupted pull of evil.example/a/b:latest is not resumed: " in caplog.text
    assert not simulator.asked("/api/push")
    assert len(simulator.asked("/api/pull")) == 1


async def test_resume_starts_nothing_with_read_only_access(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url)
    async with connect(state_dir=str(tmp_path), resume=True, access="read-only") as host:
        assert [one["state"] for one in (await host("list_pulls"))["transfers"]] == ["interrupted"]
    assert not simulator.asked("/api/pull")


async def test_resumed_push_goes_on_where_pushes_are_allowed(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    simulator.install(OWN, size_bytes=SIZE, weights="own")
    await interrupt(tmp_path, running.base_url, OWN, kind="push")
    async with connect(state_dir=str(tmp_path), resume=True, allow_push=True) as host:
        assert (await host("push_model", model=OWN))["state"] == "done"
    assert len(simulator.asked("/api/push")) == 1


async def test_row_with_invalid_name_is_listed_and_not_resumed(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url, "///")
    async with connect(state_dir=str(tmp_path), resume=True) as host:
        assert [(one["model"], one["state"]) for one in (await host("list_pulls"))["transfers"]] == [
            ("///", "interrupted")
        ]


# Order


async def test_small_model_goes_first_without_a_lost_byte(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    simulator.registry.publish("small", size_bytes=1_000_000, weights="small")
    half = simulator.faults.add(MODEL, Stall(at=0.5), times=1)
    async with connect(state_dir=str(tmp_path), timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await simulator.until(lambda: half.struck == 1)
        await host("pull_model", model="small", wait_seconds=0)
        await host("cancel_pull", model=MODEL)
        await host("pull_model", model=MODEL, wait_seconds=0)
        assert (await host("pull_model", model="small"))["state"] == "done"
        assert (await host("pull_model", model=MODEL))["state"] == "done"
        described = {tool.name: tool.description or "" for tool in (await host.client.list_tools()).tools}
    blobs = {blob.digest: blob.size for name in (MODEL, "small") for blob in simulator.model(name).manifest.blobs}
    assert simulator.registry.bytes_served.total() == sum(blobs.values())
    assert "cancel_pull this one and pull it again." in " ".join(described["pull_model"].split())


# The journal itself


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_journal_holds_no_secret(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_ollama.models.persistence.journal.WRITE_SECONDS", 0.005)
    key, header = "sk-distinctive", "header-distinctive"
    simulator.respond("/api/pull", status=500, body=f'{{"error": "refused {key} {header}"}}')
    secrets = {"api_key": key, "headers": json.dumps({"X-Key": header})}
    async with connect(state_dir=str(tmp_path), timeouts=replace(BUSY, retry=600), **secrets) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await until(lambda: execute(tmp_path, "SELECT state FROM transfers") == [("retrying",)])
    (row,) = execute(tmp_path, "SELECT * FROM transfers")
    assert row[1:7] == ("pull", MODEL, running.base_url, None, 0, "retrying")
    written = b"".join(contents(tmp_path).values())
    assert b"refused" in written
    assert key.encode() not in written
    assert header.encode() not in written


# A journal that cannot be used


async def journal_check(host: Host) -> dict[str, Any]:
    return next(check for check in (await host("health"))["checks"] if check["name"] == "journal")


async def test_health_says_whether_transfers_are_written_down(connect: Connect, tmp_path: Path) -> None:
    async with connect(state_dir=str(tmp_path)) as host:
        check = await journal_check(host)
        assert (check["status"], check["detail"]) == ("ok", "Transfers are written down.")
    assert contents(tmp_path) == {}
    async with connect() as host:
        check = await journal_check(host)
        assert check["status"] == "ok"
        assert check["detail"].startswith("Transfers are not written down (MCP_OLLAMA_STATE_DIR=off)")


async def test_folder_without_locks_is_a_warning_of_health(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "turns").write_text("in the way")
    async with connect(state_dir=str(tmp_path)) as host:
        await host("pull_model", model=MODEL)
        check = await journal_check(host)
    assert check["status"] == "warn"
    assert check["detail"].startswith("Other processes cannot be waited for: ")
    assert check["fix"].startswith("Make the folder in MCP_OLLAMA_STATE_DIR writable")


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGES])
async def test_damaged_journal_fails_no_start_pull_or_list(
    simulator: Simulator,
    running: RunningSimulator,
    connect: Connect,
    tmp_path: Path,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await interrupt(tmp_path, running.base_url)
    damage(tmp_path)
    async with connect(state_dir=str(tmp_path), resume=True) as host:
        assert (await host("pull_model", model=MODEL))["state"] == "done"
        assert MODEL in [one["model"] for one in (await host("list_pulls"))["transfers"]]
        journal = await journal_check(host)
    assert journal["status"] == "warn"
    assert journal["detail"].startswith("The journal of transfers cannot be used: ")
    assert journal["fix"].endswith(".")
    assert str(tmp_path) not in str(journal)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("The journal of transfers cannot be used" in record.getMessage() for record in warnings)


# Cancelled before it began


def looked_at(folder: Path) -> int:
    """Return when the only waiting process last looked, in nanoseconds."""
    (ticket,) = folder.glob("turns/*/*.ticket")
    return ticket.stat().st_mtime_ns


async def test_pull_cancelled_while_another_process_has_the_turn_never_begins(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    simulator.registry.publish("small", size_bytes=1_000, weights="small")
    async with connect(state_dir=str(tmp_path)) as host:
        async with Turns(tmp_path).hold(running.base_url):
            waiting = await host("pull_model", model=MODEL, wait_seconds=1)
            assert (waiting["state"], waiting["status"]) == ("queued", "waiting for another process")
            assert (await host("cancel_pull", model=MODEL))["state"] == "cancelled"
            # One more look, with an empty queue: each look touches the ticket.
            looked = looked_at(tmp_path)
            await until(lambda: looked_at(tmp_path) > looked)
        # The turn comes to a queue that is empty by then, and is given back.
        await until(lambda: not list(tmp_path.glob("turns/*/*.ticket")))
        assert (await host("pull_model", model="small"))["state"] == "done"
    (asked,) = simulator.asked("/api/pull")
    assert "small" in str(asked.body)


async def test_pull_cancelled_while_it_is_written_down_never_begins(
    simulator: Simulator, running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url, "other:latest")
    async with connect(state_dir=str(tmp_path)) as host, anyio.create_task_group() as group:
        with closing(sqlite3.connect(tmp_path / "transfers.sqlite3", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            group.start_soon(partial(host, "pull_model", model=MODEL))
            with anyio.fail_after(2):
                while (await host("list_pulls"))["transfers"][0]["model"] != MODEL:
                    await anyio.lowlevel.checkpoint()
            assert (await host("cancel_pull", model=MODEL))["state"] == "cancelled"
            database.execute("ROLLBACK")
    assert not simulator.asked("/api/pull")


async def test_interrupted_pull_that_cannot_be_forgotten_says_why(
    running: RunningSimulator, connect: Connect, tmp_path: Path
) -> None:
    await interrupt(tmp_path, running.base_url)
    async with connect(state_dir=str(tmp_path)) as host:
        with closing(sqlite3.connect(tmp_path / "transfers.sqlite3", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            refusal = await host.refusal("cancel_pull", model=MODEL)
            database.execute("ROLLBACK")
    assert f"The interrupted pull of {MODEL} cannot be forgotten." in refusal
