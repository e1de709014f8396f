"""The file of the journal of unfinished transfers: one SQLite table, opened and closed by each operation.

A file that is not a sound journal of this version is never changed, moved or removed: its owner decides about it.
"""

import logging
import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcp_ollama.models.persistence.process_lock import ProcessLock
from mcp_ollama.models.transfer_state import Kind, State
from mcp_ollama.ollama.addresses import server_key

if TYPE_CHECKING:
    # At run time it is imported by the first operation: it costs the start of the server some 5 ms.
    from sqlite3 import Connection

logger = logging.getLogger(__name__)

EXPIRY_SECONDS = 14 * 86_400
"""An interrupted transfer is forgotten this long after it was last written."""
BUSY_SECONDS = 3.0
"""How long other processes that write at the same moment are waited for: four at full speed need 1.5 s."""
MAX_ENTRIES = 500
MAX_ERROR = 600

_CLOCK_TICK_NS = 100_000_000
"""Changes within a tick of the file system's clock have the same time; ticks are shorter than this."""

_VERSION = 1
# The table only grows, so that an older version can read a newer one's file.
_SCHEMA = """
CREATE TABLE transfers (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL COLLATE NOCASE, server TEXT NOT NULL, host TEXT,
    insecure INTEGER NOT NULL, state TEXT NOT NULL, error TEXT, completed_bytes INTEGER NOT NULL, total_bytes INTEGER,
    started_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, process TEXT NOT NULL
)
"""
_SELECT = """
SELECT id, kind, model, server, host, insecure, state, error, completed_bytes, total_bytes, started_at, updated_at,
    process
FROM transfers
"""
_SAVE = """
INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, error = excluded.error, updated_at = excluded.updated_at,
    completed_bytes = excluded.completed_bytes, total_bytes = excluded.total_bytes
"""
_FOLDER_ERRORS = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM")
_Bytes = Annotated[int, Field(ge=0)]


class JournalError(Exception):
    """The journal cannot be read or written; `str()` of it is the cause and the next step.

    Args:
        cause: What is wrong, without a full stop.
        next_step: What the operator can do about it, as a sentence.
    """

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(f"The journal of transfers cannot be used: {cause}. {next_step}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a transfer stands; `error` is a redacted sentence."""

    state: State
    completed_bytes: int = 0
    total_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A transfer of this process; `started_at` is in Unix seconds."""

    id: str
    kind: Kind
    model: str
    server: str
    host: str | None
    insecure: bool
    started_at: int


class Entry(BaseModel):
    """A transfer of another process, or one that was interrupted by the end of its process."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/:-]{1,600}$")]
    server: Annotated[str, Field(max_length=2_000)]
    host: Annotated[str, Field(max_length=100)] | None
    insecure: bool
    state: State
    """As its process wrote it, at most some seconds ago; `interrupted` when that process has ended."""
    error: Annotated[str, Field(max_length=MAX_ERROR)] | None
    completed_bytes: _Bytes
    """As last seen; after a restart of Ollama, less may be there."""
    total_bytes: _Bytes | None
    started_at: datetime
    updated_at: datetime
    process: str
    owner: Literal["another process"] | None
    """None when its process has ended."""


