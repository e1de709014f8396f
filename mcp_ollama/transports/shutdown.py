"""Shutdown by a signal or a deadline, shared by stdio and HTTP.

The first signal starts a graceful shutdown, a second one ends the process at once. The exit status is 128 + n after
signal n. Signals and deadlines are handled by threads, because an event loop that is blocked runs neither a handler nor
a timeout.
"""

import os
import signal
import socket
from collections.abc import Callable
from threading import Thread, Timer
from types import FrameType
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler

from mcp_ollama.transports.admission import LISTEN


class Shutdown:
    """Signal handling and the exit status of a process that serves.

    Its signal handlers stay installed: a process that has begun to shut down serves nothing else.

    Args:
        on_signal: Starts the graceful shutdown; called once, in a thread of its own.
        limit: Seconds from the first signal to the exit, whatever the event loop does.
    """

    def __init__(self, on_signal: Callable[[], object], limit: float) -> None:
        self.status = 0
        self._on_signal = on_signal
        self._limit = limit
        self._signals = _signals_to_handle()
        Thread(target=self._handle_signals, args=(_install_signal_socket(self._signals),), daemon=True).start()

    def exit_within(self, seconds: float) -> None:
        """Start a deadline for the process; the earliest one holds."""
        timer = Timer(seconds, self._exit)
        timer.daemon = True
        timer.start()

    def _handle_signals(self, signals: socket.socket) -> None:
        while True:
            signum = signals.recv(1)[0]
            if signum in self._signals:
                self._handle(signum)

    def _handle(self, signum: int) -> None:
        if self.status:
            os._exit(128 + signum)
        self.status = 128 + signum
        self.exit_within(self._limit)
        try:
            self._on_signal()
        except RuntimeError:  # the event loop is closed: all that is left is the exit
            self._exit()

    def _exit(self) -> None:
        os._exit(self.status)


def find_listen_handler(server: Server[Any]) -> ListenHandler | None:
    """Find the handler of a server's listen streams, which have no end of their own."""
    entry = server.get_request_handler(LISTEN)
    return entry.handler if entry and isinstance(entry.handler, ListenHandler) else None


def _signals_to_handle() -> frozenset[int]:
    signums = {signal.SIGINT, signal.SIGTERM}
    # Windows has no SIGHUP, and `nohup` ignores it.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signums.add(signal.SIGHUP)
    return frozenset(signums)


def _install_signal_socket(signums: frozenset[int]) -> socket.socket:
    """Return a socket on which each signal arrives as one byte.

    A handler in Python would run only when the main thread does, and that may wait in an idle event loop.
    """
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for signum in signums:
        signal.signal(signum, _ignore)
    return receiver


def _ignore(_signum: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing: `set_wakeup_fd` writes only those that have a handler."""
