"""Text on stdout and lines to a person on stderr, both of which may be missing."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, cast

if TYPE_CHECKING:
    from io import TextIOWrapper

COMMAND = "mcp-ollama-manager"


def print_text(text: str) -> None:
    """Write text to stdout as UTF-8; without a stdout, or with a reader that has closed its end, it is lost.

    Raises:
        SystemExit: It cannot be written, as on a full disk: status 1, after one line on stderr.
    """
    stdout = cast("TextIOWrapper | None", sys.stdout)
    if stdout is None:
        return
    try:
        # The encoding of the locale may lack a letter of a path.
        stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        stdout.write(text)
        stdout.flush()
    except OSError as error:
        # Python would flush it once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print_note(f"{COMMAND}: stdout cannot be written: {error.strerror}")
            raise SystemExit(1) from error


def print_note(line: str) -> None:
    """Write a line to stderr; without a stderr, or with one that is closed, it is lost."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


def exit_with_usage_error(reason: str, error: Exception) -> NoReturn:
    """Print one line and exit with status 2.

    Raises:
        SystemExit: Always, from `error`.
    """
    print_note(f"{COMMAND}: {reason}")
    raise SystemExit(2) from error
