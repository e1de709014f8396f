"""The operator's statement of memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_ollama.models.hardware import Gpu, Ram
from mcp_ollama.models.machine import Memory, parse_memory

GIB = 2**30


def gpus(*sizes: int) -> tuple[Gpu, ...]:
    return tuple(Gpu(f"GPU {number}", size * GIB, size * GIB) for number, size in enumerate(sizes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24GB", Memory(gpus(24), None, "operator")),
        (" 24 gb ", Memory(gpus(24), None, "operator")),
        ("24GiB", Memory(gpus(24), None, "operator")),
        ("24GB,24GB", Memory(gpus(24, 24), None, "operator")),
        ("24GB, 12GB", Memory(gpus(24, 12), None, "operator")),
        ("gpu:24GB ram:64GB", Memory(gpus(24), Ram(64 * GIB, 64 * GIB), "operator")),
        ("gpu:24GB,12GB ram:64GB", Memory(gpus(24, 12), Ram(64 * GIB, 64 * GIB), "operator")),
        ("ram:32GB", Memory((), Ram(32 * GIB, 32 * GIB), "operator")),
    ],
)
def test_statement_names_gpus_and_ram(text: str, expected: Memory) -> None:
    assert parse_memory(text) == expected


@settings(deadline=None)
@given(st.text(alphabet="gpuram:24 GBi,.kMT"))
def test_any_statement_is_read_or_refused(text: str) -> None:
    try:
        is_sound = parse_memory(text).origin == "operator"
    except ValueError as error:
        is_sound = str(error).endswith(".")

    assert is_sound
