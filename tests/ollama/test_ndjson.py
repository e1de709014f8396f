"""Streams of progress: every line is read, however the network cuts it, and nothing that matters is thinned out."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.ollama.errors import NotInRegistryError, OllamaError, OllamaResponseError, OllamaStreamError
from mcp_ollama.ollama.ndjson import MAX_LINE_BYTES, read_progress
from mcp_ollama.ollama.sanitizing import Redactor
from mcp_ollama.ollama.schemas import MAX_BYTES, Progress

Picture = tuple[str, str, int, int]

LAYER = f"sha256:{'ab' * 32}"
OTHER = f"sha256:{'cd' * 32}"
SUCCESS = b'{"status":"success"}'


async def in_pieces(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


def read(*pieces: bytes) -> tuple[list[Picture], OllamaError | None]:
    """The progress and the error of a stream that arrives in these pieces."""

    async def follow() -> OllamaError | None:
        try:
            async for progress in read_progress(in_pieces(pieces), "m:latest", Redactor()):
                seen.append((progress.status, progress.digest, progress.total, progress.completed))  # noqa: PERF401 - kept on failure
        except OllamaError as error:
            return error
        return None

    seen: list[Picture] = []
    return seen, asyncio.run(follow())


def line(status: str = "pulling abababababab", **fields: object) -> bytes:
    """A line as Ollama writes it: no spaces, its fields in this order, those that are 0 left out."""
    return json.dumps({"status": status, **fields}, separators=(",", ":")).encode()


def layer(completed: int, digest: str = LAYER, total: int = 100) -> bytes:
    """A line of a layer that is being downloaded."""
    counted: dict[str, Any] = {"completed": completed} if completed else {}
    return line(digest=digest, total=total, **counted)


def body(*lines: bytes) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def failure(*pieces: bytes) -> OllamaError:
    error = read(*pieces)[1]
    assert error
    return error


def _written(status: str, fields: dict[str, object]) -> bytes:
    return line(status, **fields)


fields = st.fixed_dictionaries(
    {},
    optional={
        "digest": st.sampled_from([LAYER, OTHER]),
        "total": st.sampled_from([1, 100]),
        "completed": st.integers(0, 3) | st.integers(-(2**70), 2**70),
    },
)
statuses = st.sampled_from(["pulling manifest", "pulling a", "pulling � b", "verifying sha256 digest", ""])
odd_lines = [b"", b"\r", b' { "status" : "pulling a" , "completed" : 5 } \r', '{"status":"\u2028é"}'.encode()]
lines = st.lists(
    st.builds(_written, statuses, fields) | st.sampled_from([*map(layer, range(4)), *odd_lines]), max_size=20
)
ends = st.sampled_from(
    [
        SUCCESS,
        b"",
        b'{"error":"boom"}',
        b'{"error":{"message":"boom"}}',
        layer(5)[:-1],
        layer(5).replace(b":5}", b":05}"),
        b"<html>",
        b'{"status":"\xff","completed":1}',
    ]
)


def last_of_each_run(pictures: Sequence[Picture]) -> list[Picture]:
    """The last of consecutive lines that differ only in `completed`."""
    return [list(run)[-1] for _, run in itertools.groupby(pictures, lambda picture: picture[:3])]


def one_by_one(whole: bytes) -> tuple[list[Picture], str]:
    """Read a body the slow and simple way: the pictures up to the first line that ends it, and how it ends."""
    seen: list[Picture] = []
    *ended, last = map(bytes.strip, whole.split(b"\n"))
    if last.startswith(b"{") and not last.endswith(b"}"):
        last = b""
    for each in filter(None, [*ended, last]):
        try:
            fields: dict[str, Any] = json.loads(each)
        except ValueError:
            return seen, "not JSON"
        if fields.get("error"):
            return seen, "error"
        seen.append(_picture(fields))
    return seen, "success" if seen and seen[-1][0] == "success" else "cut short"


def _picture(fields: dict[str, Any]) -> Picture:
    completed = max(0, min(fields.get("completed", 0), MAX_BYTES))
    return fields["status"].replace("\u2028", "�"), fields.get("digest", ""), fields.get("total", 0), completed


ENDINGS = {
    "success": (type(None), ""),
    "error": (OllamaStreamError, "Ollama reports: boom."),
    "not JSON": (OllamaResponseError, "The server sent a line that is not Ollama's JSON"),
    "cut short": (OllamaStreamError, "The stream of m:latest ended without `success`."),
}


@given(lines, ends, lines, st.lists(st.integers(0, 2000)), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_stream_cut_anywhere_has_the_same_progress(
    before: list[bytes], end: bytes, after: list[bytes], cuts: list[int], line_end: bytes, closed: bool
) -> None:
    whole = line_end.join([*before, end, *after, *([SUCCESS] if closed else [])])
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    seen, error = read(*(whole[start:stop] for start, stop in itertools.pairwise(edges)))
    expected, ending = one_by_one(whole)
    assert last_of_each_run(seen) == last_of_each_run(expected)
    rest = iter(expected)
    assert all(picture in rest for picture in seen)
    kind, problem = ENDINGS[ending]
    assert type(error) is kind
    assert str(error or "").startswith(problem)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_line_ends_only_at_its_line_feed(size: int) -> None:
    whole = body('{"status":"a\u2028b\u2029c\x85d\x0be"}'.replace("\x0b", "\\u000b").encode(), SUCCESS)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert read(*pieces) == ([("a�b�c�d�e", "", 0, 0), ("success", "", 0, 0)], None)


@pytest.mark.parametrize(
    "whole",
    [
        body(line("pulling manifest"), SUCCESS),
        body(line("pulling manifest"), SUCCESS)[:-1],
        body(line("pulling manifest"), SUCCESS).replace(b"\n", b"\r\n"),
        body(b"", line("pulling manifest"), b"", b" ", b"\t\r", SUCCESS, b"", b""),
        b"\r\n\r\n" + body(line("pulling manifest"), SUCCESS).replace(b"\n", b"\r\n\r\n"),
    ],
    ids=["as it should be", "no line feed at the end", "CRLF", "blank lines", "blank lines with CRLF"],
)
def test_line_ends_of_every_kind_are_understood(whole: bytes) -> None:
    assert read(whole) == ([("pulling manifest", "", 0, 0), ("success", "", 0, 0)], None)


@pytest.mark.parametrize("whole", [b"", b"\n", b" \r\n", body(line("writing manifest"))])
def test_stream_without_success_has_failed(whole: bytes) -> None:
    error = failure(whole)
    assert type(error) is OllamaStreamError
    assert error.problem == "The stream of m:latest ended without `success`."
    assert error.retryable


def test_success_must_be_the_last_line() -> None:
    assert isinstance(failure(body(SUCCESS, layer(1))), OllamaStreamError)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        ('"boom"', "Ollama reports: boom."),
        ('{"message":"boom","type":"api_error"}', "Ollama reports: boom."),
        ('{"code":5}', "Ollama reports: {'code': 5}."),
        ('["boom"]', "Ollama reports: ['boom']."),
        ('"\\u001b[0m"', "Ollama reports: an error without a text."),
        ('"pull model manifest: file does not exist"', "The registry has no m:latest."),
    ],
)
def test_error_line_of_any_form_is_raised(error: str, problem: str) -> None:
    seen, raised = read(body(line("pulling manifest"), f'{{"error":{error}}}'.encode(), SUCCESS))
    assert seen == [("pulling manifest", "", 0, 0)]
    assert type(raised) is (NotInRegistryError if "has no m:latest" in problem else OllamaStreamError)
    assert raised.problem == problem


@pytest.mark.parametrize("error", ["null", '""'])
def test_empty_error_is_ignored(error: str) -> None:
    assert read(body(f'{{"status":"success","error":{error}}}'.encode())) == ([("success", "", 0, 0)], None)


def test_a_line_that_is_cut_off_is_the_end_of_the_stream() -> None:
    seen, error = read(body(line("pulling manifest")), layer(5)[:-9])
    assert seen == [("pulling manifest", "", 0, 0)]
    assert isinstance(error, OllamaStreamError)
    assert error.retryable
    assert "ended without `success`" in error.problem


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (b"<!DOCTYPE html><html><body>504 Gateway Time-out</body></html>", "'<a web page>'"),
        (b"Internal\x1b[31m Server\x00 Error", "'Internal Server Error'"),
        (b'{"status":"\xff"}', '\'{"status":"\N{REPLACEMENT CHARACTER}"}\''),
        (b'{"status":pulling}', "'{\"status\":pulling}'"),
        (b'{"status":"\\ud800"}', "ud800"),
        (b'{"status":1}', "'{\"status\":1}'"),
        (b'{"completed":1.5}', "1.5"),
        (b'{"completed":1e400}', "1e400"),
        (b'{"completed":"many"}', "many"),
        (b"[]", "'[]'"),
        (b"null", "'null'"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "[[["),
        (b"x" * 100_000, "xxx"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_invalid_line_is_quoted_in_short(bad: bytes, shown: str) -> None:
    for whole in (body(bad, SUCCESS), body(line("pulling manifest"), bad), bad):
        error = failure(whole)
        assert type(error) is OllamaResponseError
        assert not error.retryable
        assert error.problem.startswith("The server sent a line that is not Ollama's JSON: ")
        assert shown in error.problem
        assert len(str(error)) < 300
        assert str(error).isprintable()


@pytest.mark.parametrize("ended", [False, True], ids=["without end", "with an end"])
def test_line_of_20_megabytes_is_refused(ended: bool) -> None:
    taken = 0

    def pieces() -> Iterable[bytes]:
        nonlocal taken
        yield body(line("pulling manifest"))
        for _ in range(80):
            taken += 250_000
            yield b" " * 250_000
        yield b"\n"

    whole = [b" " * 20_000_000 + b"\n"] if ended else pieces()
    error = failure(*whole) if ended else asyncio.run(_first_failure(whole))
    assert type(error) is OllamaResponseError
    assert f"more than {MAX_LINE_BYTES:,} bytes" in error.problem
    assert taken <= MAX_LINE_BYTES + 250_000


async def _first_failure(pieces: Iterable[bytes]) -> OllamaError:
    with pytest.raises(OllamaError) as caught:
        async for _ in read_progress(in_pieces(pieces), "m:latest", Redactor()):
            pass
    return caught.value


def test_long_allowed_line_is_read_and_truncated() -> None:
    status = "x" * (MAX_LINE_BYTES - 100)
    shown = read(body(line(status)), body(SUCCESS))[0][0][0]
    assert (len(shown), shown[-1]) == (200, "…")


def test_lines_without_a_status_are_those_of_an_old_puller() -> None:
    old = b'{"digest":"%s","total":100,"completed":%d}'
    whole = body(*(old % (digest.encode(), done) for done in (1, 2) for digest in (LAYER, OTHER)), SUCCESS)
    seen, error = read(whole)
    assert error is None
    assert seen[:-1] == [("", digest, 100, done) for done in (1, 2) for digest in (LAYER, OTHER)]


@pytest.mark.parametrize("number", [-1, -(2**63), 2**63, 2**64, 10**100])
def test_numbers_are_clamped_to_zero_and_the_largest_size(number: int) -> None:
    whole = body(line(total=number, completed=number), SUCCESS)
    known = max(0, min(number, MAX_BYTES))
    assert read(whole)[0][0] == ("pulling abababababab", "", known, known)


def test_nulls_are_omitted_fields() -> None:
    whole = body(b'{"status":null,"digest":null,"total":null,"completed":null}', SUCCESS)
    assert read(whole)[0][0] == ("", "", 0, 0)


def test_unknown_fields_of_a_line_are_ignored() -> None:
    async def first() -> Progress:
        return await anext(read_progress(in_pieces([body(b'{"status":"x","speed":7}')]), "m", Redactor()))

    assert asyncio.run(first()).model_dump(exclude_defaults=True) == {"status": "x"}


def test_run_in_one_chunk_yields_its_last_line() -> None:
    whole = body(*(layer(done) for done in range(1, 1001)), SUCCESS)
    assert read(whole)[0] == [("pulling abababababab", LAYER, 100, 1000), ("success", "", 0, 0)]


def test_lines_in_single_chunks_are_all_yielded() -> None:
    seen, _ = read(*(body(layer(done)) for done in (1, 2, 2, 1)), body(SUCCESS))
    assert [picture[3] for picture in seen] == [1, 2, 2, 1, 0]


def test_a_line_that_shows_fewer_bytes_than_before_still_counts() -> None:
    assert read(body(layer(90), layer(10), SUCCESS))[0][0][3] == 10


@pytest.mark.parametrize(
    "different",
    [
        layer(2, digest=OTHER),
        layer(2, total=101),
        layer(0),
        line("pulling somethingels", digest=LAYER, total=100, completed=2),
        line("verifying sha256 digest"),
    ],
    ids=["layer", "total", "no completed", "status", "phase"],
)
def test_a_run_ends_where_anything_but_the_bytes_changes(different: bytes) -> None:
    seen, error = read(body(layer(1), different, layer(3), SUCCESS))
    assert error is None
    assert len(seen) == 4


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_error_within_a_run_is_raised(before: int, after: int) -> None:
    hidden = layer(7).replace(b'"status":', b'"error":"boom","status":')
    whole = body(*[layer(1)] * before, hidden, *[layer(9)] * after, SUCCESS)
    assert failure(whole).problem == "Ollama reports: boom."
    assert failure(body(*[layer(1)] * before, hidden, hidden, *[layer(9)] * after, SUCCESS))


@pytest.mark.parametrize(
    "bad",
    [
        layer(5)[:-1],
        layer(5) + b"}",
        layer(5).replace(b":5}", b":05}"),
        layer(5).replace(b":5}", b":}"),
        layer(5).replace(b":5}", b":-5x}"),
        layer(5).replace(b":5}", b":" + b"9" * 5000 + b"}"),
        layer(5).replace(b":5}", ":\u0665}".encode()),
        layer(5).replace(b'"status"', b'"status'),
    ],
    ids=["no brace", "two braces", "leading zero", "no number", "letter", "5000 digits", "other digits", "no quote"],
)
def test_malformed_line_within_a_run_is_raised(bad: bytes) -> None:
    for around in ((layer(1), bad, layer(9)), (bad, layer(9)), (bad, bad, layer(9)), (layer(1), bad)):
        assert type(failure(body(*around, SUCCESS))) is OllamaResponseError
