"""Heads of weights files, whole, cut, damaged and hostile."""

import json
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_ollama.sources.gguf import MAX_KEYS, NeedMoreData, read_metadata

DATA = Path(__file__).parents[1] / "data" / "memory"
HEADS = json.loads((DATA / "headers" / "index.json").read_text(encoding="utf-8"))
WHOLE = [head["file"] for head in HEADS if head["ok"]]
PARSEABLE = ["zero_heads.gguf", "no_architecture.gguf"]
DAMAGED = [head["file"] for head in HEADS if not head["ok"] and head["file"] not in PARSEABLE]
METADATA = {
    row["model"]: row["meta"]
    for row in map(json.loads, (DATA / "architectures.jsonl").read_text(encoding="utf-8").splitlines())
}


def head(name: str) -> bytes:
    return (DATA / "headers" / name).read_bytes()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + items


def single(value: Any) -> list[object]:
    """Round floats to the 32 bits that a file holds."""
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [struct.pack("<f", item) if isinstance(item, float) else item for item in items]


def gguf(*keys: bytes, version: int = 3, count: int | None = None) -> bytes:
    counts = struct.pack("<IQQ", version, 0, len(keys) if count is None else count)
    return b"GGUF" + counts + b"".join(keys)


def outcome(content: bytes) -> bool:
    """Return whether a head is read, or refused with a sentence."""
    try:
        return len(read_metadata(content)) <= MAX_KEYS
    except ValueError as error:
        return str(error).startswith("The ") and str(error).endswith(".")


LIMIT_SECONDS = 0.1 if sys.gettrace() is None else 1
"""Of processor time; measuring the coverage takes several times as long."""


def cpu_seconds(content: bytes) -> float:
    """Return the processor time of reading a head, the least of three, as other work on the machine adds to it."""
    times: list[float] = []
    for _ in range(3):
        started = process_time()
        assert outcome(content)
        times.append(process_time() - started)
    return min(times)


ARCHITECTURE = key("general.architecture", 8, text("llama"))
BLOCKS = key("llama.block_count", 4, struct.pack("<I", 16))
HEAD_COUNT = key("llama.attention.head_count", 4, struct.pack("<I", 32))


@pytest.mark.parametrize("file", [head for head in HEADS if head["ok"]], ids=lambda row: row["file"])
def test_whole_head_gives_the_keys_of_its_model(file: dict[str, Any]) -> None:
    metadata = read_metadata(head(file["file"]))

    expected = {name: value for name, value in METADATA[file["model"]].items() if name not in file["behind_tokenizer"]}
    assert {name: single(metadata[name]) for name in expected} == {name: single(expected[name]) for name in expected}
    assert not any(name.startswith("tokenizer.") for name in metadata)


@pytest.mark.parametrize("file", [head for head in HEADS if head["ok"]], ids=lambda row: row["file"])
def test_head_cut_at_the_tokenizer_needs_no_more_than_its_key(file: dict[str, Any]) -> None:
    content = head(file["file"])
    start = file["first_tokenizer_key_at"]
    length = 8 + struct.unpack_from("<Q", content, start)[0]

    assert read_metadata(content[: start + length]) == read_metadata(content)
    with pytest.raises(NeedMoreData):
        read_metadata(content[: start + length - 1])


@pytest.mark.parametrize("name", PARSEABLE)
def test_head_without_usable_shape_is_still_read(name: str) -> None:
    assert read_metadata(head(name))


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_head_is_refused_with_a_sentence(name: str) -> None:
    content = head(name)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^The .+: .+\. .+\.$|^The head .+\. .+\.$"):
            read_metadata(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2**20
    assert cpu_seconds(content) < LIMIT_SECONDS


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<html>", "not a GGUF file"),
        (b"FUGG", "big-endian"),
        (b"tjgg", "older than GGUF"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian"),
        (gguf(version=1), "version 1"),
        (gguf(count=4097), "more than 4,096 keys"),
        (gguf(key("a" * 257, 4, bytes(4))), "longer than 256"),
        (gguf(key("a", 8, struct.pack("<Q", 2**62))), "longer than 16,777,216"),
        (gguf(key("a", 9, array(4, 2**62, b""))), "more than 67,108,864"),
        (gguf(key("a", 9, array(8, 200_000, b""))), "more than 16,384 items"),
        (gguf(key("a", 9, array(9, 1, b""))), "arrays"),
        (gguf(key("a", 13, b"")), "unknown type 13"),
        (gguf(key("a", 9, array(99, 1, b""))), "unknown type 99"),
        (gguf(ARCHITECTURE, ARCHITECTURE), "twice"),
        (gguf(key("a", 9, array(8, 1, struct.pack("<Q", 5000)))), "longer than 4,096"),
        (bytes(16 * 2**20 + 1), "longer than 16,777,216"),
    ],
)
def test_invalid_head_names_its_cause(content: bytes, cause: str) -> None:
    with pytest.raises(ValueError, match=cause) as caught:
        read_metadata(content)

    assert not isinstance(caught.value, NeedMoreData)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GG",
        b"GGUF",
        gguf(count=1),
        gguf(key("a", 9, array(6, 10**6, bytes(9)))),
        gguf(key("a", 9, array(8, 2, text("one")))),
        gguf(key("a", 9, array(8, 1, struct.pack("<Q", 3)))),
    ],
)
def test_cut_head_asks_for_more_data(content: bytes) -> None:
    with pytest.raises(NeedMoreData):
        read_metadata(content)


