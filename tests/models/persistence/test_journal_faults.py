"""A journal that cannot be used costs a warning, and never a transfer."""

import builtins
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_ollama.models.persistence import journal_file
from mcp_ollama.models.persistence.file_lock import FileLock
from mcp_ollama.models.persistence.journal import Entry, Journal, Snapshot
from mcp_ollama.models.persistence.process_lock import ProcessLock
from tests.models.persistence.test_journal import HALF, MODEL, SERVER, execute, interrupted
from tests.support.children import age, child

MOVE = "Move transfers.sqlite3 out of the state folder"
MAKE_WRITABLE = "Make the folder in MCP_OLLAMA_STATE_DIR writable"
FULL = f"""
import resource
journal = Journal(FOLDER)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
await journal.begin("pull", {MODEL!r}, server={SERVER!r})
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
say(journal.problem)
"""


def the_file(folder: Path) -> Path:
    return folder / "transfers.sqlite3"


def fill_with_garbage(folder: Path) -> None:
    the_file(folder).write_bytes(os.urandom(5_000))


def cut_in_the_header(folder: Path) -> None:
    os.truncate(the_file(folder), 50)


def cut_in_the_middle(folder: Path) -> None:
    os.truncate(the_file(folder), 4_096 + 100)


def damage_the_table(folder: Path) -> None:
    with the_file(folder).open("r+b") as file:
        file.seek(100)
        file.write(bytes(4_000))


def put_folder_in_its_place(folder: Path) -> None:
    the_file(folder).unlink()
    the_file(folder).mkdir()


def put_pipe_in_its_place(folder: Path) -> None:
    the_file(folder).unlink()
    os.mkfifo(the_file(folder))


def put_device_in_its_place(folder: Path) -> None:
    the_file(folder).unlink()
    the_file(folder).symlink_to("/dev/full")


def use_file_of_another_program(folder: Path) -> None:
    the_file(folder).unlink()
    execute(folder, "CREATE TABLE bookmarks (address TEXT)")


def use_table_without_columns(folder: Path) -> None:
    execute(folder, "ALTER TABLE transfers DROP COLUMN server")


def drop_the_table(folder: Path) -> None:
    execute(folder, "DROP TABLE transfers")


def link_file_to_itself(folder: Path) -> None:
    the_file(folder).unlink()
    the_file(folder).symlink_to(the_file(folder))


DAMAGES = [
    (fill_with_garbage, MOVE),
    (cut_in_the_header, MOVE),
    (cut_in_the_middle, MOVE),
    (damage_the_table, MOVE),
    (put_folder_in_its_place, MOVE),
    (put_pipe_in_its_place, MOVE),
    (put_device_in_its_place, MOVE),
    (use_file_of_another_program, MOVE),
    (use_table_without_columns, MOVE),
    (drop_the_table, MOVE),
    (link_file_to_itself, MAKE_WRITABLE),
]


async def use(journal: Journal, entry: Entry) -> None:
    """Do all that a transfer does."""
    record = await journal.begin("pull", "qwen3:8b", server=SERVER)
    await journal.write(record, HALF)
    await journal.entries()
    assert not await journal.forget(entry)
    assert not await journal.claim(entry)
    await journal.end(record)
    await journal.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("damage", "next_step"), DAMAGES)
async def test_damaged_journal_costs_a_warning_and_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], next_step: str
) -> None:
    entry = await interrupted(tmp_path)
    damage(tmp_path)
    before = contents(tmp_path)
    journal = Journal(tmp_path)
    await use(journal, entry)
    assert journal.problem
    assert journal.problem.startswith("The journal of transfers cannot be used: ")
    assert next_step in journal.problem
    assert str(tmp_path) not in journal.problem
    assert warnings(caplog) == [f"{journal.problem} ({tmp_path})"]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGES])
async def test_damaged_journal_moved_away_is_replaced(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    await interrupted(tmp_path)
    damage(tmp_path)
    journal = Journal(tmp_path)
    await journal.begin("pull", MODEL, server=SERVER)
    assert journal.problem
    the_file(tmp_path).rename(tmp_path / "away")
    await journal.begin("pull", MODEL, server=SERVER)
    assert journal.problem is None
    assert [entry.model for entry in await Journal(tmp_path).entries()] == [MODEL]


async def test_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    the_file(tmp_path).touch()
    assert await Journal(tmp_path).entries() == []
    await interrupted(tmp_path)


async def test_journal_of_newer_version_is_read_and_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await interrupted(tmp_path)
    execute(tmp_path, "ALTER TABLE transfers ADD COLUMN speed INTEGER", "PRAGMA user_version = 2")
    before = contents(tmp_path)
    journal = Journal(tmp_path)
    assert await journal.entries() == [entry]
    assert journal.problem is None
    await use(journal, entry)
    assert await journal.entries() == [entry]
    assert journal.problem == (
        "The journal of transfers cannot be used: a newer version of this server wrote it, so it is read but not "
        "written. Update this server."
    )
    assert len(warnings(caplog)) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [
        "completed_bytes = 'many'",
        "completed_bytes = -1",
        "state = 'Done!'",
        "kind = 'move'",
        "model = 'a; rm -rf /'",
        "model = CAST(X'FFFE' AS TEXT)",
        "started_at = 1e300",
        "server = NULL",
        "process = NULL",
    ],
)
async def test_row_without_sense_is_left_out(tmp_path: Path, change: str) -> None:
    await interrupted(tmp_path)
    execute(
        tmp_path,
        "CREATE TABLE loose AS SELECT * FROM transfers",
        "DROP TABLE transfers",
        "ALTER TABLE loose RENAME TO transfers",
        "INSERT INTO transfers SELECT * FROM transfers",
        f"UPDATE transfers SET {change} WHERE rowid = 1",
    )
    journal = Journal(tmp_path)
    assert [entry.model for entry in await journal.entries()] == [MODEL]
    assert journal.problem is None


