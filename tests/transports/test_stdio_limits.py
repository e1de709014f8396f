"""A client that writes and does not read, or holds many requests open: bounded memory, and always a way to cancel."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.wire import Frame, Wire, call, notification, request

COMMAND = [sys.executable, "-m", "tests.support.echo_server"]
GROWTH_LIMIT_MEGABYTES = 64


@pytest.fixture
def host() -> Iterator[Wire]:
    with Wire(COMMAND, forked=True) as wire:
        wire.ask(request("ready", "ping"))
        yield wire
        # Ends by itself, so that its coverage data is written.
        wire.signal(signal.SIGTERM)
        wire.wait()


def memory_megabytes(wire: Wire) -> float:
    status = Path(f"/proc/{wire.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def write_until_blocked(wire: Wire, line: bytes, limit_bytes: int) -> int:
    """Write a line again and again, until the pipe takes nothing more for a second."""
    assert wire.process.stdin
    # A copy of the descriptor: the thread still writes when the test closes its own, whose number is then reused.
    fd = os.dup(wire.process.stdin.fileno())
    sent = 0
    wrote = threading.Event()

    def write() -> None:
        nonlocal sent
        with os.fdopen(fd, "wb", buffering=0) as stdin, suppress(BrokenPipeError):
            while sent < limit_bytes:
                sent += stdin.write(line)
                wrote.set()

    threading.Thread(target=write, daemon=True).start()
    while wrote.wait(1):
        wrote.clear()
    return sent


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
@pytest.mark.parametrize("attack", ["calls", "one id", "pings", "cancelled calls", "malformed lines"])
def test_client_that_writes_and_does_not_read_costs_bounded_memory(attack: str):
    with Wire(COMMAND, forked=True) as host:
        _write_without_reading(host, attack)
        host.signal(signal.SIGTERM)
        host.wait()


def _write_without_reading(host: Wire, attack: str) -> None:
    before = _memory_when_ready(host)
    big = json.dumps(call("ID", "repeat", text="x" * 1000, times=100, modern=True)).encode()
    cancel = json.dumps(notification("notifications/cancelled", requestId="ID")).encode()
    lines = {
        "calls": big,
        "one id": big.replace(b'"ID"', b'"one"'),
        "pings": json.dumps(request("ID", "ping")).encode(),
        "cancelled calls": big + b"\n" + cancel,
        "malformed lines": b"nonsense" * 100,
    }
    numbered = b"".join(lines[attack].replace(b'"ID"', b'"%d"' % n) + b"\n" for n in range(4000))
    sent = write_until_blocked(host, numbered, 50 * 2**20)
    assert sent < 50 * 2**20
    assert memory_megabytes(host) - before < GROWTH_LIMIT_MEGABYTES


def _memory_when_ready(host: Wire) -> float:
    host.send(call("ready", "hold", modern=True))
    host.hear("holding")
    return memory_megabytes(host)


def test_waiting_calls_and_questions_do_not_count_as_work(host: Wire):
    host.shake_hands()
    host.send(*(call(f"wait {n}", "hold", modern=True) for n in range(100)))
    host.send(*(call(f"ask {n}", "ping") for n in range(100)))
    questions = [host.read() for _ in range(100)]
    assert {question["method"] for question in questions} == {"ping"}
    host.send(call("after", "echo", text="after", modern=True))
    assert host.read()["id"] == "after"
    answers: list[Frame] = [{"jsonrpc": "2.0", "id": question["id"], "result": {}} for question in questions]
    host.send(*answers)
    assert {host.read()["id"] for _ in questions} == {f"ask {n}" for n in range(100)}
    _fill_with_work(host)


@pytest.mark.parametrize("response", ['"result":null', '"result":true', '"result":[]', '"error":null', '"error":"no"'])
def test_malformed_response_of_the_client_ends_the_wait_for_it(response: str, host: Wire):
    host.shake_hands()
    host.send(call("ask", "ping"))
    question = host.read()
    host.send_lines(f'{{"jsonrpc":"2.0","id":{json.dumps(question["id"])},{response}}}')
    answered = host.read()
    assert answered["id"] == "ask"
    assert ("error" in response) == (answered.get("result", {"isError": True}).get("isError", False))


def _fill_with_work(host: Wire) -> None:
    """Send 70 calls, of which 64 work at once."""
    host.send(*(call(n, "work", modern=True) for n in range(70)))
    host.hear("working\n" * 64)
    assert host.ask(request("p", "ping"))["result"] == {}
    assert host.errors.count("working") == 64


def test_64_calls_work_at_once_and_the_next_one_waits(host: Wire):
    _fill_with_work(host)
    host.send(notification("notifications/cancelled", requestId="69"))
    host.send(*(notification("notifications/cancelled", requestId=n) for n in range(5)))
    host.hear("working\n" * 69)
    assert host.ask(request("p", "ping"))["result"] == {}
    assert host.errors.count("working") == 69


def test_second_request_with_an_id_waits_for_the_first(host: Wire):
    host.send(call("same", "work", modern=True), call("same", "echo", text="second", modern=True))
    host.hear("working")
    assert host.ask(request("p", "ping"))["result"] == {}
    host.send(notification("notifications/cancelled", requestId="same"))
    host.send(call("third", "echo", text="third", modern=True))
    assert host.read()["id"] == "third"


@pytest.mark.parametrize(("ignored", "status"), [(False, 129), (True, 0)], ids=["default", "nohup"])
def test_sighup_ends_the_process_unless_it_was_ignored(ignored: bool, status: int):
    before = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_{'IGN' if ignored else 'DFL'})"
    program = f"{before}; from tests.support.echo_server import main; import sys; sys.exit(main())"
    with Wire([sys.executable, "-c", program], forked=True) as host:
        host.ask(request("ready", "ping"))
        host.signal(signal.SIGHUP)
        if ignored:
            assert host.ask(request("still", "ping"))["result"] == {}
            host.close_input()
        assert host.wait() == status
        assert host.errors.endswith("cleaning\ncleaned\n")


def test_question_of_a_cancelled_call_is_cancelled_too(host: Wire):
    host.shake_hands()
    host.send(call("ask", "ping"))
    question = host.read()
    host.send(notification("notifications/cancelled", requestId="ask"))
    cancelled = host.read()
    assert (cancelled["method"], cancelled["params"]["requestId"]) == ("notifications/cancelled", question["id"])
    _fill_with_work(host)
