"""Progress streams of pull, push and create: one JSON object per line, `success` last.

Lines are split on the line feed byte. (Splitting decoded text would also split at U+2028 inside a string, and
would hide invalid UTF-8.)
"""

import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator

from anyio.lowlevel import checkpoint

from mcp_ollama.ollama.decoding import decode
from mcp_ollama.ollama.error_messages import stream_error
from mcp_ollama.ollama.errors import OllamaResponseError, OllamaStreamError
from mcp_ollama.ollama.sanitizing import Redactor, sanitize
from mcp_ollama.ollama.schemas import ErrorText, Progress

MAX_LINE_BYTES = 8_000_000
"""Limit of Ollama's own client (`api/client.go`)."""

_BYTES_PER_TURN = 262_144
"""A buffered body arrives without ever waiting for the network."""

_LINES_PER_TURN = 500
"""Lines that are parsed before other tasks run; with 2,000 layers each may take 0.1 ms."""

_COUNTED = re.compile(rb'(.+),"completed":(?:0|[1-9][0-9]{0,18})\}')
"""Only a line that is certainly a whole progress line may be skipped unparsed."""


class _Line(Progress):
    error: ErrorText = ""


async def read_progress(chunks: AsyncIterable[bytes], model: str, redact: Redactor) -> AsyncGenerator[Progress]:
    """Parse the progress of a job on `model` until its `success`.

    A safetensors pull sends tens of thousands of lines a second. Of consecutive lines that arrived together and differ
    only in `completed`, the last one is yielded.

    Args:
        chunks: The body of the response.
        model: The model, for the errors.
        redact: Removes secrets from every text.

    Raises:
        OllamaStreamError: A line reports an error, or the stream ended before `success`.
        OllamaResponseError: A line is not JSON, not UTF-8, or longer than 8 MB.
    """
    ended = False
    async for lines in _split_lines(chunks):
        for number, line in enumerate(_without_superseded(lines), 1):
            if number % _LINES_PER_TURN == 0:
                await checkpoint()
            progress = _parse(line, model, redact)
            ended = progress.status == "success"
            yield progress
    if not ended:
        raise OllamaStreamError(
            f"The stream of {model} ended without `success`.",
            "Retry: it resumes. If it fails each time, check Ollama's log.",
            retryable=True,
        )


async def _split_lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[list[bytes]]:
    """Yield the complete lines of each chunk, and let other tasks run after every `_BYTES_PER_TURN`."""
    rest = bytearray()
    unyielded = 0
    async for chunk in chunks:
        for start in range(0, len(chunk), _BYTES_PER_TURN):
            first, *others = chunk[start : start + _BYTES_PER_TURN].split(b"\n")
            rest += first
            if len(rest) > MAX_LINE_BYTES:
                raise OllamaResponseError(
                    f"The server sent a line of more than {MAX_LINE_BYTES:,} bytes, more than Ollama sends.",
                    "Check that the address is an Ollama server and that no proxy changes its responses.",
                )
            if others:
                yield [bytes(rest), *others[:-1]]
                rest = bytearray(others[-1])
            unyielded += min(len(chunk), _BYTES_PER_TURN)
            if unyielded >= _BYTES_PER_TURN:
                unyielded = 0
                await checkpoint()
    last = rest.strip()
    # A truncated object only shows that the stream was truncated.
    if not last.startswith(b"{") or last.endswith(b"}"):
        yield [bytes(last)]


def _without_superseded(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines without those that the next line repeats with another `completed`."""
    last, last_head = b"", b""
    for line in filter(None, map(bytes.strip, lines)):
        counted = _COUNTED.fullmatch(line)
        head = counted[1] if counted else b""
        if last and not (head and head == last_head):
            yield last
        last, last_head = line, head
    if last:
        yield last


def _parse(line: bytes, model: str, redact: Redactor) -> Progress:
    try:
        parsed = decode(_Line, line, redact)
    except ValueError as error:
        # Redacted before it is truncated, which could leave a part of a secret.
        text = sanitize(redact(line.decode("utf-8", "replace")), 100)
        raise OllamaResponseError(
            f"The server sent a line that is not Ollama's JSON: {text!r}.",
            "Check that the address is an Ollama server and that no proxy changes its responses.",
        ) from error
    if parsed.error:
        raise stream_error(parsed.error, model)
    return parsed
