"""State that the processes of a user share: the journal of transfers, and turns at the Ollama servers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mcp_ollama.models.persistence.journal import Journal
from mcp_ollama.models.persistence.state_dir import state_dir
from mcp_ollama.models.persistence.turns import Turns


@dataclass(frozen=True, slots=True)
class SharedState:
    """The journal and the turns of this process, for all its Ollama servers.

    Args:
        journal: The journal of transfers.
        turns: Turns at Ollama servers.
        is_kept: Whether there is a folder for both.
    """

    journal: Journal
    turns: Turns
    is_kept: bool

    @property
    def problem(self) -> str | None:
        """Why the journal or the turns do not work, as sentences; None while all is well."""
        return self.journal.problem or self.turns.problem


@asynccontextmanager
async def open_shared_state(setting: str | None = None) -> AsyncGenerator[SharedState]:
    """Yield the shared state; its end leaves unfinished transfers to the next process. No file is opened here.

    Args:
        setting: The state folder: a path, `off`, or nothing.
    """
    folder = state_dir(setting)
    shared = SharedState(Journal(folder), Turns(folder), folder is not None)
    try:
        yield shared
    finally:
        await shared.journal.close()
