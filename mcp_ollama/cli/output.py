"""Lines to a person on stderr, which may be missing."""

import os
from contextlib import suppress
from typing import NoReturn

COMMAND = "mcp-ollama-manager"


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
