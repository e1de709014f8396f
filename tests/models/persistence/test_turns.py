"""One transfer at a time per server, whatever process it belongs to, and whatever ends that process."""

import errno
import fcntl
import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from mcp_ollama.models.persistence.file_lock import FileLock
from mcp_ollama.models.persistence.turns import Turns
from tests.support.children import age, child, until

SERVER = "http://127.0.0.1:11434"
HOLD = f"""
async with Turns(FOLDER).hold({SERVER!r}):
    say("held")
    await anyio.sleep_forever()
"""
FIVE_WORKS = f"""
turns = Turns(FOLDER, poll_seconds=0.01)
for number in range(5):
    async with turns.hold({SERVER!r}):
        busy = os.open(FOLDER / "busy", os.O_CREAT | os.O_EXCL)
        for _ in range(500):
            await anyio.lowlevel.checkpoint()
        os.close(busy)
        (FOLDER / "busy").unlink()
        with (FOLDER / "done").open("a") as done:
            done.write(f"{{os.getpid()}}\\n")
"""


def turns(folder: Path | None) -> Turns:
    return Turns(folder, poll_seconds=0.01)


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(f"turns/*/{pattern}"))


def tickets(folder: Path) -> list[Path]:
    return files(folder, "*.ticket")


async def is_taken(folder: Path, server: str = SERVER) -> bool:
    """Return whether three looks in turn find that the turn cannot be had."""
    looks = 0

    def count() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            scope.cancel()

    with anyio.CancelScope() as scope:
        async with turns(folder).hold(server, on_wait=count):
            pass
    return scope.cancelled_caught


async def enter(folder: Path, server: str = SERVER) -> None:
    """Hold the turn for a moment, within half of the time after which a lost process counts as gone."""
    with anyio.fail_after(7):
        async with turns(folder).hold(server):
            pass


@pytest.fixture(params=["locks", "heartbeats"])
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with locks, and one without."""
    if request.param == "heartbeats":
        monkeypatch.setattr(fcntl, "flock", refuse)


def refuse(file: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.usefixtures("any_file_system")
async def test_turn_held_keeps_others_out_until_released(tmp_path: Path) -> None:
    async with turns(tmp_path).hold(SERVER):
        assert await is_taken(tmp_path, "http://localhost:11434")
        await enter(tmp_path, "http://127.0.0.1:11435")
    await enter(tmp_path)
    assert not tickets(tmp_path)


@pytest.mark.usefixtures("any_file_system")
async def test_turn_after_failed_block_is_free(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with turns(tmp_path).hold(SERVER):
            raise ZeroDivisionError
    await enter(tmp_path)


async def test_two_processes_with_ten_works_never_work_at_once(tmp_path: Path) -> None:
    with child(tmp_path, FIVE_WORKS) as one, child(tmp_path, FIVE_WORKS) as other:
        assert (one.end(), other.end()) == (0, 0)
        done = (tmp_path / "done").read_text().split()
    assert sorted(map(done.count, {str(one.pid), str(other.pid)})) == [5, 5]
    assert not tickets(tmp_path)


async def test_turn_of_killed_process_is_free_at_once(tmp_path: Path) -> None:
    with child(tmp_path, HOLD) as owner:
        assert owner.line() == "held"
        (lock,) = files(tmp_path, "turn.lock")
        assert lock.read_text() == f"{owner.pid}\n"
        assert await is_taken(tmp_path)
        owner.kill()
        await enter(tmp_path)


async def test_ticket_of_killed_process_does_not_hold_up_others(tmp_path: Path) -> None:
    async with turns(tmp_path).hold(SERVER):
        with child(tmp_path, HOLD) as waiter:
            await until(lambda: len(tickets(tmp_path)) == 1)
            waiter.kill()
    await enter(tmp_path)
    assert not tickets(tmp_path)


async def test_waiting_processes_get_their_turns_in_order(tmp_path: Path) -> None:
    order: list[int] = []

    async def wait(number: int) -> None:
        async with turns(tmp_path).hold(SERVER):
            order.append(number)

    async with anyio.create_task_group() as group:
        async with turns(tmp_path).hold(SERVER):
            for number in range(4):
                group.start_soon(wait, number)
                await until(lambda count=number + 1: len(tickets(tmp_path)) == count)
        await wait(4)
    assert order == [0, 1, 2, 3, 4]


async def test_waiting_process_that_is_stopped_loses_its_place(tmp_path: Path) -> None:
    await enter(tmp_path)
    [turn] = files(tmp_path, "turn.lock")
    ticket = FileLock(turn.with_name("00000000000000000001-0.ticket"))
    assert ticket.acquire()
    assert await is_taken(tmp_path)
    age(ticket.path, 60)
    await enter(tmp_path)
    ticket.release()


async def test_waiting_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async with turns(tmp_path).hold(SERVER):
        assert await is_taken(tmp_path)
        assert not tickets(tmp_path)


async def test_turn_of_killed_process_without_locks_is_free_when_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse)
    without_locks = "import errno, fcntl\ndef refuse(*_): raise OSError(errno.ENOLCK, '')\nfcntl.flock = refuse\n"
    with child(tmp_path, without_locks + HOLD) as owner:
        assert owner.line() == "held"
        owner.kill()
    assert await is_taken(tmp_path)
    for beat in files(tmp_path, "*.beat"):
        age(beat, 15)
    await enter(tmp_path)


async def test_folder_that_cannot_be_used_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("a file")
    blocked = turns(tmp_path / "state")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(blocked.hold(SERVER))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert blocked.problem
    assert blocked.problem.startswith("Other processes cannot be waited for: Not a directory. Make the folder")
    assert str(tmp_path) not in blocked.problem
    (tmp_path / "state").unlink()
    async with blocked.hold(SERVER):
        assert blocked.problem is None


async def test_turn_is_waited_for_when_no_ticket_can_be_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enter(tmp_path)
    open_file = os.open

    def open_existing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not path.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", open_existing)
    full = turns(tmp_path)
    async with full.hold(SERVER):
        assert full.problem is None
        assert await is_taken(tmp_path)
    await enter(tmp_path)


async def test_turns_folder_is_for_its_user_only(tmp_path: Path) -> None:
    await enter(tmp_path / "state")
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in (tmp_path / "state", *files(tmp_path / "state", "*"))}
    assert modes == {"": 0o700, ".lock": 0o600}


async def test_turns_without_folder_wait_for_none() -> None:
    off = turns(None)
    async with off.hold(SERVER), off.hold(SERVER):
        assert off.problem is None
