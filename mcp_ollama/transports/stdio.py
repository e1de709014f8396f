"""How a host reaches us: two pipes, every protocol era in one process, signals, a clean end.

It stands in for the SDK's own stdio loop, which (mcp 2.3) refuses `initialize` after `server/discover`, loses answers
to requests sent just before the end of input, hangs on SIGINT, skips the clean-up on SIGTERM and says nothing to a
malformed line. Each message goes to the lane of its era; a lane is one `serve_dual_era_loop` of the SDK.

Run on Linux with CPython 3.11; on Windows and macOS nothing was run.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType
from typing import Any

import anyio
from anyio import from_thread, lowlevel
from anyio.abc import ObjectSendStream
from anyio.streams.memory import MemoryObjectSendStream
from mcp import types
from mcp.server import MCPServer
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.runner import serve_dual_era_loop
from mcp.server.subscriptions import ListenHandler
from mcp.shared.dispatcher import as_request_id
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import from_json

from mcp_ollama.transports.std_streams import Pipes

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 2**10
_LINE_LIMIT_BYTES = 64 * 2**20
_UNWRITTEN_LIMIT_BYTES = 256 * 2**10
_GRACE_SECONDS = 1.0  # from the end of input, for the calls under way
_FLUSH_SECONDS = 0.2
_CLEAN_UP_SECONDS, _SIGNALLED_CLEAN_UP_SECONDS = 1.0, 0.5
_EXIT_SECONDS, _SIGNALLED_EXIT_SECONDS = 3.0, 0.9  # for all of it

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LISTEN = "subscriptions/listen"  # the request whose answer is a stream
_Line = bytes | bytearray | None  # None stands for a line over the limit


def serve(server: MCPServer[Any], pipes: Pipes, *, notifications: NotificationOptions | None = None) -> int:
    """Serve until the host leaves or a signal comes: the last thing that a process does, in its main thread.

    Its signal handlers stay, and once the end has begun the process is gone within seconds, even if a thread hangs.

    Args:
        server: What is served; its lifespan is entered once, for all eras together.
        pipes: What `claim` returned.
        notifications: The changes that the handshake announces (2025-11-25 and older).

    Returns:
        The exit status: 0 after the end of input or a broken stdout, 128 + n after signal n.
    """
    # Private, but the only way to what is served; the SDK's own documentation goes it.
    core = server._lowlevel_server  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def session() -> int:
        return await _Session(core, pipes, notifications).run()

    # All that is imported by now lives to the end; not to look at it again saves 0.15 s at exit.
    gc.freeze()
    return anyio.run(session)


class _Session:
    """A host's whole visit, from its first line to our exit status."""

    def __init__(self, core: Server[Any], pipes: Pipes, notifications: NotificationOptions | None) -> None:
        self._core = core
        self._incoming = pipes.incoming
        self._outbox = _Outbox(pipes.outgoing, on_broken=self._stop)
        self._handshake, self._modern = self._lanes = (_Lane(self._outbox), _Lane(self._outbox))
        self._init_options = core.create_initialization_options(notifications)
        entry = core.get_request_handler(_LISTEN)
        self._listener = entry.handler if entry and isinstance(entry.handler, ListenHandler) else None
        self._conversation = anyio.CancelScope()
        self._loop = asyncio.get_running_loop()
        self._deadlines: SimpleQueue[float] = SimpleQueue()
        self._status = 0

    async def run(self) -> int:
        _start_thread(self._end_process)
        _start_thread(self._heed_signals, _signals())
        with anyio.CancelScope() as clean_up:
            async with self._core.lifespan(self._core) as state:
                with self._conversation:
                    await self._converse(state)
                # Set from inside: a scope around the exit alone would cross those that the lifespan holds.
                limit = _SIGNALLED_CLEAN_UP_SECONDS if self._status else _CLEAN_UP_SECONDS
                clean_up.deadline = anyio.current_time() + limit
        if clean_up.cancelled_caught:
            logger.warning("The clean-up took too long and was cut off")
        with anyio.move_on_after(_FLUSH_SECONDS):
            while self._outbox.unwritten:
                await self._outbox.moved.wait()
        return self._status

    async def _converse(self, state: object) -> None:
        loop = partial(serve_dual_era_loop, lifespan_state=state, init_options=self._init_options)
        feed, batches = anyio.create_memory_object_stream[list[_Line]]()
        async with anyio.create_task_group() as loops:
            for lane in self._lanes:
                # A loop picks its era at its first request, so both can wait for theirs from the start.
                loops.start_soon(loop, self._core, lane.messages, lane)
            _start_thread(_read, self._incoming, feed, lowlevel.current_token())
            with feed, batches:
                async for lines in batches:
                    for line in lines:
                        if line is None or line.strip():
                            await self._take(line)
            self._deadlines.put(monotonic() + _EXIT_SECONDS)
            await self._wind_up()

    async def _take(self, line: _Line) -> None:
        try:
            await self._hand_over(_decode(line))
        except _RefusedError as refused:
            await self._outbox.send(refused.answer)

    async def _hand_over(self, message: types.JSONRPCMessage) -> None:
        lane = self._handshake
        match message:
            case types.JSONRPCRequest(id=request_id, method=method):
                lane = self._modern if _is_modern(message) else lane
                lane.owed[str(request_id)] = method
            case types.JSONRPCNotification(method="notifications/cancelled", params={"requestId": request_id}):
                lane = self._modern if str(request_id) in self._modern.owed else lane
                lane.owed.pop(str(request_id), None)
            case _:
                pass
        await lane.feed.send(SessionMessage(message))

    async def _wind_up(self) -> None:
        """Let calls finish, end the listen streams, and leave what is left for the SDK to cancel."""
        with anyio.move_on_after(_GRACE_SECONDS):
            while self._owed() > self._owed(_LISTEN):
                await self._outbox.moved.wait()
        self._outbox.block_no_more()
        with anyio.move_on_after(_FLUSH_SECONDS):
            while self._listener and self._owed(_LISTEN):
                self._listener.close()
                await self._outbox.moved.wait()
        for lane in self._lanes:
            lane.feed.close()

    def _owed(self, method: str | None = None) -> int:
        return sum(method in (None, owed) for lane in self._lanes for owed in lane.owed.values())

    def _heed_signals(self, signals: socket.socket) -> None:
        while True:
            signum = signals.recv(1)[0]
            if signum in _SIGNALS:
                self._on_signal(signum)

    def _on_signal(self, signum: int) -> None:
        if self._status or self._loop.is_closed():
            os._exit(128 + signum)
        self._status = 128 + signum
        self._deadlines.put(monotonic() + _SIGNALLED_EXIT_SECONDS)  # not from the loop, which may be blocked
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._deadlines.put(monotonic() + _EXIT_SECONDS)
        self._outbox.block_no_more()
        self._conversation.cancel()

    def _end_process(self) -> None:
        """End the process at the earliest deadline: a blocked loop or worker thread would keep it for ever."""
        deadline = self._deadlines.get()
        with suppress(Empty):
            while True:
                deadline = min(deadline, self._deadlines.get(timeout=max(0, deadline - monotonic())))
        os._exit(self._status)


