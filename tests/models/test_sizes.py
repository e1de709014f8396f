"""Sizes as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_ollama.models.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "memory", "disk"),
    [
        ("8 GB", 8 * 1024**3, 8 * 1000**3),
        ("8GB", 8 * 1024**3, 8 * 1000**3),
        (" 8 gb ", 8 * 1024**3, 8 * 1000**3),
        ("8 GiB", 8 * 1024**3, 8 * 1024**3),
        ("8G", 8 * 1024**3, 8 * 1000**3),
        ("1.5 TB", 1024**4 * 3 // 2, 1_500_000_000_000),
        (".5 MB", 524_288, 500_000),
        ("10 kB", 10_240, 10_000),
        ("1500000 B", 1_500_000, 1_500_000),
        ("999999 TiB", 999_999 * 2**40, 999_999 * 2**40),
        ("0 GB", 0, 0),
        ("2500000", 2_500_000, 2_500_000),
        (1_000_000, 1_000_000, 1_000_000),
        (2e6, 2_000_000, 2_000_000),
        (25_769_803_776, 25_769_803_776, 25_769_803_776),
    ],
)
def test_size_of_memory_is_binary_and_of_disks_decimal(text: str | float, memory: int, disk: int) -> None:
    assert (parse_size(text, binary=True), parse_size(text, binary=False)) == (memory, disk)


@pytest.mark.parametrize(
    "value",
    [
        "8",
        12,
        999_999,
        8.5,
        "",
        "GB",
        "eight GB",
        "8 XB",
        "8B",
        "9000000 TiB",
        "999999999999999 TB",
        10**400,
        1e308,
        "-8 GB",
        "8 GB free",
        "1e3 GB",
        float("inf"),
        float("nan"),
        True,
    ],
)
def test_anything_else_is_refused_with_an_example(value: str | float) -> None:
    with pytest.raises(ValueError, match=r"is not a size: write it with a unit, such as \"8 GB\"\.$"):
        parse_size(value, binary=True)


def test_refusal_quotes_the_value() -> None:
    with pytest.raises(ValueError, match=r"^'8' is not a size"):
        parse_size(8, binary=True)


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.from_regex(r"\d+ ?[kmgtKMGT]?i?[bB]?", fullmatch=True)))
def test_any_value_is_a_size_or_refused(value: str | float) -> None:
    try:
        is_sound = parse_size(value, binary=False) >= 0
    except ValueError as error:
        is_sound = str(error).endswith('"8 GB".')

    assert is_sound
