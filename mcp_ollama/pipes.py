"""Stdin and stdout, taken out of everybody else's reach before anything is imported that might write to them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pipes:
    """Stdin and stdout, on descriptors that nothing else in this process and no child knows."""

    incoming: int
    outgoing: int


def claim() -> Pipes:
    """Take stdin and stdout away from everything else in this process, for good.

    From here on fd 0 is empty and fd 1 is stderr, so no `print`, library or child process can write between the
    messages. They are never given back, because a buffered `print` is written as late as at exit.
    """
    # Missing standard descriptors are filled first, or a duplicate would become one of them.
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    pipes = Pipes(incoming=os.dup(0), outgoing=os.dup(1))
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return pipes