class _Lane(ObjectSendStream[SessionMessage]):
    """One era: the streams that its SDK loop reads (`messages`) and writes (the lane itself), and what it owes."""

    def __init__(self, outbox: "_Outbox") -> None:
        self.owed: dict[str, str] = {}  # method by id, as text because 7 and "7" are one id to the SDK
        self.feed, self.messages = anyio.create_memory_object_stream[SessionMessage | Exception]()
        self._outbox = outbox

    async def send(self, item: SessionMessage) -> None:
        await self._outbox.send(item.message)
        if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
            self.owed.pop(str(item.message.id), None)

    async def aclose(self) -> None:
        """Keep the outbox, which belongs to both lanes."""


class _Outbox:
    """Messages on their way out, written by a thread of its own: a host that does not read blocks that alone."""

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self.unwritten = 0
        self._limit: float = _UNWRITTEN_LIMIT_BYTES
        self._frames: SimpleQueue[bytes] = SimpleQueue()
        self.moved = anyio.Event()  # replaced whenever more is written, or never will be
        self._broken = False
        self._on_broken = on_broken
        _start_thread(self._write, fd, asyncio.get_running_loop().call_soon_threadsafe)

    async def send(self, message: types.JSONRPCMessage) -> None:
        while self.unwritten > self._limit:
            await self.moved.wait()
        if self._broken:
            raise anyio.BrokenResourceError
        frame = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        self.unwritten += len(frame)
        self._frames.put(frame)

    def block_no_more(self) -> None:
        # What is sent at the end is little, and nobody may wait for the host any longer.
        self._limit = float("inf")
        self._on_written(0)

    def _on_written(self, size: int) -> None:
        self.unwritten -= size
        self.moved.set()
        self.moved = anyio.Event()

    def _on_failed(self) -> None:
        self._broken = True
        self._on_written(self.unwritten)
        self._on_broken()

    def _write(self, fd: int, call: Callable[..., object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for these any more
            try:
                while True:
                    frames = [self._frames.get()]
                    while not self._frames.empty():
                        frames.append(self._frames.get())
                    left = memoryview(b"".join(frames))
                    size = len(left)
                    while left:
                        left = left[os.write(fd, left) :]
                    call(self._on_written, size)
            except OSError:
                call(self._on_failed)


class _RefusedError(Exception):
    """A line that no lane can take."""

    def __init__(self, code: int, why: str, request_id: types.RequestId | None = None) -> None:
        self.answer = types.JSONRPCError(jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=why))


def _decode(line: _Line) -> types.JSONRPCMessage:
    if line is None:
        raise _RefusedError(types.INVALID_REQUEST, f"Message over {_LINE_LIMIT_BYTES} bytes")
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
        # The id of an answer is one of ours, and would name another request of the host's.
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


def _read(fd: int, feed: MemoryObjectSendStream[list[_Line]], token: lowlevel.EventLoopToken) -> None:
    """Hand over what the host sends, all the lines of a read at once, and then the end."""
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        # The conversation is over (two names for it), or being cancelled, or the host's terminal is gone.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, CancelledError, OSError):
            for lines in _batches(fd):
                from_thread.run(feed.send, lines, token=token)
        from_thread.run_sync(feed.close, token=token)


def _batches(fd: int) -> Iterator[list[_Line]]:
    held = bytearray()
    chunk = b"\n"
    while chunk:
        chunk = os.read(fd, _CHUNK_BYTES)
        head, *others = (chunk or b"\n").split(b"\n")  # the end of input ends the last line, too
        if len(held) <= _LINE_LIMIT_BYTES:
            held += head
        if others:
            *whole, tail = others
            yield [held if len(held) <= _LINE_LIMIT_BYTES else None, *whole]
            held = bytearray(tail)


def _signals() -> socket.socket:
    """Have signals written to a socket: a handler in Python waits for the next event of a loop that may be idle."""
    heard, told = socket.socketpair()
    told.settimeout(0)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    for signum in _SIGNALS:
        signal.signal(signum, _leave_to_the_socket)
    return heard


def _leave_to_the_socket(_signum: int, _frame: FrameType | None) -> None:
    """Have a handler at all, without which nothing is written."""


def _start_thread(target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()  # anyio's own threads would hold up the exit
