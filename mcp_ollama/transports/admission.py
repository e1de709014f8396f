"""Admission of the requests of one client: how many work at once, and how much of the others is held.

Responses, notifications and `ping` never wait here, so that a client can always answer and cancel.
"""

from collections import deque
from dataclasses import dataclass

from mcp import types

WORKING_LIMIT = 64
"""Requests at work; those that wait for a transfer, a load or a person do not count."""
OPEN_LIMIT = 1024
"""Requests without an answer, whatever they wait for."""
HELD_LIMIT_BYTES = 4 * 2**20
"""Requests that were read and wait for others; the rest waits unread."""

LISTEN = "subscriptions/listen"
"""The request whose answer is a stream."""
_ENTRY_BYTES = 500  # of a held request, beside its line


@dataclass(frozen=True, slots=True)
class Request:
    """A request before it is handled: what its admission needs to know, and its line."""

    key: tuple[bool, str]
    """Whether it is of the 2026-07-28 era, and its id as text, because 7 and "7" are one id to the SDK."""
    method: str
    tool: str | None
    line: bytes | bytearray


class Admission:
    """The requests of one client: those without an answer, and those held.

    Args:
        waiting_tools: Tools that wait for a transfer or a load.
    """

    def __init__(self, waiting_tools: frozenset[str]) -> None:
        self._waiting_tools = waiting_tools
        self._open: dict[tuple[bool, str], str] = {}
        self._working: set[tuple[bool, str]] = set()
        self._held: deque[Request] = deque()
        self._held_bytes = 0
        self.questions: set[str] = set()
        """Ids of requests that wait for a person: the client was asked, and has not answered."""

    @property
    def is_full(self) -> bool:
        """Whether so much is held that nothing further should be read."""
        return self._held_bytes > HELD_LIMIT_BYTES

    def admit(self, request: Request) -> bool:
        """Open a request, or hold it until others have been answered."""
        if self._can_open(request) and not (self._held and self._counts(request)):
            self._start(request)
            return True
        self._held.append(request)
        self._held_bytes += _size(request)
        return False

    def next_held(self) -> Request | None:
        """Open the oldest request that is held, if there is one and it may work now."""
        if not self._held or not self._can_open(self._held[0]):
            return None
        request = self._held.popleft()
        self._held_bytes -= _size(request)
        self._start(request)
        return request

    def is_open(self, key: tuple[bool, str]) -> bool:
        """Check whether a request waits for its answer."""
        return key in self._open

    def close(self, key: tuple[bool, str]) -> None:
        """Forget a request that was answered, or whose task has ended without an answer."""
        self._open.pop(key, None)
        self._working.discard(key)

    def drop_held(self, key: tuple[bool, str]) -> None:
        """Forget a request that was cancelled while it was held."""
        self._held = deque(request for request in self._held if request.key != key)
        self._held_bytes = sum(map(_size, self._held))

    def count(self, *, streams: bool) -> int:
        """Count the requests without an answer; the streams of changes, or all others."""
        counted = sum((method == LISTEN) == streams for method in self._open.values())
        return counted if streams else counted + len(self._held)

    def _can_open(self, request: Request) -> bool:
        if request.key in self._open or len(self._open) >= OPEN_LIMIT:
            return False
        return not self._counts(request) or len(self._working) - len(self.questions) < WORKING_LIMIT

    def _start(self, request: Request) -> None:
        self._open[request.key] = request.method
        if self._counts(request):
            self._working.add(request.key)

    def _counts(self, request: Request) -> bool:
        return request.method not in ("ping", LISTEN) and request.tool not in self._waiting_tools


def describe(message: types.JSONRPCRequest, line: bytes | bytearray) -> Request:
    """Describe a request for its admission."""
    params = message.params or {}
    tool: object = params.get("name") if message.method == "tools/call" else None
    key = (is_modern(message), str(message.id))
    return Request(key, message.method, tool if isinstance(tool, str) else None, line)


def is_modern(request: types.JSONRPCRequest) -> bool:
    """Check whether a request carries the envelope of 2026-07-28; `initialize` never does."""
    meta: object = (request.params or {}).get("_meta")
    return request.method != "initialize" and isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta


def _size(request: Request) -> int:
    return len(request.line) + _ENTRY_BYTES
