"""A server that sends exactly the given bytes, also those that no HTTP library would send."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

SILENCE = None
"""In place of an answer: the connection stays open and nothing comes."""


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Write an answer, whose length need not be true."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class RawServer:
    """The server: its address, the requests it received, and the number of connections."""

    base_url: str
    requests: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0


@asynccontextmanager
async def answering(
    *answers: bytes | None, keep_alive: bool = True, unasked: bool = False
) -> AsyncGenerator[RawServer]:
    """Serve the answers in turn, the last one again and again; unasked: without waiting for a request."""
    pending = list(answers)

    async def serve(stream: SocketStream) -> None:
        server.connections += 1
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            while True:
                try:
                    if not unasked:
                        server.requests.append(await _read_request(reader))
                except (anyio.IncompleteRead, anyio.BrokenResourceError):
                    return
                answer = pending.pop(0) if len(pending) > 1 else pending[0]
                if answer is None:
                    await anyio.sleep_forever()
                else:
                    await stream.send(answer)
                if not keep_alive:
                    return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        server = RawServer(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
        tasks.start_soon(listener.serve, serve)
        yield server
        tasks.cancel_scope.cancel()


async def until_connected(server: RawServer, times: int) -> None:
    """Wait until a number of clients have connected, and check that no more do in a thousand turns of the loop."""
    with anyio.fail_after(5):
        while server.connections < times:
            await anyio.lowlevel.checkpoint()
    for _ in range(1000):
        await anyio.lowlevel.checkpoint()
    assert server.connections == times


async def _read_request(reader: BufferedByteReceiveStream) -> bytes:
    head = await reader.receive_until(b"\r\n\r\n", 65_536)
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + b"\r\n\r\n" + await reader.receive_exactly(int(line.partition(b":")[2]))
    return head + b"\r\n\r\n"