async def test_row_with_invalid_process_is_interrupted(tmp_path: Path) -> None:
    await interrupted(tmp_path)
    execute(tmp_path, "UPDATE transfers SET process = '../../etc/passwd'")
    [entry] = await Journal(tmp_path).entries()
    assert entry.state == "interrupted"


async def test_folder_in_place_of_which_is_a_file_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await interrupted(tmp_path / "other")
    (tmp_path / "state").write_text("a file")
    journal = Journal(tmp_path / "state")
    await use(journal, entry)
    cause = "The journal of transfers cannot be used: Not a directory. "
    assert str(journal.problem).startswith(f"{cause}{MAKE_WRITABLE}")
    assert warnings(caplog) == [f"{journal.problem} ({tmp_path / 'state'})"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="Linux only")
async def test_folder_on_read_only_file_system_costs_a_warning(tmp_path: Path) -> None:
    entry = await interrupted(tmp_path)
    journal = Journal(Path("/proc/self/state"))
    await use(journal, entry)
    assert journal.problem
    assert MAKE_WRITABLE in journal.problem


async def test_full_disk_costs_a_warning(tmp_path: Path) -> None:
    with child(tmp_path, FULL) as process:
        assert MAKE_WRITABLE in process.line()


async def test_journal_locked_by_another_program_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_SECONDS", 0.01)
    entry = await interrupted(tmp_path)
    journal = Journal(tmp_path)
    with closing(sqlite3.connect(the_file(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await use(journal, entry)
        assert journal.problem
        assert "another program has locked it" in journal.problem
        assert await journal.entries() == [entry]
    await journal.begin("pull", "qwen3:8b", server=SERVER)
    assert journal.problem is None


@pytest.mark.parametrize("next_action", ["begin", "close"])
async def test_end_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_action: str
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_SECONDS", 0.01)
    journal = Journal(tmp_path)
    record = await journal.begin("pull", MODEL, server=SERVER)
    with closing(sqlite3.connect(the_file(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await journal.end(record)
        assert journal.problem
    if next_action == "begin":
        await journal.begin("pull", "qwen3:8b", server=SERVER)
    await journal.close()
    models = [entry.model for entry in await Journal(tmp_path).entries()]
    assert models == (["qwen3:8b"] if next_action == "begin" else [])


async def test_python_without_sqlite_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def without_sqlite(name: str, *arguments: Any) -> Any:
        if name == "sqlite3":
            raise ImportError(name)
        return import_(name, *arguments)

    entry = await interrupted(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without_sqlite)
    journal = Journal(tmp_path)
    await use(journal, entry)
    assert journal.problem
    assert "this Python has no sqlite3" in journal.problem


async def test_whatever_a_server_claims_is_written_within_limits(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    record = await journal.begin("pull", MODEL, server=SERVER)
    await journal.write(record, Snapshot("retrying", -1, 10**30, "\ud800" + "x" * 10_000))
    [entry] = await Journal(tmp_path).entries()
    assert entry.error == "?" + "x" * 599
    assert (entry.completed_bytes, entry.total_bytes) == (0, 2**63 - 1)


async def test_state_folder_removed_meanwhile_is_created_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    record = await journal.begin("pull", MODEL, server=SERVER)
    shutil.rmtree(tmp_path / "state")
    await journal.write(record, HALF)
    [entry] = await Journal(tmp_path / "state").entries()
    assert (entry.state, entry.owner) == ("downloading", "another process")


def test_process_lock_held_by_another_raises(tmp_path: Path) -> None:
    process = ProcessLock(tmp_path)
    (tmp_path / "processes").mkdir()
    other = FileLock(tmp_path / "processes" / f"{process.id}.lock")
    assert other.acquire()
    with pytest.raises(BlockingIOError):
        process.acquire()
    other.release()


@pytest.mark.parametrize("transfers", [0, 1])
async def test_journal_is_read_in_a_thread_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transfers: int
) -> None:
    """The event loop waits for no disk, and an unchanged file, or one that is still missing, costs no thread."""
    for _ in range(transfers):
        await interrupted(tmp_path)
        age(tmp_path / "transfers.sqlite3", 60)
    threads: list[int] = []
    read = journal_file.Reader.read

    def note(reader: journal_file.Reader) -> list[Entry]:
        threads.append(threading.get_ident())
        return read(reader)

    monkeypatch.setattr(journal_file.Reader, "read", note)
    journal = Journal(tmp_path)
    for _ in range(3):
        assert len(await journal.entries()) == transfers
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_journal_that_is_back_unchanged_has_no_problem_left(tmp_path: Path) -> None:
    await interrupted(tmp_path)
    path, kept = tmp_path / "transfers.sqlite3", tmp_path / "kept"
    age(path, 60)
    journal = Journal(tmp_path)
    assert len(await journal.entries()) == 1
    path.rename(kept)
    path.write_bytes(b"no journal" * 100)
    assert await journal.entries() == []
    assert journal.problem
    kept.replace(path)
    assert len(await journal.entries()) == 1
    assert journal.problem is None
