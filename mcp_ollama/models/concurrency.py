"""Several requests at once: a server answers six of them in the time of one."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from mcp_ollama.ollama.errors import OllamaError

Item = TypeVar("Item")
First = TypeVar("First")
Second = TypeVar("Second")

AT_ONCE = 6
"""Enough to wait for all together, and few enough for a server that has other things to do."""


async def for_each(items: Iterable[Item], work: Callable[[Item], Awaitable[object]], *, at_once: int = AT_ONCE) -> None:
    """Run `work` for all items, some at once, and wait for the last.

    An OllamaError of one cancels the others, and is raised without a group around it.
    """
    slots = anyio.Semaphore(at_once)
    errors: list[OllamaError] = []

    async def one(item: Item) -> None:
        async with slots:
            try:
                await work(item)
            except OllamaError as error:
                errors.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(one, item)
    if errors:
        raise errors[0]


async def side_by_side(
    first: Callable[[], Awaitable[First]], second: Callable[[], Awaitable[Second]]
) -> tuple[First, Second]:
    """Run both at once and return both results; errors as in `for_each`."""
    firsts, seconds = list[First](), list[Second]()

    async def do_first() -> None:
        firsts.append(await first())

    async def do_second() -> None:
        seconds.append(await second())

    await for_each((do_second, do_first), lambda do: do())
    return firsts[0], seconds[0]
