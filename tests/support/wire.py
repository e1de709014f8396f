"""Drive a child process that speaks JSON-RPC, one message a line, with nothing in between: every byte counts.

Every wait has an end: a frame, an exit that does not come in time is a failed assertion that shows the child's stderr.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, Queue
from typing import Any, Self

from tests.conformance import schemas
from tests.support.fork import Forked

Frame = dict[str, Any]

TIMEOUT_SECONDS = 50.0
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
ENVELOPE: Frame = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def request(request_id: object, method: str, params: Mapping[str, Any] | None = None, *, modern: bool = False) -> Frame:
    """Build a request; a modern one carries the envelope of 2026-07-28."""
    frame: Frame = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": dict(params or {})}
    if modern:
        frame["params"]["_meta"] = {**ENVELOPE, **frame["params"].get("_meta", {})}
    return frame


def call(request_id: object, tool: str, *, modern: bool = False, token: object = None, **arguments: object) -> Frame:
    """Build a `tools/call`; with a token it asks for progress."""
    meta = {} if token is None else {"_meta": {"progressToken": token}}
    return request(request_id, "tools/call", {"name": tool, "arguments": arguments, **meta}, modern=modern)


def notification(method: str, **params: object) -> Frame:
    """Build a notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def initialize(version: str = HANDSHAKE, request_id: object = "init") -> Frame:
    """Build the opening of a handshake."""
    client = {"name": "wire", "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    return request(request_id, "initialize", params)


class Wire:
    """A child process and its three pipes; its stdout is not read before the first message is asked for.

    Args:
        command: The command line.
        forked: Whether Python runs in a fork, which has the SDK imported already; see `Forked`.
        options: For `subprocess.Popen`: `env`, `cwd`, other files for stdin, stdout or stderr; for a fork `env` alone.
    """

    def __init__(self, command: Sequence[str], *, forked: bool = False, **options: Any) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        start = Forked if forked else partial(subprocess.Popen[bytes], **pipes)
        self.process = start(command, **options)
        self._frames: Queue[bytes | None] = Queue()
        self._asked: dict[object, tuple[str, bool]] = {}  # method and era of each request
        self._version = HANDSHAKE
        self._errors = bytearray()
        self._more_errors = threading.Condition()
        self._reader = threading.Thread(target=self._collect_frames, daemon=True)
        self._listener = threading.Thread(target=self._collect_errors, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process if it still runs, and let go of it."""
        self.process.kill()
        self.process.wait(TIMEOUT_SECONDS)
        for thread in (self._reader, self._listener):
            if thread.ident:
                thread.join(TIMEOUT_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                # What the child did not take any more was still to be flushed.
                with suppress(BrokenPipeError):
                    pipe.close()

    def send(self, *frames: Frame) -> None:
        """Send messages, all in one write."""
        for frame in frames:
            if "id" in frame and "method" in frame:
                meta = frame["params"].get("_meta", {})
                modern = ENVELOPE.keys() <= meta.keys() and frame["method"] != "initialize"
                self._asked[frame["id"]] = frame["method"], modern
        self.send_lines(*map(json.dumps, frames))

    def send_lines(self, *lines: str | bytes) -> None:
        """Send lines as they are."""
        self.send_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, timeout: float = TIMEOUT_SECONDS) -> Frame:
        """Return the next message; it is an error if there is none in time, or if it is anything but a message."""
        line = self._next_line(timeout)
        assert line is not None, f"end of output\n{self.errors}"
        return self._parse(line)

    def answers(self, *request_ids: object, timeout: float = TIMEOUT_SECONDS) -> list[Frame]:
        """Return the answers to these requests, in this order; what comes in between is passed over."""
        found: dict[object, Frame] = {}
        deadline = time.monotonic() + timeout
        while not found.keys() >= set(request_ids):
            frame = self.read(max(0.0, deadline - time.monotonic()))
            if "method" not in frame:
                found[frame["id"]] = frame
        return [found[request_id] for request_id in request_ids]

    def ask(self, frame: Frame, timeout: float = TIMEOUT_SECONDS) -> Frame:
        """Send a request and return its answer."""
        self.send(frame)
        return self.answers(frame["id"], timeout=timeout)[0]

    def shake_hands(self, version: str = HANDSHAKE) -> Frame:
        """Open a connection the way of 2025-11-25 and before, and return the result of `initialize`."""
        answer = self.ask(initialize(version))
        self.send(notification("notifications/initialized"))
        result: Frame = answer["result"]
        return result

    def rest(self, timeout: float = TIMEOUT_SECONDS) -> list[Frame]:
        """Return all that is still sent, up to the end of output."""
        frames: list[Frame] = []
        while (line := self._next_line(timeout)) is not None:
            frames.append(self._parse(line))
        return frames

    def close_input(self) -> None:
        """Close the input of the child."""
        assert self.process.stdin
        self.process.stdin.close()

    def close_output(self) -> None:
        """Stop listening: what the child writes from now on fails. Only before anything is read."""
        assert self.process.stdout
        assert not self._reader.ident
        self.process.stdout.close()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(signum)

    def wait(self, timeout: float = TIMEOUT_SECONDS) -> int:
        """Wait for the end of the process and return its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s\n{self.errors}") from None

    @property
    def errors(self) -> str:
        """The stderr of the child so far; all of it once it has ended."""
        if self.process.poll() is not None:
            self._listener.join(TIMEOUT_SECONDS)
        return self._errors.decode(errors="replace")

    def hear(self, text: str, timeout: float = TIMEOUT_SECONDS) -> None:
        """Wait until the child has written this to stderr."""
        with self._more_errors:
            found = self._more_errors.wait_for(lambda: text.encode() in self._errors, timeout)
        assert found, f"no {text!r} in {timeout} s\n{self.errors}"

    def _parse(self, line: bytes) -> Frame:
        """Read a message, and hold it against the schema of its revision."""
        frame = parse(line)
        if "method" in frame:
            # Only the older revisions have requests of the server; of a notification nothing says to which it belongs.
            schemas.check(frame, (self._version,) if "id" in frame else (self._version, MODERN))
            return frame
        method, modern = self._asked.get(frame["id"], ("", False))
        if method == "initialize" and "result" in frame:
            self._version = frame["result"]["protocolVersion"]
        # The older revisions have no place for an error that belongs to no request.
        handshake = self._version if frame["id"] is not None else HANDSHAKE
        schemas.check(frame, (MODERN if modern else handshake,), method)
        return frame

    def _next_line(self, timeout: float) -> bytes | None:
        if not self._reader.ident:
            self._reader.start()
        try:
            return self._frames.get(timeout=timeout)
        except Empty:
            raise AssertionError(f"no message in {timeout:.1f} s\n{self.errors}") from None

    def _collect_frames(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._frames.put(line)
        self._frames.put(None)

    def _collect_errors(self) -> None:
        while self.process.stderr and (chunk := os.read(self.process.stderr.fileno(), 65_536)):
            with self._more_errors:
                self._errors += chunk
                self._more_errors.notify_all()


def parse(line: bytes) -> Frame:
    """Return the message of one line of output, which must be nothing else and end in a bare newline."""
    assert line.endswith(b"\n"), line
    assert not line.endswith(b"\r\n"), line
    frame: Frame = json.loads(line)
    assert frame["jsonrpc"] == "2.0", line
    return frame