def test_values_of_every_type_are_read() -> None:
    numbers = "BbHhIif"
    keys = [key(code, kind, struct.pack(f"<{code}", 1)) for kind, code in enumerate(numbers)]
    keys += [key("?", 7, b"\x01"), key("Q", 10, struct.pack("<Q", 2**63)), key("q", 11, struct.pack("<q", -5))]
    keys += [key("d", 12, struct.pack("<d", 0.5)), key("s", 8, text("naïve")), key("[s]", 9, array(8, 1, text("x")))]
    keys += [key("[?]", 9, array(7, 2, b"\x00\x01"))]

    assert read_metadata(gguf(*keys)) == {
        **dict.fromkeys(numbers, 1),
        "?": True,
        "Q": 2**63,
        "q": -5,
        "d": 0.5,
        "s": "naïve",
        "[s]": ["x"],
        "[?]": [False, True],
    }


def test_long_texts_and_arrays_are_left_out() -> None:
    long_text = key("general.license", 8, text("x" * 5000))
    long_numbers = key("numbers", 9, array(5, 5000, bytes(20_000)))
    long_texts = key("texts", 9, array(8, 5000, text("ab") * 5000))

    metadata = read_metadata(gguf(long_text, long_numbers, long_texts, ARCHITECTURE))

    assert metadata == {"general.architecture": "llama"}


def test_texts_over_a_mebibyte_together_are_left_out() -> None:
    texts = [key(f"text{number}", 8, text("x" * 4096)) for number in range(300)]

    assert len(read_metadata(gguf(*texts, ARCHITECTURE))) == 256


def test_architecture_behind_the_tokenizer_is_found() -> None:
    tokens = key("tokenizer.ggml.tokens", 9, array(8, 2, text("a") * 2))

    metadata = read_metadata(gguf(ARCHITECTURE, tokens, BLOCKS, HEAD_COUNT, tokens, b"never read"))

    assert metadata["llama.attention.head_count"] == 32
    assert metadata["tokenizer.ggml.tokens"] == ["a", "a"]


@settings(deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_damaged_bytes_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    content = bytearray(head(name))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))

    assert outcome(bytes(content[:cut]))


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_behind_a_valid_start_never_crash(content: bytes) -> None:
    assert outcome(gguf(count=3) + content)


def test_hostile_arrays_allocate_no_more_than_their_bytes_warrant() -> None:
    items = 1000
    keys = [key(f"k{n}", 9, array(2, items, b"\xff\xff" * items)) for n in range(500)]
    content = gguf(*keys)
    tracemalloc.start()
    try:
        read_metadata(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * 2**20


INVALID = b"\xff"
HOSTILE: dict[str, Callable[[], list[bytes]]] = {
    "tiny keys": lambda: [key(f"{n}", 0, b"\x00") for n in range(MAX_KEYS)],
    "too many tiny keys": lambda: [key(f"{n}", 0, b"\x00") for n in range(100_000)],
    "long keys": lambda: [key(f"{n:0240}", 0, b"\x00") for n in range(MAX_KEYS)],
    "keys of the tokenizer": lambda: [key(f"tokenizer.{n}", 8, text("x" * 220)) for n in range(MAX_KEYS)],
    "nested arrays": lambda: [key("a", 9, array(9, 1, array(9, 1, b"") * 80_000))],
    "a million texts": lambda: [key("a", 9, array(8, 10**6, text("") * 130_000))],
    "texts left out": lambda: [key("a", 9, array(8, 16_384, text("x" * 50) * 16_384))],
    "texts in large arrays": lambda: [key(f"{n}", 9, array(8, 4096, text("") * 4096)) for n in range(40)],
    "texts in small arrays": lambda: [
        key(f"{n}", 9, array(8, 4, (struct.pack("<Q", 15) + INVALID * 15) * 4)) for n in range(MAX_KEYS)
    ],
    "small arrays": lambda: [key(f"{n}", 9, array(0, 4, bytes(4))) for n in range(MAX_KEYS)],
    "long texts": lambda: [key(f"{n}", 8, struct.pack("<Q", 4096) + INVALID * 4096) for n in range(300)],
    "numbers": lambda: [key(f"{n}", 9, array(12, 4096, bytes(8 * 4096))) for n in range(40)],
}
"""The slowest heads that were found; of a weights file no more than 1 MiB is read."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_head_of_a_mebibyte_takes_under_a_tenth_of_a_second(name: str) -> None:
    assert cpu_seconds(gguf(*HOSTILE[name]())[: 2**20]) < LIMIT_SECONDS
