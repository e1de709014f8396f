"""Claim of stdin and stdout for the protocol, before anything is imported that might write to them.

The Windows branch was written but not run.
"""

import os
import sys
from typing import NamedTuple

if sys.platform == "win32":
    import ctypes
    import msvcrt


class Pipes(NamedTuple):
    """Stdin and stdout, on descriptors that nothing else in this process and no child knows."""

    incoming: int
    outgoing: int


def claim() -> Pipes:
    """Claim stdin and stdout for the protocol, until the process ends.

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
    for standard, private in enumerate(pipes):
        if sys.platform == "win32":
            msvcrt.setmode(private, os.O_BINARY)
            # Children inherit the Win32 handles (-10 is stdin's, -11 stdout's), which dup2 leaves alone.
            ctypes.windll.kernel32.SetStdHandle(-10 - standard, ctypes.c_void_p(msvcrt.get_osfhandle(standard)))
        else:
            os.set_blocking(private, True)  # a host may have made its pipes non-blocking, and the mode is shared
    return pipes
