"""One request for many callers that want the same answer at the same time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

_TURNS = 4
"""Turns of the event loop in which an answered caller may ask again: 500 lists at once take 14 requests, not 63."""
_MAX_CALLERS = 64
"""Callers that a round waits for."""

AnswerT = TypeVar("AnswerT")


@dataclass(slots=True, eq=False)
class _Round(Generic[AnswerT]):
    """The callers that one request answers; `results` is empty until it has."""

    callers: int = 0
    results: list[AnswerT | Exception] = field(default_factory=list["AnswerT | Exception"])

    async def wait_for_callers(self) -> None:
        """Wait while callers keep arriving, as they do when the last round has answered many; one alone does not."""
        known = 1
        while known < self.callers < _MAX_CALLERS:
            known = self.callers
            for _ in range(_TURNS):
                await checkpoint()


class Batch(Generic[AnswerT]):
    """Sends one request at a time; all who ask while it is on its way share the next one.

    An answer is never older than the question: a request begins after each of its callers has asked.

    Args:
        ask: Sends the request.
    """

    def __init__(self, ask: Callable[[], Awaitable[AnswerT]]) -> None:
        self._ask = ask
        self._turn = anyio.Lock(fast_acquire=True)
        self._open: _Round[AnswerT] | None = None

    async def get(self) -> AnswerT:
        """Return the answer, or raise what the request raised."""
        current = self._open = self._open or _Round()
        current.callers += 1
        async with self._turn:
            if not current.results:
                await current.wait_for_callers()
                # Closed here, since whoever asks from now on might get an answer from before the question.
                self._open = None if self._open is current else self._open
                await self._answer(current)
        (result,) = current.results
        if isinstance(result, Exception):
            raise result
        return result

    async def _answer(self, current: _Round[AnswerT]) -> None:
        """Ask for all of a round. A caller that is cancelled leaves it to the next one in line."""
        try:
            current.results.append(await self._ask())
        except Exception as error:  # noqa: BLE001 - each caller raises it
            current.results.append(error)
