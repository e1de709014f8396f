"""Children for which nothing has to be imported: forks of one process that has the SDK already.

They are for what a server does once it runs. How it starts is seen in one that is started as a host does it.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["mcp_ollama.cli.main", "mcp_ollama.transports.http", "mcp_ollama.server.server", "mcp_ollama.transports.stdio"]
    )
    return context


class Forked:
    """A process that runs Python (`-m MODULE …`, `-c CODE` or a file).

    It has the part of `subprocess.Popen` that `Wire` needs.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        ends = [_context().Pipe(duplex=False) for _ in range(3)]
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = ends
        theirs = (stdin, stdout, stderr)
        self._process = _context().Process(target=_become, args=(command, dict(env or os.environ), *theirs))
        self._process.start()
        self.stdin = os.fdopen(os.dup(to_stdin.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(from_stdout.fileno()), "rb")
        self.stderr = os.fdopen(os.dup(from_stderr.fileno()), "rb")
        for connection in (end for pair in ends for end in pair):
            connection.close()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a fork", timeout)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, signum: signal.Signals) -> None:
        if self._process.pid and self.poll() is None:
            os.kill(self._process.pid, signum)


def _become(command: Sequence[str], env: Mapping[str, str], *pipes: Connection) -> None:
    for standard, pipe in enumerate(pipes):
        os.dup2(pipe.fileno(), standard)
        pipe.close()
    # `multiprocessing` has put the null device there.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(env)
    match command:
        case [sys.executable, "-m", module, *arguments]:
            sys.argv[1:] = arguments
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [sys.executable, "-c", code]:
            exec(code, {"__name__": "__main__"})
        case [sys.executable, path]:
            runpy.run_path(path, run_name="__main__")
        case _:
            raise NotImplementedError(command)
