"""The real command, which reports its number of tasks on request: `python -m bench.soaked FILE [FLAGS]`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from mcp_ollama.cli.main import main


def run() -> int:
    """Serve; on SIGUSR1 the number of tasks goes into the file, after the process id."""
    report = Path(sys.argv[1])

    def write_tasks(*_: object) -> None:
        report.write_text(f"{os.getpid()} {len(asyncio.all_tasks())}", encoding="ascii")

    signal.signal(signal.SIGUSR1, write_tasks)
    report.write_text(f"{os.getpid()} -", encoding="ascii")
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(run())
