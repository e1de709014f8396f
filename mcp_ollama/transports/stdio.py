"""Stdio transport for handshake (2025-11-25 and older) and stateless (2026-07-28) clients in one process.

It takes the place of `mcp.server.stdio`, which in mcp 2.3 does not stop on SIGINT (python-sdk#3551), loses responses at
the end of input (#2678), skips the clean-up on SIGTERM, does not answer malformed lines, and refuses `initialize` after
`server/discover`. Each message goes to one of two `serve_dual_era_loop` of the SDK, one for each era.

Run on Linux with CPython 3.11; not run on Windows and macOS.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from anyio.abc import ObjectSendStream
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from mcp_ollama.transports import startup
from mcp_ollama.transports.admission import Admission, describe
from mcp_ollama.transports.jsonrpc import InvalidLineError, decode
from mcp_ollama.transports.shutdown import Shutdown, find_listen_handler
from mcp_ollama.transports.std_streams import Pipes
from mcp_ollama.transports.stdio_io import Line, Outbox, read_lines

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0  # from the end of input, for the requests in progress
_FLUSH_SECONDS = 0.2
_CLEAN_UP_SECONDS, _SIGNALLED_CLEAN_UP_SECONDS = 1.0, 0.5
_EXIT_SECONDS, _SIGNALLED_EXIT_SECONDS = 3.0, 0.9  # for the whole shutdown


def serve(server: Server[Any], pipes: Pipes, *, waiting_tools: frozenset[str] = frozenset()) -> int:
    """Serve until the end of input or a signal: the last thing that a process does, in its main thread.

    The signal handlers stay installed, and once the shutdown has begun the process ends within seconds, even when a
    thread hangs.

    Args:
        server: The server; its lifespan is entered once, for both eras together.
        pipes: The result of `claim`.
        waiting_tools: Tools that wait for a transfer or a load, and so do not count as requests at work.

    Returns:
        The exit status: 0 after the end of input or a broken stdout, 128 + n after signal n.
    """
    admission = Admission(waiting_tools)

    async def run_session() -> int:
        return await _Session(server, pipes, admission).run()

    startup.freeze()
    return anyio.run(run_session)


class _Session:
    """One stdio session, from the first message to the exit status."""

    def __init__(self, server: Server[Any], pipes: Pipes, admission: Admission) -> None:
        self._server = server
        self._incoming = pipes.incoming
        self._outbox = Outbox(pipes.outgoing, on_broken=self._stop)
        self._admission = admission
        self._closed = anyio.Event()  # replaced whenever a request has been answered or cancelled
        self._eras = [_Era(modern, self._outbox, self._on_sent) for modern in (False, True)]
        self._init_options = server.create_initialization_options()
        self._listener = find_listen_handler(server)
        self._conversation = anyio.CancelScope()
        self._holding = anyio.CancelScope()
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
        async with anyio.create_task_group() as tasks:
            for era in self._eras:
                # A loop chooses its era at its first request, so both can wait for theirs from the start.
                tasks.start_soon(loop, self._server, era.messages, era)
            tasks.start_soon(self._handle_held)
            with read_lines(self._incoming) as batches:
                async for lines in batches:
                    for line in lines:
                        if line.strip():
                            await self._take(line)
            self._shutdown.exit_within(_EXIT_SECONDS)
            await self._drain()

    async def _take(self, line: Line) -> None:
        try:
            message = decode(line)
        except InvalidLineError as invalid:
            await self._outbox.send(invalid.answer)
            return
        if isinstance(message, types.JSONRPCRequest):
            if self._admission.admit(request := describe(message, line)):
                await self._feed(message, request.key)
            while self._admission.is_full:
                await self._closed.wait()
        else:
            await self._eras[self._note(message)].feed.send(SessionMessage(message))

    def _note(self, message: types.JSONRPCMessage) -> bool:
        """Register what a notification or a response ends; return whether it belongs to the 2026-07-28 era."""
        match message:
            case types.JSONRPCNotification(method="notifications/cancelled", params={"requestId": request_id}):
                modern = self._admission.is_open((True, str(request_id)))
                self._admission.drop_held((modern, str(request_id)))
                self._announce_closed()
                return modern
            case types.JSONRPCResponse() | types.JSONRPCError():
                self._admission.questions.discard(str(message.id))
                self._announce_closed()
            case _:
                pass
        return False

    async def _handle_held(self) -> None:
        """Handle the requests that were held, each as soon as it may work."""
        with self._holding:
            while True:
                while request := self._admission.next_held():
                    await self._feed(decode(request.line), request.key)
                await self._closed.wait()

    async def _feed(self, message: types.JSONRPCMessage, key: tuple[bool, str]) -> None:
        async def close() -> None:
            self._close(key)

        # A cancelled request stays open until its task has ended, which may wait for a client that does not read.
        await self._eras[key[0]].feed.send(SessionMessage(message, ServerMessageMetadata(on_request_unanswered=close)))

    def _on_sent(self, message: types.JSONRPCMessage, modern: bool) -> None:  # noqa: FBT001
        match message:
            case types.JSONRPCResponse() | types.JSONRPCError():
                self._close((modern, str(message.id)))
            case types.JSONRPCRequest():
                self._admission.questions.add(str(message.id))
                self._announce_closed()
            case types.JSONRPCNotification(method="notifications/cancelled", params={"requestId": request_id}):
                self._admission.questions.discard(str(request_id))
            case _:
                pass

    def _close(self, key: tuple[bool, str]) -> None:
        self._admission.close(key)
        self._announce_closed()

    def _announce_closed(self) -> None:
        self._closed.set()
        self._closed = anyio.Event()

    async def _drain(self) -> None:
        """Wait for calls, end the listen streams, and leave the rest for the SDK to cancel."""
        with anyio.move_on_after(_GRACE_SECONDS):
            while self._admission.count(streams=False):
                await self._closed.wait()
        self._outbox.disable_backpressure()
        with anyio.move_on_after(_FLUSH_SECONDS):
            while self._listener and self._admission.count(streams=True):
                self._listener.close()
                await self._closed.wait()
        self._holding.cancel()
        for era in self._eras:
            era.feed.close()

    def _stop(self) -> None:
        self._shutdown.exit_within(_EXIT_SECONDS)
        self._outbox.disable_backpressure()
        self._conversation.cancel()


class _Era(ObjectSendStream[SessionMessage]):
    """Streams of the SDK loop of one era, which reads `messages` and sends to this object."""

    def __init__(self, modern: bool, outbox: Outbox, on_sent: Callable[[types.JSONRPCMessage, bool], None]) -> None:  # noqa: FBT001
        self.feed, self.messages = anyio.create_memory_object_stream[SessionMessage | Exception]()
        self._modern = modern
        self._outbox = outbox
        self._on_sent = on_sent

    async def send(self, item: SessionMessage) -> None:
        await self._outbox.send(item.message)
        self._on_sent(item.message, self._modern)

    async def aclose(self) -> None:
        """Keep the outbox open, because both eras use it."""