@contextmanager
def translating_errors() -> Generator[None]:
    """Raise what fails in the block because of the folder, the file or the SQLite library as `JournalError`."""
    try:
        import sqlite3  # noqa: PLC0415
    except ImportError as error:
        raise JournalError("this Python has no sqlite3", "Install a Python with SQLite.") from error
    try:
        yield
    except OSError as error:
        raise _folder_error(error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise _sqlite_error(error, getattr(error, "sqlite_errorname", "")) from error


@contextmanager
def writing(path: Path) -> Generator["Connection"]:
    """Open the file, created with mode 0600, for one transaction, which the end of the block commits.

    Raises:
        JournalError: A newer version wrote it, or it is not a journal.
        OSError: It cannot be created or opened.
        sqlite3.Error: It is damaged, locked, or on a full or read-only file system.
    """
    _check_regular(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(_open(path)) as database:
        if _version(database) == 0:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        # Asked again, since another process may have created the table in between.
        if (version := _version(database)) == 0:
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        elif version > _VERSION:
            raise JournalError(
                "a newer version of this server wrote it, so it is read but not written", "Update this server."
            )
        database.execute(f"{_SELECT} LIMIT 0")
        yield database
        database.execute("COMMIT")


class Reader:
    """Reads the entries of other processes and the interrupted ones; the file only when it has changed.

    Args:
        path: The file.
        process: The lock of this process.
    """

    def __init__(self, path: Path, process: ProcessLock) -> None:
        self._path = path
        self._files = path, path.with_name(f"{path.name}-wal")
        self._process = process
        self._seen: tuple[Sequence[object] | None, list[Entry]] = None, []

    def unchanged(self) -> list[Entry] | None:
        """Return what `read` would return, if that takes no more than a look at the times of the files, else None."""
        signature, entries = self._seen
        with suppress(OSError):  # `read` meets it too, and raises it.
            if signature is not None and signature == _signature(self._files) and not any(one.owner for one in entries):
                return _unexpired(entries)
        return None

    def read(self) -> list[Entry]:
        """Return the entries, oldest first; rows without sense are left out.

        Raises:
            JournalError: The file is not a journal.
            OSError: It cannot be opened.
            sqlite3.Error: It is damaged or locked.
        """
        signature = _signature(self._files)
        if signature is None or signature != self._seen[0]:
            self._seen = signature, _read_rows(self._path, self._process)
        # A process that has ended stays so: its id is never used again.
        entries = [_with_owner(entry, self._process) if entry.owner else entry for entry in self._seen[1]]
        self._seen = signature, entries
        return _unexpired(entries)


def _signature(files: Sequence[Path]) -> Sequence[object] | None:
    """Return what changes with the file and its write-ahead log; None while the next change may have the same time."""
    found: list[object] = []
    for file in files:
        with suppress(FileNotFoundError):
            seen = file.stat()
            if time.time_ns() - seen.st_mtime_ns < _CLOCK_TICK_NS:
                return None
            found += [file.name, seen.st_ino, seen.st_size, seen.st_mtime_ns]
    return found


def _unexpired(entries: list[Entry]) -> list[Entry]:
    horizon = time.time() - EXPIRY_SECONDS
    return [entry for entry in entries if entry.owner or entry.updated_at.timestamp() >= horizon]


def _read_rows(path: Path, process: ProcessLock) -> list[Entry]:
    if not path.exists():
        return []
    _check_regular(path)
    with closing(_open(path)) as database:
        if _version(database) == 0:
            return []
        return _rows(database, "WHERE process <> ? ORDER BY started_at, id", process.id)


def begin(database: "Connection", process: ProcessLock, record: Record) -> None:
    """Insert a queued transfer, with the bytes of the interrupted one that it replaces; delete expired ones."""
    snapshot = Snapshot("queued")
    for entry in _same(database, process, record):
        if entry.owner is None or entry.process == process.id:
            snapshot = Snapshot("queued", entry.completed_bytes, entry.total_bytes)
            delete(database, entry.id)
    for entry in _entries(database, process, "WHERE updated_at < ?", int(time.time()) - EXPIRY_SECONDS):
        if entry.owner is None:
            delete(database, entry.id)
    save(database, process, record, snapshot)


def end(database: "Connection", process: ProcessLock, record: Record) -> None:
    """Delete interrupted transfers like one that has ended: their process ended while this one waited for it."""
    for entry in (one for one in _same(database, process, record) if one.owner is None):
        delete(database, entry.id)


def save(database: "Connection", process: ProcessLock, record: Record, snapshot: Snapshot) -> None:
    """Insert or update a transfer of this process."""
    fixed = (record.id, record.kind, record.model, record.server, record.host, record.insecure)
    total = None if snapshot.total_bytes is None else _bounded(snapshot.total_bytes)
    # JSON can escape half a surrogate pair, which UTF-8 cannot hold.
    error = snapshot.error and snapshot.error.encode(errors="replace").decode()[:MAX_ERROR]
    current = (snapshot.state, error, _bounded(snapshot.completed_bytes), total)
    database.execute(_SAVE, (*fixed, *current, record.started_at, int(time.time()), process.id))


def delete(database: "Connection", transfer_id: str) -> None:
    """Delete a transfer."""
    database.execute("DELETE FROM transfers WHERE id = ?", (transfer_id,))


def forget(database: "Connection", process: ProcessLock, entry: Entry) -> bool:
    """Delete an interrupted transfer; return False when its process lives or another process has it now."""
    if process.is_alive(entry.process):
        return False
    where = (entry.id, entry.process)
    return database.execute("DELETE FROM transfers WHERE id = ? AND process = ?", where).rowcount == 1


def claim(database: "Connection", process: ProcessLock, entry: Entry) -> bool:
    """Make an interrupted transfer one of this process; return False as `forget` does."""
    if process.is_alive(entry.process):
        return False
    statement = "UPDATE transfers SET process = ?, state = 'queued' WHERE id = ? AND process = ?"
    return database.execute(statement, (process.id, entry.id, entry.process)).rowcount == 1


def _check_regular(path: Path) -> None:
    # SQLite would wait for a writer when it opens a named pipe.
    if path.exists() and not path.is_file():
        raise _damaged(f"{path.name} is not a regular file")


def _open(path: Path) -> "Connection":
    import sqlite3  # noqa: PLC0415

    uri = f"{path.absolute().as_uri()}?mode=rw"
    database = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    database.row_factory = sqlite3.Row
    database.text_factory = _decode
    return database


def _bounded(count: int) -> int:
    # A server may claim any number; SQLite holds 64 bits.
    return min(max(count, 0), 2**63 - 1)


def _decode(data: bytes) -> str:
    return data.decode(errors="replace")


def _version(database: "Connection") -> int:
    """Return the version of the table; 0 for a file without any table."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and database.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise _damaged("the file belongs to another program")
    return version


def _entries(database: "Connection", process: ProcessLock, where: str, *values: Any) -> list[Entry]:
    return [_with_owner(entry, process) for entry in _rows(database, where, *values)]


def _same(database: "Connection", process: ProcessLock, record: Record) -> list[Entry]:
    """Return the entries of the same direction, model and server as a record."""
    entries = _entries(database, process, "WHERE kind = ? AND model = ?", record.kind, record.model)
    return [entry for entry in entries if server_key(entry.server) == server_key(record.server)]


def _rows(database: "Connection", where: str, *values: Any) -> list[Entry]:
    """Return the valid ones among some rows, as if all processes lived; `where` is a constant of this module."""
    entries: list[Entry] = []
    for row in database.execute(f"{_SELECT} {where} LIMIT {MAX_ENTRIES}", values):
        try:
            entries.append(Entry.model_validate({**dict(row), "owner": "another process"}))
        except ValidationError as error:
            logger.info("A row of the journal of transfers is left out: %s", error)
    return entries


def _with_owner(entry: Entry, process: ProcessLock) -> Entry:
    """Return an entry as it is now: interrupted when its process has ended."""
    alive = process.is_alive(entry.process)
    return entry if alive else entry.model_copy(update={"state": "interrupted", "owner": None})


def _sqlite_error(error: Exception, code: str) -> JournalError:
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return JournalError("another program has locked it", "End that program; the next write is an attempt again.")
    return _folder_error(str(error)) if code.startswith(_FOLDER_ERRORS) else _damaged(str(error))


def _folder_error(cause: str) -> JournalError:
    return JournalError(cause, "Make the folder in MCP_OLLAMA_STATE_DIR writable, or free disk space.")


def _damaged(cause: str) -> JournalError:
    return JournalError(cause, "Move transfers.sqlite3 out of the state folder; the next transfer creates a new one.")
