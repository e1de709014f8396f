"""An exclusive lock on a file, which the operating system releases when its process ends."""

import errno
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BEAT_SECONDS = 4.0
"""Where the file system has no locks: how often the holder of one touches its file."""
STALE_SECONDS = 15.0
"""Where the file system has no locks: how long after the last touch a lock is free again."""

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
# Windows locks bytes against reading too: this one is beyond what the file holds.
_LOCKED_BYTE = 1 << 30


class FileLock:
    """A lock between processes, and between two instances in one process.

    It is `flock` on POSIX and a locked byte on Windows. On a file system without locks (some network and FUSE
    mounts) a file beside it, `NAME.beat`, is created exclusively and touched every `BEAT_SECONDS` by a thread.

    Args:
        path: The file; its folder must exist. Every process must use the same path and neither replace nor move it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._beat: _Beat | None = None

    @property
    def held(self) -> bool:
        """Whether this instance holds the lock, and its file is still there for others to see."""
        return self._file is not None and _is_at(self._file, self.path)

    def acquire(self, content: str = "") -> bool:
        """Acquire the lock without waiting; return whether this instance holds it now.

        Args:
            content: Text for the file, as information for a reader; it is left out when the disk is full.

        Raises:
            OSError: The file cannot be created or locked.
        """
        if self.held:
            return True
        self.release()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            acquired = self._is_acquired(file)
        except OSError:
            os.close(file)
            raise
        if not acquired:
            os.close(file)
            return False
        self._file = file
        with suppress(OSError):
            os.truncate(self._file, 0)
            os.write(self._file, content.encode())
        return True

    def release(self, *, remove: bool = False) -> None:
        """Release the lock, if this instance holds it.

        Args:
            remove: Remove the file too.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        if self._beat:
            self._beat.stop()
            self._beat = None
        _close(file, self.path if remove else None)

    def _is_acquired(self, file: int) -> bool:
        try:
            locked = _lock(file)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._beat = _Beat.start(_beat_path(self.path))
            return self._beat is not None
        # The file may have been removed between opening and locking: another process would then lock a new one.
        return locked and _is_at(file, self.path)


def is_held(path: Path) -> bool:
    """Return whether some process, this one included, holds the lock on a file.

    Raises:
        OSError: The file exists and cannot be opened or examined.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two processes that examine a lock at once do not take each other for its holder.
        return not _lock(file, shared=True)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _is_fresh(_beat_path(path))
    finally:
        os.close(file)


def remove_free(path: Path) -> bool:
    """Remove the file of a lock that no process holds; return whether it was free.

    Raises:
        OSError: The file exists and cannot be opened or examined.
    """
    if is_held(path):
        return False
    # A file that may not be removed, or that another process on Windows has open, stays.
    with suppress(PermissionError):
        path.unlink(missing_ok=True)
        _beat_path(path).unlink(missing_ok=True)
    return True


class _Beat:
    """A file that a thread touches, as a sign that its process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = threading.Event()
        threading.Thread(target=self._touch, name="mcp-ollama lock", daemon=True).start()

    @classmethod
    def start(cls, path: Path) -> Self | None:
        """Create the file and touch it from now on; return None while another process does.

        Raises:
            OSError: The file cannot be created.
        """
        if _is_fresh(path):
            return None
        _remove_stale(path)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return None
        return cls(path)

    def stop(self) -> None:
        """Remove the file."""
        self._stopped.set()
        with suppress(OSError):
            self._path.unlink()

    def _touch(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path)


def _remove_stale(path: Path) -> None:
    # Moved first: a process that judged by the old file must not remove the one that another has created since.
    aside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with suppress(FileNotFoundError):
        path.replace(aside)
        if _is_fresh(aside):
            aside.replace(path)
        aside.unlink(missing_ok=True)


def _is_fresh(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) < STALE_SECONDS
    except FileNotFoundError:
        return False


def _beat_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.beat")


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def _lock(file: int, *, shared: bool = False) -> bool:  # noqa: ARG001 - Windows has no shared lock here
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

    def _close(file: int, remove: Path | None) -> None:
        os.close(file)
        # A file that another process has open at this moment stays, and is removed as a stale one later.
        with suppress(PermissionError, FileNotFoundError):
            if remove:
                remove.unlink()

else:

    def _lock(file: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _close(file: int, remove: Path | None) -> None:
        # Removed while locked: afterwards it could be the lock of another process.
        with suppress(OSError):
            if remove:
                remove.unlink()
        os.close(file)
