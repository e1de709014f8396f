"""Unfinished transfers are found by the next process, whatever ended the one before."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_ollama.models.persistence import journal as journal_module
from mcp_ollama.models.persistence.journal import Entry, Journal, Record, Snapshot
from tests.support.children import age, child, until

SERVER = "http://127.0.0.1:11434"
MODEL = "llama3.2:3b"
HALF = Snapshot("downloading", 500, 1_000)
PULL = f"""
journal = Journal(FOLDER)
record = await journal.begin("pull", {MODEL!r}, server={SERVER!r}, host="desk", insecure=True)
await journal.write(record, Snapshot("retrying", 500, 1_000, "Nothing answers."))
say(os.getpid())
await anyio.sleep_forever()
"""
WRITES = f"""
journal = Journal(FOLDER)
for number in range(8):
    record = await journal.begin("pull", f"model{{number}}:{{os.getpid()}}", server={SERVER!r})
    for completed in range(5):
        await journal.write(record, Snapshot("downloading", completed, 5))
        assert journal.problem is None, journal.problem
    if number:
        await journal.end(record)
assert len(await Journal(FOLDER).entries()) >= 1
say("written")
sys.stdin.read()
"""


async def interrupted(folder: Path, model: str = MODEL) -> Entry:
    """Write half a pull from a process that ends."""
    journal = Journal(folder)
    record = await journal.begin("pull", model, server=SERVER)
    await journal.write(record, HALF)
    await journal.close()
    return next(entry for entry in await Journal(folder).entries() if entry.id == record.id)


def execute(folder: Path, *statements: str) -> list[Any]:
    """Change the file as another program does; return the rows of the last statement."""
    rows: list[Any] = []
    with closing(sqlite3.connect(folder / "transfers.sqlite3", isolation_level=None)) as database:
        for statement in statements:
            rows = database.execute(statement).fetchall()
    return rows


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def test_journal_of_killed_process_lists_it_as_interrupted(tmp_path: Path) -> None:
    with child(tmp_path, PULL) as owner:
        owner.line()
        # The end of a process changes no file.
        age(tmp_path / "transfers.sqlite3", 60)
        journal = Journal(tmp_path)
        [entry] = await journal.entries()
        assert (entry.state, entry.owner) == ("retrying", "another process")
        assert not await journal.forget(entry)
        assert not await journal.claim(entry)
        owner.kill()
    [entry] = await journal.entries()
    assert entry.model_dump(exclude={"id", "started_at", "updated_at", "process"}) == {
        "kind": "pull",
        "model": MODEL,
        "server": SERVER,
        "host": "desk",
        "insecure": True,
        "state": "interrupted",
        "error": "Nothing answers.",
        "completed_bytes": 500,
        "total_bytes": 1_000,
        "owner": None,
    }
    assert abs(entry.started_at.timestamp() - time.time()) < 120
    assert entry.process.startswith(f"{owner.pid}-")


async def test_journal_without_transfers_creates_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    assert await journal.entries() == []
    await journal.close()
    assert not files(tmp_path, "*")


async def test_journal_is_for_its_user_only(tmp_path: Path) -> None:
    state = "state #1?mode=ro&%41"
    journal = Journal(tmp_path / state)
    await journal.begin("pull", MODEL, server=SERVER)
    modes = {path.name: path.stat().st_mode & 0o777 for path in files(tmp_path, "**/*") if path.suffix != ".lock"}
    assert modes == {state: 0o700, "processes": 0o700, "transfers.sqlite3": 0o600}


async def test_journal_of_clean_exit_leaves_interrupted_and_no_lock(tmp_path: Path) -> None:
    entry = await interrupted(tmp_path)
    assert (entry.state, entry.completed_bytes, entry.owner) == ("interrupted", 500, None)
    assert not files(tmp_path, "processes/*")


async def test_journal_lock_of_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    with child(tmp_path, PULL) as owner:
        owner.line()
        owner.kill()
    journal = Journal(tmp_path)
    await journal.begin("pull", MODEL, server=SERVER)
    assert len(files(tmp_path, "processes/*")) == 1


async def test_ended_transfer_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    record = await journal.begin("push", MODEL, server=SERVER)
    assert await journal.entries() == []
    assert [entry.kind for entry in await Journal(tmp_path).entries()] == ["push"]
    await journal.end(record)
    assert await Journal(tmp_path).entries() == []


async def test_write_after_the_end_of_a_transfer_brings_nothing_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    record = await journal.begin("pull", MODEL, server=SERVER)
    await journal.end(record)
    await journal.write(record, HALF)
    assert await Journal(tmp_path).entries() == []
    assert journal.problem is None


async def test_begin_replaces_interrupted_one_of_same_model_and_server(tmp_path: Path) -> None:
    old = await interrupted(tmp_path)
    other = await interrupted(tmp_path, "qwen3:8b")
    journal = Journal(tmp_path)
    elsewhere = await journal.begin("pull", MODEL, server="http://gpu:11434")
    record = await journal.begin("pull", MODEL.upper(), server="http://localhost:11434")
    entries = {entry.id: entry for entry in await Journal(tmp_path).entries()}
    assert set(entries) == {other.id, elsewhere.id, record.id}
    assert old.id not in entries
    assert (entries[record.id].state, entries[record.id].completed_bytes) == ("queued", 500)


async def test_forget_deletes_interrupted_transfer_once(tmp_path: Path) -> None:
    entry = await interrupted(tmp_path)
    journal = Journal(tmp_path)
    assert await journal.forget(entry)
    assert not await journal.forget(entry)
    assert await journal.entries() == []


async def test_claim_by_two_processes_succeeds_for_one(tmp_path: Path) -> None:
    entry = await interrupted(tmp_path)
    one, other = Journal(tmp_path), Journal(tmp_path)
    assert await one.claim(entry)
    assert not await other.claim(entry)
    assert [(claimed.state, claimed.owner) for claimed in await other.entries()] == [("queued", "another process")]
    record = await one.begin("pull", entry.model, server=entry.server)
    assert [(begun.id, begun.completed_bytes) for begun in await other.entries()] == [(record.id, 500)]


async def test_interrupted_transfer_expires_after_14_days(tmp_path: Path) -> None:
    entry = await interrupted(tmp_path)
    fresh = await interrupted(tmp_path, "qwen3:8b")
    living = Journal(tmp_path)
    record = await living.begin("pull", "gemma3:4b", server=SERVER)
    age = f"UPDATE transfers SET updated_at = updated_at - 14 * 86400 - 60 WHERE id IN ('{entry.id}', '{record.id}')"
    execute(tmp_path, age)
    journal = Journal(tmp_path)
    assert {found.id for found in await journal.entries()} == {fresh.id, record.id}
    await journal.begin("pull", "phi4:14b", server=SERVER)
    assert execute(tmp_path, f"SELECT * FROM transfers WHERE id = '{entry.id}'") == []


async def test_follow_writes_changes_until_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds in the product, which no test should wait for.
    monkeypatch.setattr(journal_module, "WRITE_SECONDS", 0.005)
    journal, written = Journal(tmp_path), list[Snapshot]()
    record = await journal.begin("pull", MODEL, server=SERVER)
    snapshots = [Snapshot("manifest"), HALF, HALF, HALF, Snapshot("verifying", 1_000, 1_000)]

    async def note(_: Record, snapshot: Snapshot) -> None:
        await Journal.write(journal, record, snapshot)
        written.append(snapshot)

    # Writes as before; the file shows only the last write, and not that equal snapshots are written once.
    monkeypatch.setattr(journal, "write", note)
    async with anyio.create_task_group() as group:
        group.start_soon(journal.follow, record, lambda: snapshots.pop(0) if snapshots[1:] else snapshots[0])
        await until(lambda: len(written) == 3)
        group.cancel_scope.cancel()
    assert [snapshot.state for snapshot in written] == ["manifest", "downloading", "verifying"]
    [entry] = await Journal(tmp_path).entries()
    assert (entry.state, entry.completed_bytes) == ("verifying", 1_000)


async def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    with child(tmp_path, WRITES) as one, child(tmp_path, WRITES) as other:
        assert (one.line(), other.line()) == ("written", "written")
        entries = await Journal(tmp_path).entries()
        assert {entry.model for entry in entries} == {f"model0:{one.pid}", f"model0:{other.pid}"}
        assert {entry.owner for entry in entries} == {"another process"}
        assert (one.end(), other.end()) == (0, 0)
    assert {entry.state for entry in await Journal(tmp_path).entries()} == {"interrupted"}


async def test_disabled_journal_writes_and_lists_nothing() -> None:
    journal = Journal(None)
    record = await journal.begin("pull", MODEL, server=SERVER)
    await journal.write(record, HALF)
    await journal.end(record)
    assert await journal.entries() == []
    assert journal.problem is None
    await journal.close()


async def test_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """A row that is added without a trace in the times of the files stays unseen; one of a later time is seen."""
    await interrupted(tmp_path)
    path = tmp_path / "transfers.sqlite3"
    journal = Journal(tmp_path)
    age(path, 60)
    then = path.stat().st_mtime_ns
    assert [entry.model for entry in await journal.entries()] == [MODEL]
    execute(tmp_path, "UPDATE transfers SET model = 'other:1'")
    os.utime(path, ns=(then, then))
    assert [entry.model for entry in await journal.entries()] == [MODEL]
    age(path, 30)
    assert [entry.model for entry in await journal.entries()] == ["other:1"]


async def test_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    await interrupted(tmp_path)
    path = tmp_path / "transfers.sqlite3"
    journal = Journal(tmp_path)
    # Young for as long as this test may take.
    now = time.time_ns() + 3_600_000_000_000
    for model in (MODEL, "other:1"):
        execute(tmp_path, f"UPDATE transfers SET model = '{model}'")
        os.utime(path, ns=(now, now))
        assert [entry.model for entry in await journal.entries()] == [model]
