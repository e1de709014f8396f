"""The journal of unfinished transfers: what the next process has to know when this one ends, whatever ends it.

One SQLite file per user, `transfers.sqlite3` in the state folder; its operations run in a worker thread.
"""

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from mcp_ollama.models.persistence import journal_file
from mcp_ollama.models.persistence.journal_file import Entry, JournalError, Record, Snapshot
from mcp_ollama.models.persistence.process_lock import ProcessLock
from mcp_ollama.models.persistence.state_dir import create_state_dir
from mcp_ollama.models.transfer_state import Kind
from mcp_ollama.ollama.batching import Batch

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Entry", "Journal", "Record", "Snapshot"]

logger = logging.getLogger(__name__)

FILE_NAME = "transfers.sqlite3"
WRITE_SECONDS = 5.0
"""Between two writes of the bytes of one transfer, each of which costs some milliseconds."""

Result = TypeVar("Result")


class Journal:
    """The unfinished transfers of this process, and a view of those of other processes.

    No method raises because a folder or file is missing, damaged, read-only, full, locked, or of a newer version:
    `problem` and one warning in the log say so, and everything else works without the journal.

    Args:
        folder: The state folder, created with mode 0700 by the first transfer; None: nothing is written or read.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._process = None if folder is None else ProcessLock(folder)
        self._reader = folder and self._process and journal_file.Reader(folder / FILE_NAME, self._process)
        self._reading = Batch(self._read)
        self._ended: set[str] = set()
        self._undeleted: set[str] = set()
        self._problems: dict[str, str | None] = {}
        self._logged: set[str] = set()

    @property
    def problem(self) -> str | None:
        """Why the last write, or the last reading, failed; sentences without paths; None while all is well."""
        return self._problems.get("write") or self._problems.get("read")

    async def begin(
        self, kind: Kind, model: str, *, server: str, host: str | None = None, insecure: bool = False
    ) -> Record:
        """Write a queued transfer down, in place of an interrupted one of the same model; return its record.

        Args:
            kind: Its direction.
            model: The model's name in its short form.
            server: Base URL of the Ollama server.
            host: The name of that server in the settings, when there are several.
            insecure: Whether the registry is spoken to in plain http.
        """
        record = Record(secrets.token_hex(8), kind, model, server, host, insecure, int(time.time()))
        await self._write(lambda database, process: journal_file.begin(database, process, record), None)
        return record

    async def write(self, record: Record, snapshot: Snapshot) -> None:
        """Write down how a transfer of this process stands, unless it has ended."""

        def save(database: "Connection", process: ProcessLock) -> None:
            # Asked within the transaction: one that waited for the file may come after that of `end`.
            if record.id not in self._ended:
                journal_file.save(database, process, record, snapshot)

        await self._write(save, None)

    async def follow(self, record: Record, observe: Callable[[], Snapshot]) -> None:
        """Write down how a transfer stands every `WRITE_SECONDS`, when that has changed, until cancelled.

        Args:
            record: The transfer.
            observe: Returns how it stands at that moment.
        """
        written: Snapshot | None = None
        while True:
            if (snapshot := observe()) != written:
                await self.write(record, snapshot)
                written = snapshot
            await anyio.sleep(WRITE_SECONDS)

    async def end(self, record: Record) -> None:
        """Delete a transfer of this process that has ended, and interrupted ones of the same model."""
        self._ended.add(record.id)
        self._undeleted.add(record.id)
        await self._write(lambda database, process: journal_file.end(database, process, record), None)

    async def entries(self) -> list[Entry]:
        """Return the interrupted transfers and those of other processes, oldest first; nothing is created."""
        if self._reader is None:
            return []
        # A thread costs a poll of list_pulls as much as all the rest of the tool.
        entries = None if self.problem else self._reader.unchanged()
        return await self._reading.get() if entries is None else entries

    async def _read(self) -> list[Entry]:
        assert self._reader
        return await self._run("read", self._reader.read, [])

    async def forget(self, entry: Entry) -> bool:
        """Delete an interrupted transfer; return False when its process lives or the file cannot be written."""
        return await self._write(lambda database, process: journal_file.forget(database, process, entry), default=False)

    async def claim(self, entry: Entry) -> bool:
        """Make an interrupted transfer one of this process, which `begin` then replaces; one process succeeds.

        Return False when another process has it already, or the file cannot be written.
        """
        return await self._write(lambda database, process: journal_file.claim(database, process, entry), default=False)

    async def close(self) -> None:
        """Leave the transfers that have not ended to the next process, which finds them interrupted."""
        if self._undeleted:
            await self._write(_add_nothing, None)
        if self._process:
            self._process.release()

    async def _write(self, work: "Callable[[Connection, ProcessLock], Result]", default: Result) -> Result:
        folder, process = self._folder, self._process
        if folder is None or process is None:
            return default

        def write() -> Result:
            create_state_dir(folder)
            process.acquire()
            # One whose deletion failed, on a file that was locked or full, would be found interrupted later.
            undeleted = tuple(self._undeleted)
            with journal_file.writing(folder / FILE_NAME) as database:
                for transfer_id in undeleted:
                    journal_file.delete(database, transfer_id)
                result = work(database, process)
            self._undeleted.difference_update(undeleted)
            return result

        return await self._run("write", write, default)

    async def _run(self, action: str, work: Callable[[], Result], default: Result) -> Result:
        try:
            result = await anyio.to_thread.run_sync(_translated, work)
        except JournalError as error:
            self._report(action, str(error))
            return default
        self._problems[action] = None
        return result

    def _report(self, action: str, problem: str) -> None:
        self._problems[action] = problem
        if problem not in self._logged:
            self._logged.add(problem)
            logger.warning("%s (%s)", problem, self._folder)


def _add_nothing(_database: "Connection", _process: ProcessLock) -> None:
    """Write nothing but the deletions that are due."""


def _translated(work: Callable[[], Result]) -> Result:
    with journal_file.translating_errors():
        return work()
