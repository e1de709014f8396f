"""Many small HTTP chunks become few large ones, before the HTTP library sees them.

Ollama sends each progress line as a chunk of its own, and a safetensors pull tens of thousands a second; a chunk
costs the library some 50 µs. What is not surely a whole chunk of a progress stream goes on as it came.
"""

import re
from collections.abc import Iterable
from typing import Any, cast

import httpcore

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LARGE = 65_536
_LONGEST_SIZE = 16
_PORTION = 8_192
"""Read at a time of a progress stream: between two portions the event loop serves others."""


class ChunkCoalescer:
    """Merges the chunks of one answer, byte for byte the same body."""

    def __init__(self) -> None:
        self._in_head = True
        self._is_on = True
        self._rest: bytes = b""

    @property
    def portion(self) -> int:
        """How many bytes to read at most: of anything but a progress stream, as many as there are."""
        return _PORTION if self._is_on and not self._in_head else _LARGE

    def feed(self, data: bytes) -> bytes:
        """Take what was received; gives what is to be read, which may be nothing yet."""
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
        """Give what is left at the end."""
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
        # The last chunk, one with extensions, one that is large already: from here on all goes as it comes.
        self._is_on = self._is_on and len(self._rest) < _LARGE
        return merged if self._is_on else merged + self.flush()


def _size(text: bytes) -> int:
    # Python would also read a sign, `0x` and underscores.
    return int(text, 16) if _SIZE.fullmatch(text) else 0


class MergingStream(httpcore.AsyncNetworkStream):
    """A connection on which the chunks of progress streams are merged."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._merger = ChunkCoalescer()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read; the empty text is the end."""
        while data := await self._stream.read(min(max_bytes, self._merger.portion), timeout):
            if merged := self._merger.feed(data):
                return merged
        return self._merger.flush()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write; an answer begins after each request."""
        self._merger = ChunkCoalescer()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Tell of the socket below."""
        return self._stream.get_extra_info(info)


class MergingBackend(httpcore.AsyncNetworkBackend):
    """Opens such connections."""

    def __init__(self) -> None:
        # httpcore hides its type behind an optional import.
        self._backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        return MergingStream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))
