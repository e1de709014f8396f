"""Coalescing of small HTTP chunks before the HTTP library parses them.

Ollama sends each progress line as one chunk, and a safetensors pull tens of thousands a second. Measured over
60,000 lines: 24 µs per line with httpx, 5 µs with coalescing. Bytes that are not certainly a whole chunk of a
progress stream pass unchanged; without `CoalescingBackend` everything works the same, more slowly.
"""

import re
import select
from collections.abc import Iterable
from typing import Any, cast

import httpcore

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_CAN_POLL = hasattr(select, "poll")  # not on Windows
_LARGE = 65_536
_LONGEST_SIZE = 16
_READ_SIZE = 16_384
"""Bytes per read of a progress stream; other tasks run between two reads."""


class ChunkCoalescer:
    """Coalescer of the chunks of one response; the body stays the same, byte for byte."""

    def __init__(self) -> None:
        self._in_head = True
        self._is_on = True
        self._rest: bytes = b""

    @property
    def read_size(self) -> int:
        """Maximum bytes of the next read; small only for a progress stream."""
        return _READ_SIZE if self._is_on and not self._in_head else _LARGE

    def feed(self, data: bytes) -> bytes:
        """Convert received bytes to bytes for the parser, which may be empty."""
        if not self._is_on:
            return data
        if self._in_head:
            self._in_head = False
            head, end, data = data.partition(b"\r\n\r\n")
            lowered = head.lower()
            self._is_on = bool(end) and b"chunked" in lowered and b"x-ndjson" in lowered
            return head + end + (self._merge(data) if self._is_on else data)
        return self._merge(data)

    def flush(self) -> bytes:
        """Return the bytes that remain at the end."""
        rest, self._rest = self._rest, b""
        return rest

    def _merge(self, data: bytes) -> bytes:
        data = self._rest + data
        pieces: list[bytes] = []
        position = 0
        while (line_end := data.find(b"\r\n", position, position + _LONGEST_SIZE)) > 0:
            size = _size(data[position:line_end])
            end = line_end + 2 + size
            if not size or len(data) < end + 2 or data[end : end + 2] != b"\r\n":
                self._is_on = size > 0 and len(data) < end + 2
                break
            pieces.append(data[line_end + 2 : end])
            position = end + 2
        body = b"".join(pieces)
        self._rest = data[position:]
        merged = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        # The last chunk, a chunk with extensions, a large chunk: from here on bytes pass unchanged.
        self._is_on = self._is_on and len(self._rest) < _LARGE
        return merged if self._is_on else merged + self.flush()


def _size(text: bytes) -> int:
    # int() also accepts a sign, `0x` and underscores.
    return int(text, 16) if _SIZE.fullmatch(text) else 0


class CoalescingStream(httpcore.AsyncNetworkStream):
    """Connection that coalesces the chunks of progress streams."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._coalescer = ChunkCoalescer()
        self._socket: Any = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read bytes; empty at the end."""
        while data := await self._stream.read(min(max_bytes, self._coalescer.read_size), timeout):
            if merged := self._coalescer.feed(data):
                return merged
        return self._coalescer.flush()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write bytes; a response starts after each request."""
        self._coalescer = ChunkCoalescer()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Return details of the socket."""
        # The pool asks each idle connection before each request, and anyio reads all attributes of a socket to answer.
        if info == "is_readable" and _CAN_POLL:
            self._socket = self._socket or self._stream.get_extra_info("socket")
            return _is_readable(self._socket.fileno())
        return self._stream.get_extra_info(info)


def _is_readable(descriptor: int) -> bool:
    """Return whether a socket has data or is closed; of an idle connection, that its server has ended it."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class CoalescingBackend(httpcore.AsyncNetworkBackend):
    """Network backend of coalescing connections."""

    def __init__(self) -> None:
        # httpcore 1.0 types it behind an optional import.
        self._backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection."""
        return CoalescingStream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))
