"""A small server on our transport, run as a child process: `python -m tests.support.echo_server`.

It reports events on stderr, one word a line.
"""
# ruff: noqa: E402, T201

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType

import anyio
from anyio import to_thread

from mcp_ollama.transports.std_streams import claim

pipes = claim()
logging.basicConfig(format="%(message)s")

# After claim(), as in the real server.
from mcp.server import MCPServer
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import Context

from mcp_ollama.transports.stdio import serve

print("planted at import", flush=True)
released = threading.Event()


@dataclass(slots=True)
class State:
    """The state that the tools share."""

    clean_up: str = "at once"
    cancelled: int = 0


@asynccontextmanager
async def lifespan(_: MCPServer[State]) -> AsyncGenerator[State]:
    """Clean up in the manner chosen by the tool `misbehave`."""
    state = State()
    yield state
    report_event("cleaning")
    try:
        if state.clean_up == "too long":
            await anyio.sleep_forever()
        if state.clean_up == "forever":
            await to_thread.run_sync(threading.Event().wait)
    except anyio.get_cancelled_exc_class():
        report_event("cut-off")
        raise
    report_event("cleaned")


async def echo(text: str) -> str:
    """Return the text."""
    return text


def release(_signum: int, _frame: FrameType | None) -> None:
    """Set the event that calls of `held` wait for."""
    released.set()


async def repeat(text: str, times: int) -> str:
    """Return a long text."""
    return text * times


async def held() -> str:
    """Answer once the process has received SIGUSR1."""
    report_event("held")
    await to_thread.run_sync(released.wait)
    return "released"


async def hold(ctx: Context[State]) -> str:
    """Wait to be cancelled."""
    await ctx.report_progress(1)
    report_event("holding")
    try:
        await anyio.sleep_forever()
    finally:
        ctx.request_context.lifespan_context.cancelled += 1
    return "never"


async def work() -> str:
    """Work until it is cancelled."""
    report_event("working")
    await anyio.sleep_forever()
    return "never"


async def cancelled(ctx: Context[State]) -> str:
    """Return how many calls of `hold` were cancelled."""
    return str(ctx.request_context.lifespan_context.cancelled)


async def ping(ctx: Context[State]) -> str:
    """Ask the host something meanwhile."""
    await ctx.session.send_ping()
    return "pong"


async def misbehave(clean_up: str, ctx: Context[State]) -> str:
    """Choose how the clean-up goes."""
    ctx.request_context.lifespan_context.clean_up = clean_up
    return clean_up


async def block() -> str:
    """Block the event loop forever."""
    report_event("blocking")
    threading.Event().wait()
    return "never"


async def signal_elsewhere() -> str:
    """Send SIGTERM to another thread, once the event loop is idle."""

    def deliver() -> None:
        # Anything that the test could send as a trigger would wake the loop.
        threading.Event().wait(0.1)
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=deliver, daemon=True).start()
    return "soon"


async def signal_otherwise() -> str:
    """Get a signal that is none of the transport's."""

    def report(_signum: int, _frame: FrameType | None) -> None:
        report_event("SIGUSR1")

    signal.signal(signal.SIGUSR1, report)
    signal.raise_signal(signal.SIGUSR1)
    return "still there"


async def noise() -> str:
    """Write to stdout in every way there is, and read from stdin."""
    print("planted print", flush=True)
    os.write(1, b"planted write\n")
    command = [sys.executable, "-S", "-c", "import sys; print('planted child'); print(repr(sys.stdin.read()))"]
    await to_thread.run_sync(lambda: subprocess.run(command, check=True))
    print("planted without a flush", end="")
    return "quiet"


def report_event(word: str) -> None:
    """Write an event to stderr."""
    os.write(2, f"{word}\n".encode())


def main() -> int:
    """Serve."""
    signal.signal(signal.SIGUSR1, release)
    server = MCPServer("echo", version="1", lifespan=lifespan)
    for tool in (
        echo,
        repeat,
        held,
        hold,
        work,
        cancelled,
        ping,
        misbehave,
        block,
        signal_elsewhere,
        signal_otherwise,
        noise,
    ):
        server.add_tool(tool)
    core = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    options = NotificationOptions(resources_changed=True)
    announcing = partial(core.create_initialization_options, options)
    core.create_initialization_options = announcing  # pyright: ignore[reportAttributeAccessIssue]
    return serve(core, pipes, waiting_tools=frozenset({"hold"}))


if __name__ == "__main__":
    sys.exit(main())
