"""A lock that its process holds until it lets go or ends, on file systems with and without locks.

Functions of the system are replaced for what a test cannot bring about: a file system without locks or with errors, and
another process that is faster between two steps. The heartbeat is quicker, so that no test waits for it.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_ollama.models.persistence import file_lock
from mcp_ollama.models.persistence.file_lock import FileLock, is_held, remove_free
from tests.support.children import age, until


def failing(code: int) -> Callable[[int, int], None]:
    def fail(file: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOTSUP))


def test_lock_without_file_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    assert remove_free(tmp_path / "lock")
    assert not list(tmp_path.iterdir())


def test_lock_acquired_twice_by_one_instance_is_held_once(tmp_path: Path) -> None:
    lock, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert lock.acquire("a longer text")
    assert lock.acquire()
    assert not other.acquire()
    assert is_held(lock.path)
    assert not remove_free(lock.path)
    lock.release()
    lock.release()
    assert other.acquire("short")
    assert other.path.read_text() == "short"
    assert other.path.stat().st_mode & 0o777 == 0o600
    other.release(remove=True)
    assert not lock.path.exists()


@pytest.mark.usefixtures("without_locks")
def test_heartbeat_left_by_killed_process_is_taken_over_when_stale(tmp_path: Path) -> None:
    beat, lock = tmp_path / "lock.beat", FileLock(tmp_path / "lock")
    beat.touch()
    assert not lock.acquire()
    age(beat, file_lock.STALE_SECONDS)
    assert lock.acquire()
    assert is_held(lock.path)
    lock.release(remove=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("without_locks")
async def test_heartbeat_goes_on_while_lock_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "BEAT_SECONDS", 0.01)
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    beat = tmp_path / "lock.beat"
    os.utime(beat, (0, 0))
    await until(lambda: beat.stat().st_mtime > 0)
    lock.release()


@pytest.mark.usefixtures("without_locks")
def test_heartbeat_created_by_a_faster_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = tmp_path / "lock.beat"
    beat.write_text("stale")
    os.utime(beat, (0, 0))
    replace = Path.replace

    def be_slower(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        path.write_text("of the faster one")
        return path.replace(target)

    monkeypatch.setattr(Path, "replace", be_slower)
    assert not FileLock(tmp_path / "lock").acquire()
    assert beat.read_text() == "of the faster one"
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "lock.beat"}


@pytest.mark.parametrize("others", ["nothing", "a new file"])
def test_lock_on_file_removed_meanwhile_is_not_acquired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    lock = FileLock(tmp_path / "lock")
    flock = fcntl.flock

    def remove_first(file: int, operation: int) -> None:
        lock.path.unlink()
        if others == "a new file":
            lock.path.touch()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    assert not lock.acquire()
    monkeypatch.undo()
    assert lock.acquire()
    lock.release()


def test_lock_with_other_failure_raises_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.path.touch()
    unused = os.open(lock.path, os.O_RDONLY)
    os.close(unused)
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        lock.acquire()
    with pytest.raises(OSError, match="Input/output error"):
        is_held(lock.path)
    assert os.open(lock.path, os.O_RDONLY) == unused
    os.close(unused)


def test_lock_in_missing_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing" / "lock").acquire()
