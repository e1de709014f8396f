"""HTTP request and its response."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mcp_ollama.simulator.wire import Refusal, encode

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"
TEXT = "text/plain"
_NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Request that a client has sent."""

    method: str
    path: str
    body: object
    headers: Mapping[str, str]
    query: str = ""


class Exchange:
    """Request with its whole body, and the ways to respond."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.body = body
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        # Joined where a name occurs more than once, as servers do (RFC 9110, 5.2).
        self.headers: dict[str, str] = {}
        for name, text in ((name.decode("latin-1"), text.decode("latin-1")) for name, text in scope["headers"]):
            self.headers[name] = f"{self.headers[name]}, {text}" if name in self.headers else text
        self.variables: Mapping[str, str] = {}

    async def reply(self, content: bytes = b"", status: int = 200, media_type: str = "", **extra: str) -> None:
        """Send a whole response; an empty media type sends no such header."""
        headers = {name.replace("_", "-"): value for name, value in extra.items()}
        if media_type:
            headers["content-type"] = media_type
        await self.send_response(Response(content, status, headers))

    async def send_response(self, response: Response) -> None:
        """Send a prepared response."""
        await response(self.scope, self._receive, self._send)

    async def json(self, document: object, status: int = 200, media_type: str = JSON) -> None:
        """Send a JSON document."""
        await self.reply(encode(document), status, media_type)

    async def begin(self, media_type: str = _NDJSON) -> None:
        """Start a streamed response."""
        headers = [(b"content-type", media_type.encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def chunk(self, data: bytes, *, last: bool = False) -> None:
        """Send a chunk of a streamed response."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


class Stream:
    """Progress lines sent to a client; with `stream: false` only the last one."""

    def __init__(self, exchange: Exchange, *, streamed: bool) -> None:
        self._exchange = exchange
        self._streamed = streamed
        self._begun = False
        self._last: object = None

    async def line(self, **fields: object) -> None:
        """Send a line."""
        self._last = fields
        await self.raw(encode(fields) + b"\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self._streamed:
            return
        if not self._begun:
            self._begun = True
            await self._exchange.begin()
        await self._exchange.chunk(data)

    async def run(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job that sends lines, and end the response as Ollama does."""
        try:
            await job()
        except Refusal as refusal:
            if not self._begun:
                await self._exchange.json(refusal.document, refusal.status, PLAIN_JSON)
                return
            await self.line(**refusal.document)
        if self._begun:
            await self._exchange.chunk(b"", last=True)
        else:
            await self._exchange.json(self._last, media_type=PLAIN_JSON)
