"""Stdio transport for handshake (2025-11-25 and older) and stateless (2026-07-28) clients in one process.

It takes the place of `mcp.server.stdio`, which in mcp 2.3 does not stop on SIGINT (python-sdk#3551), loses responses at
the end of input (#2678), skips the clean-up on SIGTERM, does not answer malformed lines, and refuses `initialize` after
`server/discover`. Each message goes to one of two `serve_dual_era_loop` of the SDK, one for each era.

Run on Linux with CPython 3.11; not run on Windows and macOS.
"""

import asyncio
import logging
from functools import partial
from typing import Any

import anyio
from anyio.abc import ObjectSendStream
from mcp import types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.runner import serve_dual_era_loop
from mcp.server.subscriptions import ListenHandler
from mcp.shared.dispatcher import as_request_id
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import from_json

from mcp_ollama.transports import startup
from mcp_ollama.transports.shutdown import Shutdown
from mcp_ollama.transports.std_streams import Pipes
from mcp_ollama.transports.stdio_io import LINE_LIMIT_BYTES, Line, Outbox, read_lines

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0  # from the end of input, for the requests in progress
_FLUSH_SECONDS = 0.2
_CLEAN_UP_SECONDS, _SIGNALLED_CLEAN_UP_SECONDS = 1.0, 0.5
_EXIT_SECONDS, _SIGNALLED_EXIT_SECONDS = 3.0, 0.9  # for the whole shutdown

_LISTEN = "subscriptions/listen"  # the request whose answer is a stream


def serve(server: Server[Any], pipes: Pipes, *, notifications: NotificationOptions | None = None) -> int:
    """Serve until the end of input or a signal: the last thing that a process does, in its main thread.

    The signal handlers stay installed, and once the shutdown has begun the process ends within seconds, even when a
    thread hangs.

    Args:
        server: The server; its lifespan is entered once, for both eras together.
        pipes: The result of `claim`.
        notifications: The changes that the handshake announces (2025-11-25 and older).

    Returns:
        The exit status: 0 after the end of input or a broken stdout, 128 + n after signal n.
    """

    async def run_session() -> int:
        return await _Session(server, pipes, notifications).run()

    startup.freeze()
    return anyio.run(run_session)


class _Session:
    """One stdio session, from the first message to the exit status."""

    def __init__(self, server: Server[Any], pipes: Pipes, notifications: NotificationOptions | None) -> None:
        self._server = server
        self._incoming = pipes.incoming
        self._outbox = Outbox(pipes.outgoing, on_broken=self._stop)
        self._handshake, self._modern = self._eras = (_Era(self._outbox), _Era(self._outbox))
        self._init_options = server.create_initialization_options(notifications)
        entry = server.get_request_handler(_LISTEN)
        self._listener = entry.handler if entry and isinstance(entry.handler, ListenHandler) else None
        self._conversation = anyio.CancelScope()
        stop_soon = partial(asyncio.get_running_loop().call_soon_threadsafe, self._stop)
        self._shutdown = Shutdown(stop_soon, _SIGNALLED_EXIT_SECONDS)

    async def run(self) -> int:
        with anyio.CancelScope() as clean_up:
            async with self._server.lifespan(self._server) as state:
                with self._conversation:
                    await self._converse(state)
                # Set from inside: a scope around the exit alone would cross those that the lifespan holds.
                limit = _SIGNALLED_CLEAN_UP_SECONDS if self._shutdown.status else _CLEAN_UP_SECONDS
                clean_up.deadline = anyio.current_time() + limit
        if clean_up.cancelled_caught:
            logger.warning("The clean-up took too long and was cut off")
        await self._outbox.flush(_FLUSH_SECONDS)
        return self._shutdown.status

    async def _converse(self, state: object) -> None:
        loop = partial(serve_dual_era_loop, lifespan_state=state, init_options=self._init_options)
        async with anyio.create_task_group() as loops:
            for era in self._eras:
                # A loop chooses its era at its first request, so both can wait for theirs from the start.
                loops.start_soon(loop, self._server, era.messages, era)
            with read_lines(self._incoming) as batches:
                async for lines in batches:
                    for line in lines:
                        if line is None or line.strip():
                            await self._take(line)
            self._shutdown.exit_within(_EXIT_SECONDS)
            await self._drain()

    async def _take(self, line: Line) -> None:
        try:
            await self._route(_decode(line))
        except _RefusedError as refused:
            await self._outbox.send(refused.answer)

    async def _route(self, message: types.JSONRPCMessage) -> None:
        era = self._handshake
        match message:
            case types.JSONRPCRequest(id=request_id, method=method):
                era = self._modern if _is_modern(message) else era
                era.pending[str(request_id)] = method
            case types.JSONRPCNotification(method="notifications/cancelled", params={"requestId": request_id}):
                era = self._modern if str(request_id) in self._modern.pending else era
                era.pending.pop(str(request_id), None)
            case _:
                pass
        await era.feed.send(SessionMessage(message))

    async def _drain(self) -> None:
        """Let calls finish, end the listen streams, and leave the rest for the SDK to cancel."""
        with anyio.move_on_after(_GRACE_SECONDS):
            while self._count_pending() > self._count_pending(_LISTEN):
                await self._outbox.progress.wait()
        self._outbox.disable_backpressure()
        with anyio.move_on_after(_FLUSH_SECONDS):
            while self._listener and self._count_pending(_LISTEN):
                self._listener.close()
                await self._outbox.progress.wait()
        for era in self._eras:
            era.feed.close()

    def _count_pending(self, method: str | None = None) -> int:
        return sum(method in (None, pending) for era in self._eras for pending in era.pending.values())

    def _stop(self) -> None:
        self._shutdown.exit_within(_EXIT_SECONDS)
        self._outbox.disable_backpressure()
        self._conversation.cancel()


