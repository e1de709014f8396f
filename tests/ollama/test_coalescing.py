"""Merging the HTTP chunks of progress streams: fewer chunks, the very same body."""

import socket

import h11
import httpcore
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcp_ollama.ollama.coalescing import ChunkCoalescer, CoalescingStream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = b'{"status":"pulling model","digest":"sha256:model","total":9,"completed":1}\n'


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def read(answer: bytes) -> tuple[bytes, int]:
    """Read an answer as the HTTP library does; gives its body and in how many pieces it came."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(answer)
    pieces: list[bytes] = []
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert event not in (h11.NEED_DATA, h11.PAUSED)
        if isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
    return b"".join(pieces), len(pieces)


def merged(received: list[bytes]) -> bytes:
    merger = ChunkCoalescer()
    return b"".join(merger.feed(part) for part in received) + merger.flush()


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=30),
    st.lists(st.integers(1, 2000), max_size=40),
    st.sampled_from([HEAD, HEAD.replace(b"x-ndjson", b"json"), HEAD.lower().replace(b"http", b"HTTP")]),
)
@example([b"0\r\n\r\n", b"\r\n", b"5\r\nhello\r\n"], [], HEAD)
def test_however_it_is_chunked_and_received_the_body_is_the_same(pieces: list[bytes], cuts: list[int], head: bytes):
    answer = head + chunked(*pieces)
    received = [head]
    rest = answer[len(head) :]
    for cut in cuts:
        received.append(rest[:cut])
        rest = rest[cut:]
    received.append(rest)
    assert read(merged(received))[0] == b"".join(pieces)


def test_a_thousand_lines_that_come_together_are_one_chunk():
    body, pieces = read(merged([HEAD, chunked(*[LINE] * 1000)]))
    assert (body, pieces) == (LINE * 1000, 1)


def test_a_chunk_that_is_cut_is_given_as_soon_as_it_is_whole():
    merger = ChunkCoalescer()
    merger.feed(HEAD)
    chunk = b"%x\r\n%b\r\n" % (len(LINE), LINE)
    assert merger.feed(chunk[:20]) == b""
    assert merger.feed(chunk[20:]) == chunk


@pytest.mark.parametrize(
    "unusual",
    [
        b"3;extension=1\r\nabc\r\n",
        b"not hex\r\nabc\r\n",
        b"-6\r\n{}\n\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"1_0\r\n0123456789abcdef\r\n",
        b" 3\r\nabc\r\n",
        b"3\r\nabcdef\r\n",
        b"a line that is no chunk size and has no end in sight",
        b"ffffff\r\n" + b"x" * 70_000,
    ],
)
def test_what_is_not_surely_a_whole_small_chunk_goes_on_as_it_came(unusual: bytes):
    assert merged([HEAD, unusual, b"more"]) == HEAD + unusual + b"more"


class Received(httpcore.AsyncNetworkStream):
    """A connection on which these bytes come in, then the end."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)
        self.read_sizes: list[int] = []
        self.closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        self.read_sizes.append(max_bytes)
        return self.parts.pop(0) if self.parts else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        pass

    async def aclose(self) -> None:
        self.closed = True

    def get_extra_info(self, info: str) -> str:
        return info


async def test_each_answer_is_merged_separately_and_only_progress_in_portions():
    below = Received(
        HEAD, chunked(LINE, LINE), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok", HEAD, b"5\r\nhel"
    )
    stream = CoalescingStream(below)
    answers: list[bytes] = []
    for parts in (2, 2, 2):
        await stream.write(b"GET / HTTP/1.1\r\n\r\n")
        answers.append(b"".join([await stream.read(2**20) for _ in range(parts)]))
    assert read(answers[0]) == (LINE * 2, 1)
    assert answers[1] == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert answers[2] == HEAD + b"5\r\nhel"
    large, small = 65_536, 16_384
    assert below.read_sizes == [large, small, large, large, large, small, small]


async def test_it_is_a_connection_like_any_other():
    below = Received()
    stream = CoalescingStream(below)
    assert stream.get_extra_info("socket") == "socket"
    await stream.aclose()
    assert below.closed


class _Closed(httpcore.AsyncNetworkStream):
    """A stream whose socket is closed."""

    def get_extra_info(self, info: str) -> socket.socket:
        closed = socket.socket()
        closed.close()
        return closed


def test_closed_socket_is_readable_so_that_the_pool_drops_it():
    assert CoalescingStream(_Closed()).get_extra_info("is_readable") is True
