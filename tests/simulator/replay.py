"""Plays recorded requests against a running simulator, and makes the answers comparable."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from typing import Any, Self, cast

import httpx

from mcp_ollama.simulator import RunningSimulator
from mcp_ollama.simulator.manifests import sha256
from tests.simulator import recorded
from tests.simulator.recorded import Recorded

_TIMES = ("modified_at", "expires_at", "created_at", "created")
_HEADERS = ("content-type", "allow", "location")
STAND_INS = {
    "<file tiny.gguf 158048 bytes>": (b"GGUF" + bytes(158044), recorded.TINY_FILE),
    "<file trunc.gguf 3000 bytes>": (b"GGUF" + bytes(2996), recorded.TRUNCATED_FILE),
    "<file junk.gguf 2200 bytes>": (bytes(2200), recorded.JUNK_FILE),
}
"""Files that were uploaded, and whose content was not recorded."""


def comparable(exchange: Recorded) -> Any:
    """The recorded answer, as far as it can be compared."""
    return _comparable(exchange.status, exchange.answer_headers, _renamed(exchange.answer, exchange.body))


def _comparable(status: int, headers: Mapping[str, str], text: str) -> Any:
    kept = {name: headers[name] for name in _HEADERS if name in headers}
    kind = kept.get("content-type", "")
    if kind == "application/x-ndjson":
        return status, kept, list(_collapsed(text.splitlines()))
    if kind.startswith("application/json") and text:
        return status, kept, _timeless(json.loads(text))
    return status, kept, text


def _collapsed(lines: Iterable[str]) -> Iterator[Any]:
    """Lines without times, and one entry for each run of progress lines of a digest."""
    documents = [_timeless(json.loads(line)) for line in lines if line]
    for progress, run in groupby(documents, _progress_of):
        *others, last = run
        if progress is None:
            yield from (*others, last)
        else:
            yield (*progress, last.get("completed") == last.get("total"))


def _progress_of(document: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if "digest" not in document:
        return None
    return document["status"], document["digest"], document.get("total")


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    document = {key: _timeless(item) for key, item in fields.items() if key not in _TIMES}
    for key, name in (("models", "name"), ("data", "id")):
        if document.get(key):
            document[key] = _sorted_ties(document[key], fields[key], name)
    if isinstance(document.get("parameters"), str):
        document["parameters"] = sorted(document["parameters"].splitlines())
    return document


def _sorted_ties(entries: list[Any], timed: list[Any], name: str) -> list[Any]:
    """Newest first is checked; the order of equal seconds is random on the real server, too."""
    seconds = [str(entry.get("modified_at", entry.get("created", "")))[:19] for entry in timed]
    assert seconds == sorted(seconds, reverse=True)
    return sorted(entries, key=lambda entry: entry[name])


def _renamed(text: str, body: bytes) -> str:
    for known, stood_for in _other_digests(body):
        text = text.replace(known, stood_for)
    return text


def _other_digests(body: bytes) -> Iterator[tuple[str, str]]:
    """Digests that cannot come out as recorded, because the content was not recorded."""
    if stand_in := STAND_INS.get(body.decode()):
        yield stand_in[1], sha256(stand_in[0])
    yield (
        "2d2060934cafcba43065f23c305dafaeb8d2cac93cda85bc0a6279fb048354d9",
        recorded.manifests()["2d2060934caf"].digest,
    )
    if b"q4_K_M" in body:
        yield recorded.quantized_weights().digest, sha256(f"{recorded.tiny_weights().digest} Q4_K_M")


class Replay:
    """Plays recorded requests against a running simulator."""

    def __init__(self, running: RunningSimulator) -> None:
        self._running = running
        self._client = httpx.Client(base_url=running.base_url, trust_env=False, timeout=10, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def in_turn(self, exchanges: Iterable[Recorded]) -> list[Any]:
        """Play one after another, with the recorded times between."""
        answers: list[Any] = []
        before: float | None = None
        for exchange in exchanges:
            self._running.simulator.advance(exchange.started - (before or exchange.started))
            before = exchange.started
            answers.append(self._play(exchange))
        return answers

    def at_once(self, exchanges: list[Recorded]) -> list[Any]:
        """Begin all pulls, play what is no pull, then read the pulls to their end."""
        with ExitStack() as stack:
            begun = {
                exchange: stack.enter_context(self._begin(exchange, read=2))
                for exchange in exchanges
                if exchange.path == "/api/pull"
            }
            return [begun[each]() if each in begun else self._play(each) for each in exchanges]

    def _play(self, exchange: Recorded) -> Any:
        with self._begin(exchange) as finish:
            return finish()

    @contextmanager
    def _begin(self, exchange: Recorded, *, read: int = 0) -> Generator[Callable[[], Any]]:
        content = STAND_INS.get(exchange.body.decode(), (exchange.body, ""))[0]
        path = _renamed(exchange.path, exchange.body)
        request = self._client.build_request(exchange.method, path, headers=dict(exchange.headers), content=content)
        response = self._client.send(request, stream=True)
        streamed = response.headers.get("content-type") == "application/x-ndjson"
        pieces = (f"{line}\n" for line in response.iter_lines()) if streamed else response.iter_text()
        begun = [next(pieces) for _ in range(read)]

        def finish() -> Any:
            text = "".join(self._part(exchange, chain(begun, pieces)) if exchange.ended else [*begun, *pieces])
            response.close()
            return _comparable(response.status_code, response.headers, text)

        try:
            yield finish
        finally:
            response.close()

    def _part(self, exchange: Recorded, lines: Iterable[str]) -> Iterator[str]:
        """Read until as much is seen as was recorded; then the client leaves, or the server stops."""
        wanted = len(list(_collapsed(exchange.answer.splitlines())))
        seen = ""
        for line in lines:
            yield line
            seen += line
            if len(list(_collapsed(seen.splitlines()))) >= wanted:
                break
        if exchange.ended == "EOFError()":
            self._running.stop(keep=0.6)
            self._running.start()
