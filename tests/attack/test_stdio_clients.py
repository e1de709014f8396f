"""Hostile hosts over stdio: those that write and do not read, and those that write absurd lines."""

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from itertools import count, islice
from typing import Any

import pytest

from tests.attack.measure import ANSWER_SECONDS, Record, Victim, victim
from tests.support.wire import Wire, call, initialize, notification, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
full = pytest.mark.skipif(not os.environ.get("ATTACK"), reason="make attack runs it")

SECONDS = 3.0
FRAMES_PER_WRITE = 100
COPIES = 150
MODELS = "ollama://models"


Flood = Callable[[int], list[dict[str, Any]]]


def _changes(number: int) -> list[dict[str, Any]]:
    followed = {"notifications": {"resourceSubscriptions": [MODELS], "resourcesListChanged": True}}
    if number == 0:
        stream = request("stream", "subscriptions/listen", followed, modern=True)
        return [request("followed", "resources/subscribe", {"uri": MODELS}), stream]
    if number < COPIES:
        return [call(f"n{number}", "copy_model", source="kept", destination=f"copy-{number}")]
    return [request(f"n{number}", "ping")]


FLOODS: dict[str, Flood] = {
    "tools/list": lambda n: [request(f"n{n}", "tools/list", modern=True)],
    "both eras": lambda n: [request(f"n{n}", "tools/list"), request(f"n{n}", "tools/list", modern=True)],
    "cancelled calls": lambda n: [
        request(f"n{n}", "tools/list", modern=True),
        notification("notifications/cancelled", requestId=f"n{n}"),
    ],
    "ping": lambda n: [request(f"n{n}", "ping")],
    "notifications": lambda n: [notification("notifications/cancelled", requestId=f"n{n}")],
    "changes that it follows": _changes,
}
ENDLESS_FLOODS: dict[str, Flood] = {
    "pulls that wait": lambda n: [call(f"n{n}", "pull_model", model="pulled", wait_seconds=3600, modern=True)],
    "streams of changes": lambda n: [request(f"n{n}", "subscriptions/listen", {"notifications": {}}, modern=True)],
}


@pytest.fixture
def unread(record_property: Record) -> Generator[Victim]:
    """A server whose output is read by `read_until` only, with a pull in progress."""
    with victim(record_property) as attacked:
        wire = attacked.wire
        wire.send(
            initialize(),
            notification("notifications/initialized"),
            call("pull", "pull_model", model="pulled", wait_seconds=0),
        )
        read_until(wire, b'"id":"pull"')
        attacked.begin()
        yield attacked


@full
@pytest.mark.parametrize("flood", FLOODS)
def test_stdio_flood_without_reading_is_answered_when_read_again(unread: Victim, flood: str):
    write_without_reading(unread.wire, FLOODS[flood])
    read_until(unread.wire, b'"id":"last"')
    unread.assert_within_limits(f"stdio flood: {flood}")


@full
@pytest.mark.parametrize("flood", ENDLESS_FLOODS)
def test_stdio_flood_without_an_end_costs_bounded_memory(unread: Victim, flood: str):
    write_without_reading(unread.wire, ENDLESS_FLOODS[flood])
    unread.assert_within_limits(f"stdio flood: {flood}")


def write_without_reading(wire: Wire, flood: Flood) -> None:
    """Write frames until the time is over; at the end of them a thread goes on to write a ping."""
    assert wire.process.stdin
    # A copy of the descriptor: the thread may still write when the test closes its own.
    fd = os.dup(wire.process.stdin.fileno())
    over = threading.Event()

    def write() -> None:
        numbers = count()
        with os.fdopen(fd, "wb", buffering=0) as stdin, suppress(BrokenPipeError):
            while not over.is_set():
                frames = [frame for number in islice(numbers, FRAMES_PER_WRITE) for frame in flood(number)]
                stdin.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))
            stdin.write(json.dumps(request("last", "ping")).encode() + b"\n")

    threading.Thread(target=write, daemon=True).start()
    over.wait(SECONDS)
    over.set()


def read_until(wire: Wire, text: bytes) -> None:
    """Read what a server writes, as it comes, up to a text."""
    assert wire.process.stdout
    fd = wire.process.stdout.fileno()
    deadline = time.monotonic() + ANSWER_SECONDS
    read = b""
    while text not in read:
        assert select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], f"no {text!r}\n{wire.errors}"
        read = read[-len(text) :] + os.read(fd, 65_536)


@pytest.fixture
def stdio(record_property: Record) -> Generator[Victim]:
    with victim(record_property) as attacked:
        attacked.start_pull()
        yield attacked


VALUES: dict[str, Callable[[], bytes]] = {
    "45 MB of []": lambda: b",".join([b"[]"] * 15_000_000),
    "4 MB of []": lambda: b",".join([b"[]"] * 1_390_000),
    "4 MB of objects": lambda: b",".join([b'{"":0}'] * 590_000),
    "4 MB of text": lambda: b'"' + b"\\ud83d" * 690_000 + b'"',
    "4 MB of digits": lambda: b"1" * 4_190_000,
}


@pytest.mark.parametrize("name", [one if one == "4 MB of text" else pytest.param(one, marks=full) for one in VALUES])
def test_stdio_line_of_many_values_is_answered_at_once(stdio: Victim, name: str):
    line = b'{"jsonrpc":"2.0","id":"big","method":"ping","params":{"a":[' + VALUES[name]() + b"]}}"
    stdio.wire.send_lines(line)
    assert stdio.wire.answers("big", timeout=ANSWER_SECONDS)
    stdio.assert_within_limits(f"stdio line: {name}")
