"""Other processes, as a second host starts them: each runs some code and can be killed."""

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio

from tests.support.fork import Forked


class Child(Forked):
    """A Python process with the body of an async function; `FOLDER` is its state folder.

    Its code prints lines, which `line` reads; it ends by itself after 60 s.
    """

    def __init__(self, folder: Path, code: str) -> None:
        body = "\n".join(f"        {line}" for line in code.strip().splitlines())
        super().__init__([sys.executable, "-c", _PROGRAM.format(folder=str(folder), body=body)])

    def line(self) -> str:
        return self.stdout.readline().decode().strip()

    def kill(self) -> None:
        super().kill()
        self.wait(20)

    def end(self) -> int:
        """Close its standard input and wait for its end; return its exit status."""
        self.stdin.close()
        self.stdout.read()
        return self.wait(60)


_PROGRAM = """
import os, sys, anyio, anyio.lowlevel
from pathlib import Path
from mcp_ollama.models.persistence.journal import Journal, Snapshot
from mcp_ollama.models.persistence.turns import Turns

FOLDER = Path({folder!r})

def say(*words):
    print(*words, flush=True)

async def main():
    with anyio.fail_after(60):
{body}

anyio.run(main)
"""


@contextmanager
def child(folder: Path, code: str) -> Generator[Child]:
    """Run a child until the end of the block at most."""
    process = Child(folder, code)
    try:
        yield process
    finally:
        process.kill()
        # Where pytest shows it when the test has failed.
        sys.stderr.write(process.stderr.read().decode())
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true, 20 s at most."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await anyio.sleep(0.005)


def age(path: Path, seconds: float) -> None:
    """Make a file look as if it had last been touched that long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))
