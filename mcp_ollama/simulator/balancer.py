"""A balancer in front of several servers: plain round robin, or Olla, which refuses to manage models.

A Kubernetes Service and nginx send each request to the next server. Olla (200c24f, `handler_provider_ollama.go`)
merges `/api/tags`, answers management with 501, sends all else to one of its servers and names it in `X-Olla-*`.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mcp_ollama.simulator.server import ThreadedServer

_MANAGEMENT = "model management operations not supported by proxy\n"
OLLA_REFUSALS: Mapping[str, str] = {
    "/api/show": "model show not supported in multi-instance proxy\n",
    "/api/list": "running models list not supported in multi-instance proxy\n",
    **dict.fromkeys(("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete"), _MANAGEMENT),
}
"""The paths that Olla answers with 501, and its texts."""

_CHUNK = 65_536
_HOP_BY_HOP = (b"connection", b"transfer-encoding", b"content-length", b"host")


@contextmanager
def serve_balancer(members: Sequence[str], *, olla: bool = False) -> Generator[str]:
    """Serve a balancer on a free port of loopback.

    Args:
        members: Base URLs of the servers behind it.
        olla: Answer as Olla does.

    Yields:
        The base URL of the balancer.
    """
    server = ThreadedServer(Balancer(members, olla=olla), 0)
    try:
        yield server.base_url
    finally:
        server.end()
        server.join()


class Balancer:
    """The ASGI application of a balancer.

    Args:
        members: Base URLs of the servers behind it.
        olla: Answer as Olla does.
    """

    def __init__(self, members: Sequence[str], *, olla: bool) -> None:
        self._members = members
        self._next = itertools.cycle(members)
        self._olla = olla

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response = await (self._as_olla(request) if self._olla else _forward(request, next(self._next)))
        await response(scope, receive, send)

    async def _as_olla(self, request: Request) -> Response:
        if refusal := OLLA_REFUSALS.get(request.url.path):
            return Response(refusal, 501, media_type="text/plain")
        if request.url.path == "/api/tags":
            response = await self._merged_tags(request)
        else:
            response = await _forward(request, next(self._next))
        response.headers["x-olla-endpoint"] = "gpu-a"
        response.headers["x-olla-backend-type"] = "ollama"
        return response

    async def _merged_tags(self, request: Request) -> Response:
        models: dict[str, Any] = {}
        for member in self._members:
            body = b"".join([chunk async for chunk in (await _exchange(request, member)).chunks])
            models |= {row["name"]: row for row in json.loads(body)["models"]}
        return Response(json.dumps({"models": list(models.values())}), media_type="application/json; charset=utf-8")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: AsyncGenerator[bytes]


async def _forward(request: Request, member: str) -> Response:
    answer = await _exchange(request, member)
    response = StreamingResponse(answer.chunks, answer.status)
    response.raw_headers = answer.headers
    return response


async def _exchange(request: Request, member: str) -> _Answer:
    """Send a request to a server on a connection of its own, and return the answer while its body comes in."""
    address = urlsplit(member)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    connection = h11.Connection(h11.CLIENT)
    body = await request.body()
    headers = [pair for pair in request.headers.raw if pair[0] not in _HOP_BY_HOP]
    headers += [
        (b"host", address.netloc.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    target = request.url.path.encode()
    for event in (
        h11.Request(method=request.method, target=target, headers=headers),
        h11.Data(body),
        h11.EndOfMessage(),
    ):
        writer.write(connection.send(event) or b"")
    head = await _next_event(connection, reader)
    assert isinstance(head, h11.Response)
    kept = [pair for pair in head.headers if pair[0] not in _HOP_BY_HOP]
    return _Answer(head.status_code, kept, _body(connection, reader, writer))


async def _body(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncGenerator[bytes]:
    try:
        while isinstance(event := await _next_event(connection, reader), h11.Data):
            yield bytes(event.data)
    finally:
        writer.close()


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_CHUNK))
    return event
