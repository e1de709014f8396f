"""Checks of each HTTP request before it reaches the SDK: its Host, its Origin, the message in its body.

A web page can send requests to this machine, also under a name of its own that it points here (DNS rebinding). So Host
has to be a name of this server, and Origin the same place as Host. All paths are checked, not only the endpoint.
"""

import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import anyio
import anyio.lowlevel
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_ollama.transports.jsonrpc import LINE_LIMIT_BYTES, STRUCTURE_LIMIT, InvalidLineError, count_structure, decode

PATH = "/mcp"
_ACCEPTED = "application/json, text/event-stream"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SITES = frozenset({"none", "same-origin"})
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_NEXT_STEP = ". If the name is one of this server's, add it to MCP_OLLAMA_HTTP_HOSTS."
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


class Place(NamedTuple):
    """A host name or address in lower case without brackets, and a port if one is named."""

    name: str
    port: int | None


class Guard:
    """ASGI middleware that refuses requests of foreign pages and under foreign names.

    Args:
        app: The application behind it.
        names: The names and addresses where the server listens.
        port: The port where it listens.
        further: What the operator names: host names of proxies, and `host:port` of pages that may send requests.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], port: int, further: Iterable[str] = ()) -> None:
        self._app = app
        self._port = port
        self._turn = anyio.Lock(fast_acquire=True)
        self._further = frozenset(filter(None, map(parse_place, map(_bracketed, further))))
        own = {name.lower() for name in names}
        if own & {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            own |= _names_of_this_machine()
        self._names = own | set(_LOOPBACK_NAMES) | {place.name for place in self._further}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] == "http":
            if refusal := self._refusal(Headers(scope=scope)):
                await refusal(scope, receive, send)
                return
            # One request starts per turn of the event loop: hundreds at once would block it for seconds.
            async with self._turn:
                await anyio.lowlevel.checkpoint()
            scope = _normalize(scope)
            if scope["method"] == "POST":
                body = _Body(receive, send)
                receive, send = body.receive, body.send
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        host = parse_place(headers.get("host", ""))
        if host is None or host.name not in self._names:
            return PlainTextResponse(f"Invalid Host header{_NEXT_STEP}", 421)
        if not _SITES.issuperset(headers.getlist("sec-fetch-site")):
            return PlainTextResponse("Requests of pages of other sites are refused", 403)
        if not all(self._is_own_origin(origin, host) for origin in headers.getlist("origin")):
            return PlainTextResponse(f"Invalid Origin header{_NEXT_STEP}", 403)
        return None

    def _is_own_origin(self, origin: str, host: Place) -> bool:
        scheme, _, rest = origin.partition("://")
        place = parse_place(rest)
        if place is None or scheme not in _DEFAULT_PORTS or place.name not in self._names:
            return False
        default = _DEFAULT_PORTS[scheme]
        port = place.port or default
        if port == self._port or port == (host.port or default):
            return True
        # A proxy with a name of its own listens on the usual port, whatever ours is.
        further = Place(place.name, port) in self._further
        return further or (port == default and Place(place.name, None) in self._further)


def parse_place(text: str) -> Place | None:
    """Parse `host` or `host:port`, an IPv6 address in brackets; None when it is anything else."""
    found = _HOST.fullmatch(text)
    if not found:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 2**16:
        return None
    return Place((found["v6"] or found["name"]).lower(), port)


def in_url(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if host.count(":") > 1 else host


def _bracketed(text: str) -> str:
    return text if text.startswith("[") else in_url(text)


def _normalize(scope: Scope) -> Scope:
    """Return the request with the path that the endpoint has, and with an Accept that the SDK takes.

    Real clients send none, or `*/*`; the transport of MCP answers with both types.
    """
    headers = MutableHeaders(raw=list(scope["headers"]))
    if headers.get("accept", "*/*").strip() == "*/*":
        headers["accept"] = _ACCEPTED
    path = PATH if scope["path"] == f"{PATH}/" else scope["path"]
    return {**scope, "path": path, "raw_path": path.encode(), "headers": headers.raw}


class _Body:
    """A message in a request body, decoded as over stdio, so that no request waits for an answer in vain.

    The SDK would take a request whose id is 5.0 for a notification, and refuse half a surrogate pair. It would also
    parse a body with any number of values: 4 MB of `[]` take 90 MB.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._refusal: Response | None = None
        self._is_read = False

    async def receive(self) -> Message:
        """Receive the whole message, or nothing where it is refused; the SDK refuses one that is too long."""
        if self._is_read:
            return await self._receive()
        self._is_read = True
        content, more = bytearray(), True
        while more and len(content) <= LINE_LIMIT_BYTES:
            message = await self._receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        body = bytes(content) if len(content) > LINE_LIMIT_BYTES else self._decode(content)
        return {"type": "http.request", "body": body, "more_body": more}

    def _decode(self, content: bytearray) -> bytes:
        if count_structure(content) > STRUCTURE_LIMIT:
            self._refusal = PlainTextResponse("Request body with too many values", 413)
            return b""
        try:
            return decode(content).model_dump_json(by_alias=True, exclude_unset=True).encode()
        except InvalidLineError as invalid:
            answer = invalid.answer.model_dump_json(by_alias=True, exclude_unset=True)
            self._refusal = Response(answer, 400, media_type="application/json")
            return b""

    async def send(self, message: Message) -> None:
        """Send a part of the answer, in place of which a refusal is sent once."""
        if self._refusal is None:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._refusal({"type": "http"}, self._receive, self._send)


def _names_of_this_machine() -> set[str]:
    name = socket.gethostname().lower()
    names = {name, f"{name}.local"}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing: only finds out from which address a packet would leave.
        probe.connect(("192.0.2.1", 9))
        names.add(probe.getsockname()[0])
    return names