class _Era(ObjectSendStream[SessionMessage]):
    """Streams of the SDK loop of one era, which reads `messages` and sends to this object; its unanswered requests."""

    def __init__(self, outbox: Outbox) -> None:
        self.pending: dict[str, str] = {}  # method by id, as text because 7 and "7" are one id to the SDK
        self.feed, self.messages = anyio.create_memory_object_stream[SessionMessage | Exception]()
        self._outbox = outbox

    async def send(self, item: SessionMessage) -> None:
        await self._outbox.send(item.message)
        if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
            self.pending.pop(str(item.message.id), None)

    async def aclose(self) -> None:
        """Keep the outbox open, because both eras use it."""


class _RefusedError(Exception):
    """A line that is not a message."""

    def __init__(self, code: int, reason: str, request_id: types.RequestId | None = None) -> None:
        error = types.ErrorData(code=code, message=reason)
        self.answer = types.JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def _decode(line: Line) -> types.JSONRPCMessage:
    if line is None:
        raise _RefusedError(types.INVALID_REQUEST, f"Message over {LINE_LIMIT_BYTES} bytes")
    try:
        frame: dict[str, Any] | list[Any] | str | float | None = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise _RefusedError(types.PARSE_ERROR, f"Parse error: {error}") from error
    if not isinstance(frame, dict):
        raise _RefusedError(types.INVALID_REQUEST, "Not a single JSON-RPC message")
    kind = _kind_of(frame)
    try:
        return kind.model_validate(frame, by_name=False)
    except ValidationError as error:
        # The id of a response is one of the server's, and would name another request of the client's.
        request_id = as_request_id(frame.get("id")) if kind is types.JSONRPCRequest else None
        raise _RefusedError(types.INVALID_REQUEST, "Invalid request", request_id) from error


def _kind_of(frame: dict[str, Any]) -> type[types.JSONRPCMessage]:
    # The SDK's union of the four would take a request with a bad id for a notification, and never answer it.
    if "method" in frame:
        return types.JSONRPCRequest if "id" in frame else types.JSONRPCNotification
    if "result" in frame:
        return types.JSONRPCResponse
    return types.JSONRPCError if "error" in frame else types.JSONRPCRequest


def _is_modern(request: types.JSONRPCRequest) -> bool:
    meta: object = (request.params or {}).get("_meta")
    return request.method != "initialize" and isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta
