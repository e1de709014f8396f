"""The transport as a host sees it: a real process, raw lines, signals, broken pipes."""

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.support.wire import Frame, Wire, call, initialize, notification, request

COMMAND = [sys.executable, "-m", "tests.support.echo_server"]
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, CONNECTION_CLOSED = -32700, -32600, -32601, -32000


# All of these fixtures are for starting servers early: importing the SDK takes most of a server's time.


@pytest.fixture(scope="module", autouse=True)
def shared() -> Iterator[Wire]:
    """A server that must survive every test, and then leave quietly."""
    with Wire(COMMAND) as wire:
        yield wire
        wire.close_input()
        assert wire.rest() == []
        assert wire.wait() == 0


@pytest.fixture(scope="module", autouse=True)
def without_stderr() -> Iterator[Wire]:
    with Wire(["sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND]) as wire:
        yield wire


@pytest.fixture(scope="module", autouse=True)
def without_stdin() -> Iterator[Wire]:
    unreadable = os.open(os.devnull, os.O_WRONLY)
    with Wire(COMMAND, stdin=unreadable) as wire:
        os.close(unreadable)
        yield wire


@pytest.fixture(scope="module")
def nursery(request: pytest.FixtureRequest) -> Iterator[Iterator[Wire]]:
    """Start the servers of `host`, some tests ahead."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    wanted = sum("host" in test.fixturenames for test in tests)
    started: list[Wire] = []

    def servers() -> Iterator[Wire]:
        for number in range(wanted):
            while len(started) < min(number + 3, wanted):
                started.append(Wire(COMMAND, forked=True))
            yield started[number]

    yield servers()
    for server in started:
        server.end()


@pytest.fixture
def host(nursery: Iterator[Wire]) -> Iterator[Wire]:
    """A server of one's own, which may be ended."""
    with next(nursery) as wire:
        yield wire


def text_of(answer: Frame) -> str:
    """Return what a tool said, or the whole answer if it is anything else."""
    try:
        return answer["result"]["content"][0]["text"]
    except (KeyError, IndexError):
        return str(answer)


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ],
)
def test_a_handshake_settles_on_the_version_asked_for_or_the_newest(shared: Wire, asked: str, spoken: str) -> None:
    assert shared.shake_hands(asked)["protocolVersion"] == spoken
    assert text_of(shared.ask(call("a", "echo", text=asked))) == asked


def test_a_handshake_announces_the_notifications_chosen(shared: Wire) -> None:
    capabilities = shared.shake_hands()["capabilities"]
    changes = {name: capabilities[name]["listChanged"] for name in ("tools", "resources", "prompts")}
    assert changes == {"tools": False, "resources": True, "prompts": False}


def test_a_modern_host_needs_no_handshake(shared: Wire) -> None:
    found = shared.ask(request("d", "server/discover", modern=True))
    assert found["result"]["supportedVersions"] == ["2026-07-28"]
    assert text_of(shared.ask(call("a", "echo", text="hello", modern=True))) == "hello"


def test_an_initialize_in_a_modern_envelope_is_a_handshake(shared: Wire) -> None:
    opening = initialize("2025-06-18", "e")
    envelope = request("e", "initialize", opening["params"], modern=True)
    assert shared.ask(envelope)["result"]["protocolVersion"] == "2025-06-18"


def test_requests_of_both_eras_before_the_end_of_input_are_answered(host: Wire) -> None:
    host.send(
        request("discover", "server/discover", modern=True),
        initialize("2025-06-18", "first"),
        initialize("2025-11-25", "second"),
        notification("notifications/initialized"),
        call("old", "echo", text="old"),
        call("new", "echo", text="new", modern=True),
        call(7, "held"),
        call("7", "held", modern=True),
        request("stream", "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True),
    )
    host.send_bytes(json.dumps(call("unended", "echo", text="unended")).encode())
    host.hear("held\nheld\n")
    host.close_input()
    host.signal(signal.SIGUSR1)
    answers = {frame["id"]: frame for frame in host.rest() if "id" in frame}
    assert host.wait() == 0
    assert answers["discover"]["result"]["supportedVersions"] == ["2026-07-28"]
    assert answers["first"]["result"]["protocolVersion"] == "2025-06-18"
    assert answers["second"]["result"]["protocolVersion"] == "2025-11-25"
    texts = {key: text_of(answers[key]) for key in ("old", "new", 7, "7", "unended")}
    assert texts == {"old": "old", "new": "new", 7: "released", "7": "released", "unended": "unended"}
    assert answers["stream"]["result"]["resultType"] == "complete"
    assert len(answers) == 9
    assert host.errors.endswith("cleaning\ncleaned\n")


def test_end_of_input_cancels_calls_ends_streams_and_limits_the_clean_up(host: Wire) -> None:
    host.send(
        request("stream", "subscriptions/listen", {"notifications": {"resourcesListChanged": True}}, modern=True),
        call("manners", "misbehave", clean_up="too long", modern=True),
        call("long", "hold", modern=True),
    )
    assert host.read()["method"] == "notifications/subscriptions/acknowledged"
    host.hear("holding")
    host.close_input()
    complete, cancelled = host.answers("stream", "long")
    assert complete["result"]["resultType"] == "complete"
    assert cancelled["error"]["code"] == CONNECTION_CLOSED
    assert host.wait() == 0
    assert host.errors.endswith("cleaning\ncut-off\nThe clean-up took too long and was cut off\n")


def test_a_signal_cleans_up_and_ends_the_process(host: Wire) -> None:
    host.shake_hands()
    host.send(call("long", "hold"))
    host.hear("holding")
    host.signal(signal.SIGTERM)
    assert host.wait() == 143
    assert host.rest()[-1]["error"]["code"] == CONNECTION_CLOSED
    assert host.errors.endswith("holding\ncleaning\ncleaned\n")


def test_signal_to_any_thread_ends_an_idle_server(host: Wire) -> None:
    assert text_of(host.ask(call(1, "signal_elsewhere", modern=True))) == "soon"
    assert host.wait() == 143
    assert host.errors.endswith("cleaning\ncleaned\n")


def test_any_other_signal_is_left_to_whoever_handles_it(shared: Wire) -> None:
    assert text_of(shared.ask(call(1, "signal_otherwise", modern=True))) == "still there"
    shared.hear("SIGUSR1")
    assert text_of(shared.ask(call(2, "echo", text="after", modern=True))) == "after"


def test_second_signal_ends_the_process_even_in_a_clean_up_that_hangs(host: Wire) -> None:
    host.ask(call(1, "misbehave", clean_up="forever", modern=True))
    host.signal(signal.SIGTERM)
    host.hear("cleaning")
    host.signal(signal.SIGINT)
    assert host.wait() == 130


def test_a_signal_ends_a_process_whose_loop_is_blocked(host: Wire) -> None:
    host.send(call(1, "block", modern=True))
    host.hear("blocking")
    host.signal(signal.SIGTERM)
    assert host.wait() == 143


@pytest.mark.parametrize(
    ("end", "status"),
    [(signal.SIGINT, 130), ("end of input", 0), ("broken pipe", 0)],
    ids=["SIGINT", "end of input", "broken pipe"],
)
def test_a_host_that_never_reads_does_not_keep_the_process_from_ending(
    host: Wire, end: signal.Signals | str, status: int
) -> None:
    host.send(*(call(n, "repeat", text="x" * 1024, times=64, modern=True) for n in range(100)))
    host.send(call("h", "hold", modern=True))
    host.hear("holding")
    match end:
        case signal.Signals():
            host.signal(end)
        case "end of input":
            host.close_input()
        case _:
            host.close_output()
    assert host.wait() == status
    assert host.errors.endswith("holding\ncleaning\ncleaned\n")


MALFORMED = {
    "no JSON": ("nonsense", PARSE_ERROR, None),
    "cut short": ('{"jsonrpc":"2.0","id":1,', PARSE_ERROR, 1),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', METHOD_NOT_FOUND, 1),
    "not a number": ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"n":NaN}}', PARSE_ERROR, 1),
    "nested too deeply": ("[" * 5000, PARSE_ERROR, None),
    "empty batch": ("[]", INVALID_REQUEST, None),
    "batch": ('[{"jsonrpc":"2.0","id":1,"method":"ping"}]', INVALID_REQUEST, None),
    "number": ("1", INVALID_REQUEST, None),
    "string id": ('{"jsonrpc":"2.0","id":"one"}', INVALID_REQUEST, "one"),
    "number id": ('{"jsonrpc":"2.0","id":1,"method":5}', INVALID_REQUEST, 1),
    "no version": ('{"id":1,"method":"ping"}', INVALID_REQUEST, 1),
    "parameters in a list": ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', INVALID_REQUEST, 1),
    "null id": ('{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST, None),
    "fractional id": ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST, None),
    "boolean id": ('{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST, None),
    "notification": ('{"jsonrpc":"2.0","method":5}', INVALID_REQUEST, None),
    "too long": (b"x" * (65 * 2**20), INVALID_REQUEST, None),
}


@pytest.mark.parametrize(("line", "code", "request_id"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_refused_and_the_next_one_served(
    shared: Wire, line: str | bytes, code: int, request_id: object
) -> None:
    shared.send_lines(line, json.dumps(call("next", "echo", text="next", modern=True)))
    refusal, answer = shared.read(), shared.read()
    assert (refusal["id"], refusal["error"]["code"]) == (request_id, code)
    assert text_of(answer) == "next"


def test_blank_lines_are_passed_over_and_carriage_returns_taken(shared: Wire) -> None:
    shared.send_bytes(b"\n\r\n \t\n" + json.dumps(call("r", "echo", text="hello", modern=True)).encode() + b"\r\n")
    assert text_of(shared.read()) == "hello"


@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
def test_two_megabytes_go_in_and_come_out(shared: Wire, modern: bool) -> None:
    shared.shake_hands()
    text = "0123456789abcdef" * 2**17
    assert text_of(shared.ask(call("big", "echo", text=text, modern=modern))) == text


def test_cancelled_calls_are_not_answered_and_leave_nothing_behind(shared: Wire) -> None:
    shared.shake_hands()
    eras = [False, True] * 500
    shared.send(*(call(n, "hold", modern=modern, token=n) for n, modern in enumerate(eras)))
    running = {shared.read()["params"]["progressToken"] for _ in eras}
    assert running == set(range(1000))
    ids = [str(n) if n % 3 else n for n in running]
    shared.send(*(notification("notifications/cancelled", requestId=request_id) for request_id in ids))
    shared.send(call("count", "cancelled"))
    counted = shared.read()
    assert counted["id"] == "count"
    assert text_of(counted) == "1000"


def test_a_cancellation_of_nothing_is_ignored(shared: Wire) -> None:
    shared.send(notification("notifications/cancelled", requestId="nothing"), notification("notifications/cancelled"))
    shared.send(call("after", "echo", text="after", modern=True))
    assert text_of(shared.read()) == "after"


def test_question_of_the_server_is_answered_after_a_handshake(shared: Wire) -> None:
    shared.shake_hands()
    shared.send(call("p", "ping"))
    question = shared.read()
    assert question["method"] == "ping"
    shared.send({"jsonrpc": "2.0", "id": question["id"], "result": {}})
    assert text_of(shared.read()) == "pong"


def test_nothing_but_messages_reaches_stdout(shared: Wire) -> None:
    assert text_of(shared.ask(call(1, "noise", modern=True))) == "quiet"
    for planted in ("at import", "print", "write", "child\n''"):
        shared.hear(f"planted {planted}")
    # Text that was never flushed comes at exit: the fixture looks for it.


def test_a_process_without_stderr_keeps_its_messages_apart(without_stderr: Wire) -> None:
    assert text_of(without_stderr.ask(call(1, "noise", modern=True))) == "quiet"
    without_stderr.close_input()
    assert without_stderr.rest() == []
    assert without_stderr.wait() == 0


def test_a_stdin_that_cannot_be_read_is_the_end_of_input(without_stdin: Wire) -> None:
    assert without_stdin.rest() == []
    assert without_stdin.wait() == 0
    assert "cleaned" in without_stdin.errors
