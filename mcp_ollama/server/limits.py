"""Limits of the requests in progress: how many work at the same time, and how long each of them may."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

MAX_WORKING = 64
"""Requests that work at the same time; each may hold an answer of Ollama of several megabytes."""


@dataclass(slots=True)
class RequestLimits:
    """The limits of one request.

    Args:
        slots: One for each request of the server that may work.
        scope: The timeout of this one.
    """

    slots: anyio.Semaphore
    scope: anyio.CancelScope
    _is_working: bool = False

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Hold a slot while the request works; waits until one is free."""
        await self.slots.acquire()
        self._is_working = True
        try:
            yield
        finally:
            if self._is_working:
                self.slots.release()

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None]:
        """Suspend both limits while the request waits for its user, a transfer or a load."""
        remaining = self.scope.deadline - anyio.current_time()
        self.scope.deadline = math.inf
        self._is_working = False
        self.slots.release()
        try:
            yield
        finally:
            self.scope.deadline = anyio.current_time() + remaining
        await self.slots.acquire()
        self._is_working = True
