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
    """Run `work` for all items, some at once, and wait for the last; an error in one cancels the others."""
    slots = anyio.Semaphore(at_once)

    async def one(item: Item) -> None:
        async with slots:
            await work(item)

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(one, item)


async def side_by_side(
    first: Callable[[], Awaitable[First]], second: Callable[[], Awaitable[Second]]
) -> tuple[First, Second]:
    """Run both at once; an OllamaError of one cancels the other, and is raised without a group around it."""
    firsts, seconds = list[First](), list[Second]()
    errors: list[OllamaError] = []

    async def do(work: Callable[[], Awaitable[Item]], results: list[Item]) -> None:
        try:
            results.append(await work())
        except OllamaError as error:
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(do, second, seconds)
        await do(first, firsts)
    if errors:
        raise errors[0]
    return firsts[0], seconds[0]
