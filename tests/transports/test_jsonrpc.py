"""Lines as clients send them: what is decoded, what is repaired, and which id a refusal names."""

import pytest
from mcp import types

from mcp_ollama.transports.jsonrpc import LINE_LIMIT_BYTES, InvalidLineError, decode

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def refused(line: bytes) -> types.JSONRPCError:
    with pytest.raises(InvalidLineError) as refusal:
        decode(line)
    return refusal.value.answer


def text_in(line: bytes) -> object:
    message = decode(line)
    assert isinstance(message, types.JSONRPCRequest)
    return (message.params or {})["a"]


def line_with(text: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"' + text + b'"}}'


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\ud83d \ud83d\ude00", "\ufffd 😀"),
        (rb"\\ud83d", "\\ud83d"),
        (b"\xff", "\ufffd"),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
    ],
)
def test_text_that_is_not_unicode_becomes_replacement_characters(text: bytes, decoded: str):
    assert text_in(line_with(text)) == decoded


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf "])
def test_byte_order_mark_is_skipped(mark: bytes):
    assert decode(mark + PING) == decode(PING)


@pytest.mark.parametrize("result", [b"null", b"true", b"[]", b'"yes"', b"0"])
def test_result_that_is_not_an_object_is_an_empty_one(result: bytes):
    line = b'{"jsonrpc":"2.0","id":7,"result":' + result + b"}"
    assert decode(line) == types.JSONRPCResponse(jsonrpc="2.0", id=7, result={})


@pytest.mark.parametrize("error", [b"null", b'"no"', b"{}"])
def test_malformed_error_is_still_an_error_of_its_request(error: bytes):
    message = decode(b'{"jsonrpc":"2.0","id":7,"error":' + error + b"}")
    assert isinstance(message, types.JSONRPCError)
    assert message.id == 7


def test_malformed_response_without_an_id_is_refused():
    assert refused(b'{"jsonrpc":"2.0","result":null}').id is None


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b'{"jsonrpc":"2.0","id":5.0,"method":"ping"}', types.INVALID_REQUEST, 5),
        (b'{"jsonrpc":"2.0","id":5.5,"method":"ping"}', types.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', types.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":NaN}}', types.PARSE_ERROR, 7),
        (b'{"jsonrpc":"2.0","method":"x","params":{"a":-Infinity},"id":"last"}', types.PARSE_ERROR, "last"),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":9,"b":[{"id":8}]},"id":3,"c":NaN}', types.PARSE_ERROR, 3),
        (rb'{"method":"a \"id\": 4 b","id":"q\"7",', types.PARSE_ERROR, 'q"7'),
        (b'{"params":{"id":9}, nonsense', types.PARSE_ERROR, None),
        (b'{"a":"\\"id\\":1,"id":2', types.PARSE_ERROR, None),
        (b"nonsense", types.PARSE_ERROR, None),
        (b"[" * 100_000, types.PARSE_ERROR, None),
        (b'{"id":1,"a":' + b"[" * 5000, types.PARSE_ERROR, 1),
        (b'{"id":1,"a":' + b"[" * 5000 + b"]" * 5000 + b"}", types.PARSE_ERROR, 1),
    ],
)
def test_line_that_is_not_a_message_is_refused_with_its_id(line: bytes, code: int, request_id: object):
    answer = refused(line)
    assert (answer.error.code, answer.id) == (code, request_id)


@pytest.mark.parametrize(
    ("head", "tail", "request_id"),
    [
        (b'{"jsonrpc":"2.0","id":5,"params":["', b'"]}', 5),
        (b'{"jsonrpc":"2.0","params":["', b'"],"id":"six" }', "six"),
        (b'{"params":{"id":7,"a":"', b'"}}', None),
        (b'{"params":{"a":["', b'"],"id":7}}', None),
    ],
)
def test_line_over_the_limit_is_refused_with_its_id(head: bytes, tail: bytes, request_id: object):
    answer = refused(head + b"x" * LINE_LIMIT_BYTES + tail)
    assert (answer.error.message, answer.id) == (f"Message over {LINE_LIMIT_BYTES} bytes", request_id)


def test_line_with_too_many_values_is_refused_with_its_id():
    line = b'{"jsonrpc":"2.0","id":5,"method":"x","params":{"a":[' + b",".join([b"[]"] * 200_000) + b"]}}"
    answer = refused(line)
    assert (answer.error.message, answer.id) == ("Message with over 250000 values", 5)


def test_two_megabytes_of_text_are_decoded():
    text = b"a text, with { and [ now and then. " * 60_000
    assert text_in(line_with(text)) == text.decode()


def test_id_inside_an_unfinished_string_is_not_taken():
    with pytest.raises(InvalidLineError) as invalid:
        decode(b'{"a": ""id": 7}')
    assert invalid.value.answer.id is None
