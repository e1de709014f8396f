"""The lock by which other processes see that this one lives, whatever ends it."""

import os
import re
import secrets
from pathlib import Path

from mcp_ollama.models.persistence.file_lock import FileLock, is_held, remove_free

_ID = re.compile(r"[0-9]{1,20}-[0-9a-f]{8}")


class ProcessLock:
    """A locked file `processes/ID.lock` in the state folder; its id is unique, unlike a process id.

    Args:
        folder: The state folder, which must exist before `acquire`.
    """

    def __init__(self, folder: Path) -> None:
        self.id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = folder / "processes"
        self._lock = FileLock(self._path(self.id))

    def acquire(self) -> None:
        """Lock the file, if it is not locked yet, and remove those of processes that have ended.

        Raises:
            OSError: It cannot be created or locked.
        """
        if self._lock.held:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # A process that removes the files of ended ones may have come between creation and lock.
        if not self._lock.acquire() and not self._lock.acquire():
            raise BlockingIOError(f"{self._path(self.id)} is locked by another process.")
        for path in self._folder.glob("*.lock"):
            remove_free(path)

    def release(self) -> None:
        """Unlock and remove the file: from now on other processes count this one as ended."""
        self._lock.release(remove=True)

    def is_alive(self, process: str) -> bool:
        """Return whether the process with an id lives; False for what is not an id.

        Raises:
            OSError: Its file exists and cannot be examined.
        """
        return _ID.fullmatch(process) is not None and is_held(self._path(process))

    def _path(self, process: str) -> Path:
        return self._folder / f"{process}.lock"
