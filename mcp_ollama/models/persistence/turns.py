"""Turns: one transfer at a time per Ollama server, among all processes of this user on this machine.

A second client of a blob that disconnects early can crash Ollama (ollama#17370), and each host starts its own
process. `turns/SERVER/turn.lock` in the state folder is held by the process whose turn it is, whose id it holds; the
others wait, each with a locked ticket that is named after the time at which it began to wait.
"""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from mcp_ollama.models.persistence.file_lock import FileLock, remove_free
from mcp_ollama.models.persistence.state_dir import create_state_dir
from mcp_ollama.ollama.addresses import server_key

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often a waiting process looks: a turn that became free is taken within this time."""
ABSENT_SECONDS = 20.0
"""A waiting process that has not looked for this long (stopped, suspended) loses its place."""


class Turns:
    """Turns of this process at Ollama servers.

    Args:
        folder: The state folder, created when it is needed; None: no other process is waited for.
        poll_seconds: Time between two looks while waiting.
    """

    def __init__(self, folder: Path | None, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._folder = folder
        self._poll_seconds = poll_seconds
        self.problem: str | None = None
        """Why no other process is waited for, as sentences; None while all is well."""

    @asynccontextmanager
    async def hold(self, server: str, on_wait: Callable[[], None] | None = None) -> AsyncGenerator[None]:
        """Wait for the turn at a server, and hold it until the end of the block; not reentrant.

        Those that wait get their turns in the order in which they came. Where no file can be locked, a warning is
        logged once and the block runs at once.

        Args:
            server: Base URL of the Ollama server.
            on_wait: Called while another process has the turn, after each look.
        """
        if self._folder is None:
            yield
            return
        folder = self._folder / "turns" / hashlib.sha256(server_key(server).encode()).hexdigest()[:16]
        ticket = FileLock(folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.ticket")
        turn = FileLock(folder / "turn.lock")
        try:
            await self._wait(ticket, turn, on_wait)
            yield
        finally:
            ticket.release(remove=True)
            turn.release()

    async def _wait(self, ticket: FileLock, turn: FileLock, on_wait: Callable[[], None] | None) -> None:
        # Polled: a thread that is blocked in a lock cannot be cancelled.
        while not await anyio.to_thread.run_sync(self._try, ticket, turn):
            if on_wait:
                on_wait()
            await anyio.sleep(self._poll_seconds)

    def _try(self, ticket: FileLock, turn: FileLock) -> bool:
        """Return whether this process may go on: it has its turn, or no file can be locked."""
        try:
            _create_folder(ticket.path.parent)
            taken = _take(ticket, turn)
        except OSError as error:
            self._report(error)
            return True
        self.problem = None
        return taken

    def _report(self, error: OSError) -> None:
        problem = (
            f"Other processes cannot be waited for: {error.strerror or error}. "
            "Make the folder in MCP_OLLAMA_STATE_DIR writable, and pull in one client at a time until then."
        )
        if problem != self.problem:
            logger.warning("%s (%s)", problem, self._folder)
        self.problem = problem


def _create_folder(folder: Path) -> None:
    # `parents=True` would give the state folder the default mode.
    create_state_dir(folder.parent.parent)
    for inner in (folder.parent, folder):
        inner.mkdir(mode=0o700, exist_ok=True)


def _take(ticket: FileLock, turn: FileLock) -> bool:
    """Take the turn if no other process holds it, and none that waits came earlier."""
    # Without a ticket (the disk is full, or another process removed it before it was locked) only the place is lost.
    with suppress(OSError):
        ticket.acquire()
        os.utime(ticket.path)
    if any(_is_waiting(path) for path in _earlier_tickets(ticket.path)) or not turn.acquire(f"{os.getpid()}\n"):
        return False
    ticket.release(remove=True)
    return True


def _earlier_tickets(own: Path) -> list[Path]:
    return sorted(path for path in own.parent.glob("*.ticket") if path.name < own.name)


def _is_waiting(ticket: Path) -> bool:
    """Return whether a ticket's process still waits; remove the ticket of one that has ended."""
    if remove_free(ticket):
        return False
    has_looked = False
    with suppress(FileNotFoundError):
        has_looked = abs(time.time() - ticket.stat().st_mtime) < ABSENT_SECONDS
    return has_looked
