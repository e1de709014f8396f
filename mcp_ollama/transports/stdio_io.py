"""Reader and writer threads of the stdio transport: a client that does not read blocks only the writer."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

import anyio
from anyio import from_thread, lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types

from mcp_ollama.transports.jsonrpc import LINE_LIMIT_BYTES

Line = bytes | bytearray
"""One line of input without its newline; of a line over the limit the beginning and the end."""

_READ_BYTES = 64 * 2**10
_UNWRITTEN_LIMIT_BYTES = 2 * 2**20
"""Answers that leave a few at a time let only a few calls ask Ollama together: with an eighth of it, 500 lists at once
take 1.4 times as long."""


class Outbox:
    """Outbound queue, drained by a thread, so that a client that stops reading cannot block the event loop.

    Args:
        fd: Where the messages are written, one JSON document a line.
        on_broken: Called in the event loop when `fd` cannot be written to any more.
    """

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self.unwritten = 0
        self.progress = anyio.Event()  # replaced whenever bytes were written, or waiting for them has no point
        self._limit: float = _UNWRITTEN_LIMIT_BYTES
        self._frames: SimpleQueue[bytes] = SimpleQueue()
        self._broken = False
        self._on_broken = on_broken
        Thread(target=self._write, args=(fd, asyncio.get_running_loop().call_soon_threadsafe), daemon=True).start()

    async def send(self, message: types.JSONRPCMessage) -> None:
        """Queue a message, after those before it have been written down to the limit.

        Raises:
            BrokenResourceError: The client has closed its end.
        """
        while self.unwritten > self._limit:
            await self.progress.wait()
        if self._broken:
            raise anyio.BrokenResourceError
        # `model_dump_json` decodes these bytes, and a list would be copied twice more.
        frame = message.__pydantic_serializer__.to_json(message, by_alias=True, exclude_unset=True) + b"\n"
        self.unwritten += len(frame)
        self._frames.put(frame)

    async def flush(self, seconds: float) -> None:
        """Wait until all is written, or the time is over."""
        with anyio.move_on_after(seconds):
            while self.unwritten:
                await self.progress.wait()

    def disable_backpressure(self) -> None:
        """Queue everything from now on: at the end there is little to send, and no time to wait for the client."""
        self._limit = float("inf")
        self._on_written(0)

    def _on_written(self, size: int) -> None:
        self.unwritten -= size
        self.progress.set()
        self.progress = anyio.Event()

    def _on_failed(self) -> None:
        self._broken = True
        self._on_written(self.unwritten)
        self._on_broken()

    def _write(self, fd: int, call: Callable[..., object]) -> None:
        with suppress(RuntimeError):  # the event loop is closed, and with it everything that waits for these
            try:
                while True:
                    frames = [self._frames.get()]
                    while not self._frames.empty():
                        frames.append(self._frames.get())
                    rest = memoryview(b"".join(frames))
                    size = len(rest)
                    while rest:
                        rest = rest[os.write(fd, rest) :]
                    call(self._on_written, size)
            except OSError:
                call(self._on_failed)


def read_lines(fd: int) -> MemoryObjectReceiveStream[list[Line]]:
    """Start to read a descriptor in a thread; the stream yields the lines of one read at a time, up to its end."""
    feed, batches = anyio.create_memory_object_stream[list[Line]]()
    Thread(target=_read, args=(fd, feed, lowlevel.current_token()), daemon=True).start()
    return batches


def _read(fd: int, feed: MemoryObjectSendStream[list[Line]], token: lowlevel.EventLoopToken) -> None:
    with suppress(RuntimeError):  # the event loop is closed
        # The receiver is closed (two names for it) or cancelled, or the descriptor cannot be read.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, CancelledError, OSError):
            for lines in _batches(fd):
                from_thread.run(feed.send, lines, token=token)
        from_thread.run_sync(feed.close, token=token)


def _batches(fd: int) -> Iterator[list[Line]]:
    held = bytearray()
    chunk = b"\n"
    while chunk:
        chunk = os.read(fd, _READ_BYTES)
        head, *others = (chunk or b"\n").split(b"\n")  # the end of input also ends the last line
        held += head
        if len(held) > LINE_LIMIT_BYTES + 2 * _READ_BYTES:
            del held[LINE_LIMIT_BYTES:-_READ_BYTES]
        if others:
            *whole, tail = others
            yield [held, *whole]
            held = bytearray(tail)
