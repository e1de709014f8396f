"""The arithmetic of a transfer, line by line."""

from collections.abc import Collection, Iterable

import pytest

from mcp_ollama.models.formatting import format_bytes, format_duration
from mcp_ollama.models.progress import ALL_TENSORS, MOST_LAYERS, Meter, describe, phase_of
from mcp_ollama.ollama.schemas import Layer, Manifest, Progress

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def line(digest: str, completed: int = 0, total: int = 100) -> Progress:
    return Progress(status=f"pulling {digest[7:]}", digest=digest, total=total, completed=completed)


def said(status: str) -> Progress:
    return Progress(status=status)


def manifest(*layers: tuple[str, int], config: str = C, config_size: int = 1) -> Manifest:
    return Manifest(
        config=Layer(digest=config, size=config_size),
        layers=[Layer(digest=digest, size=size) for digest, size in layers],
    )


def meter_after(lines: Iterable[Progress], *, plan: Manifest | None = None, present: Collection[str] = ()) -> Meter:
    """A meter that took in lines a second apart, after it learned the plan, if there is one."""
    meter = Meter()
    if plan:
        meter.set_manifest(plan, present)
    for now, one in enumerate(lines):
        meter.update(one, now)
    return meter


def reading(meter: Meter) -> tuple[int, int | None, float | None]:
    return meter.completed_bytes, meter.total_bytes, meter.percent


@pytest.mark.parametrize(
    ("progress", "phase"),
    [
        (said("pulling manifest"), "manifest"),
        (said("retrieving manifest"), "manifest"),
        (line(A), "layer"),
        (Progress(status="verifying", digest=A), "layer"),
        (said("verifying sha256 digest"), "verifying"),
        (said("writing manifest"), "writing"),
        (said("pushing manifest"), "writing"),
        (said("removing unused layers"), "writing"),
        (said("couldn't remove unused layers: busy"), "writing"),
        (said("success"), "done"),
        (said("something new"), "layer"),
        (said(""), "layer"),
    ],
)
def test_each_line_belongs_to_a_phase(progress: Progress, phase: str) -> None:
    assert phase_of(progress) == phase


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], (0, None, None)),
        ([said("pulling manifest")], (0, None, None)),
        ([said("something new")], (0, None, None)),
        ([line(A)], (0, 100, None)),
        ([line(A, 40)], (40, 100, None)),
        # The number of a layer may go backwards: a part is fetched again.
        ([line(A, 40), line(A, 10)], (10, 100, None)),
        # A layer may end short of its total, or without any last line.
        ([line(A, 40), line(B, 5, 10)], (105, 110, None)),
        ([line(A, 100), line(B, 5, 10), line(B, 10, 10)], (110, 110, None)),
        # A server may talk nonsense.
        ([line(A, 400)], (100, 100, None)),
        ([line(A, -5)], (0, 100, None)),
        ([line(A, 40, -1)], (0, None, None)),
        ([line(A, 40), line(A, 50, 0)], (50, 100, None)),
        ([line(A, 40, 100), line(A, 50, 200)], (50, 200, None)),
        ([line(A, 0, 0)], (0, None, None)),
        # All is there as soon as it is verified.
        ([line(A, 40), line(B, 5, 10), said("verifying sha256 digest")], (110, 110, 100.0)),
        ([line(A, 40), said("writing manifest")], (100, 100, 100.0)),
        ([line(A, 40), said("success")], (100, 100, 100.0)),
        ([said("success")], (0, None, None)),
    ],
)
def test_bytes_are_counted_over_all_layers(
    lines: list[Progress], expected: tuple[int, int | None, float | None]
) -> None:
    assert reading(meter_after(lines)) == expected


@pytest.mark.parametrize(
    ("present", "lines", "expected"),
    [
        ((), [], (0, 1000, 0.0)),
        ((), [line(A, 90, 900)], (90, 1000, 9.0)),
        ((), [line(A, 899, 900)], (899, 1000, 89.9)),
        ((), [line(B, 9, 90)], (909, 1000, 90.9)),
        # Never 100 before the end.
        ((), [line(C, 9_999_999, 10_000_000)], (10_000_989, 10_000_990, 99.9)),
        ((B, C), [], (100, 1000, 10.0)),
        ((B, C), [line(A, 450, 900)], (550, 1000, 55.0)),
        ((A, B, C), [], (1000, 1000, 100.0)),
        ((), [line(A, 90, 900), said("verifying sha256 digest")], (1000, 1000, 100.0)),
    ],
)
def test_a_plan_gives_the_whole_from_the_start(
    present: tuple[str, ...], lines: list[Progress], expected: tuple[int, int, float]
) -> None:
    plan = manifest((A, 900), (B, 90), config_size=10)
    assert reading(meter_after(lines, plan=plan, present=present)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([line(A, 90, 900)], (90, 1000, 9.0)),
        ([line(A, 90, 900), line(B, 9, 90)], (909, 1000, 90.9)),
        ([line("sha256:foreign", 5, 7)], (0, 1000, 0.0)),
        ([line(A, 90, 900), said("verifying sha256 digest")], (1000, 1000, 100.0)),
        ([line(ALL_TENSORS, 5, 700)], (5, 700, 0.7)),
    ],
    ids=["in the first", "in the second", "of another model", "too late", "tensors"],
)
def test_a_plan_may_come_while_lines_do(lines: list[Progress], expected: tuple[int, int, float]) -> None:
    meter = meter_after(lines)
    meter.set_manifest(manifest((A, 900), (B, 90), config_size=10), ())
    assert reading(meter) == expected


def test_a_blob_that_a_manifest_names_twice_is_counted_once() -> None:
    assert reading(meter_after([], plan=manifest((A, 900), (A, 900), config=A, config_size=900))) == (0, 900, 0.0)


def test_all_tensors_are_reported_as_one() -> None:
    lines = [line(ALL_TENSORS, 100, 400), line(ALL_TENSORS, 200, 400)]
    assert reading(meter_after(lines, plan=manifest((A, 200), (B, 199)))) == (200, 400, 50.0)


def test_tensors_missing_after_a_reconnect_are_a_part_of_the_whole() -> None:
    lines = [line(ALL_TENSORS, 300, 400), said("pulling manifest"), line(ALL_TENSORS, 50, 100)]
    assert reading(meter_after(lines)) == (350, 400, 87.5)


def test_an_expected_size_is_the_whole_until_the_layers_are_known() -> None:
    meter = Meter()
    meter.set_total(1000)
    meter.update(line(A, 250, 500), 0)
    assert reading(meter) == (250, 1000, 25.0)
    meter.update(said("pushing manifest"), 1)
    assert reading(meter) == (500, 500, 100.0)


def test_nothing_is_expected_of_an_empty_model() -> None:
    meter = Meter()
    meter.set_total(0)
    assert reading(meter) == (0, None, None)


@pytest.mark.parametrize(
    ("size", "expected"), [(150, (150, 150, 100.0)), (100, (100, 100, 100.0)), (0, (100, 100, 100.0))]
)
def test_a_size_that_is_learnt_at_the_end_is_all_there(size: int, expected: tuple[int, int, float]) -> None:
    meter = meter_after([line(A, 40)])
    meter.finalize(size)
    assert reading(meter) == expected


def test_a_rate_is_measured_from_the_second_line_of_a_layer() -> None:
    plan = manifest((A, 1000), config_size=0)
    meter = meter_after([line(A, 400, 1000)], plan=plan)
    assert (meter.bytes_per_second, meter.eta_seconds) == (None, None)
    meter.update(line(A, 410, 1000), 0.1)
    assert meter.bytes_per_second is None
    meter.update(line(A, 500, 1000), 1)
    assert (meter.bytes_per_second, meter.eta_seconds) == (100, 5.0)


def test_a_rate_is_smoothed() -> None:
    meter = meter_after([line(A, 0, 10_000), line(A, 100, 10_000)])
    meter.update(line(A, 1100, 10_000), 2)
    assert meter.bytes_per_second is not None
    assert 200 < meter.bytes_per_second < 400
    meter.update(line(A, 1100, 10_000), 60)
    assert meter.bytes_per_second < 20


@pytest.mark.parametrize(
    "interruption",
    [line(B, 900, 1000), said("pulling manifest"), line(A, 10, 1000)],
    ids=["layer", "retry", "backwards"],
)
def test_bytes_that_were_there_before_are_no_speed(interruption: Progress) -> None:
    meter = meter_after([line(A, 0, 1000), line(A, 100, 1000), interruption])
    assert meter.bytes_per_second == 100


def test_a_rate_ends_with_the_bytes() -> None:
    meter = meter_after([line(A, 0), line(A, 50), said("verifying sha256 digest")])
    assert (meter.bytes_per_second, meter.eta_seconds) == (None, None)


def test_what_next_to_nothing_comes_of_has_no_end_and_breaks_nothing() -> None:
    meter = Meter()
    meter.set_manifest(manifest((A, 2_000_000_000)), ())
    seconds = [0, 1, *range(2, 6000, 4)]
    for second in seconds:
        meter.update(line(A, min(second, 1) * 1_000_000_000, 2_000_000_000), second)
        assert meter.eta_seconds is None or meter.eta_seconds < 7 * 86_400
        assert "left" not in describe("a", "downloading", meter) or second < 100


def test_layers_without_end_are_not_counted() -> None:
    meter = meter_after(line(f"sha256:{number:064x}", 1, 1) for number in range(MOST_LAYERS + 100))
    assert meter.completed_bytes == MOST_LAYERS


def test_a_standstill_has_no_end() -> None:
    meter = meter_after([line(A, 50), line(A, 50)], plan=manifest((A, 100)))
    assert (meter.bytes_per_second, meter.eta_seconds) == (0, None)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (999.4, "999 B"), (1000, "1.0 KB"), (9_949, "9.9 KB"),
        (9_951, "10 KB"), (48_000_000, "48 MB"), (999_400_000, "999 MB"), (999_600_000, "1.0 GB"),
        (1_234_567_890, "1.2 GB"), (2e12, "2.0 TB"), (5e15, "5000 TB"),
    ],
)  # fmt: skip
def test_bytes_are_said_as_ollama_says_them(count: float, words: str) -> None:
    assert format_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (17.4, "17 s"), (99.4, "99 s"), (100, "2 min"),
        (3569, "59 min"), (3570, "1 h 0 min"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_seconds_are_said_in_round_numbers(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("state", "lines", "planned", "expected"),
    [
        ("queued", [], False, "llama3.2:3b queued"),
        ("downloading", [], False, "llama3.2:3b downloading"),
        ("verifying", [line(A, GB, 2 * GB)], True, "llama3.2:3b verifying"),
        ("downloading", [line(A, GB, 2 * GB)], False, "llama3.2:3b 1.0 GB"),
        ("downloading", [line(A, GB, 2 * GB)], True, "llama3.2:3b 1.0 of 2.0 GB"),
        ("uploading", [line(A, GB // 2, 2 * GB)], True, "llama3.2:3b 500 MB of 2.0 GB"),
        (
            "downloading",
            [line(A, GB, 2 * GB), line(A, 1_048_000_000, 2 * GB)],
            True,
            "llama3.2:3b 1.0 of 2.0 GB, 48 MB/s, 20 s left",
        ),
        ("downloading", [line(A, GB, 2 * GB), line(A, GB + 48_000_000, 2 * GB)], False, "llama3.2:3b 1.0 GB, 48 MB/s"),
        ("downloading", [line(A, GB, 2 * GB), line(A, GB, 2 * GB)], True, "llama3.2:3b 1.0 of 2.0 GB"),
    ],
)
def test_progress_line_shows_the_state_of_a_transfer(
    state: str, lines: list[Progress], planned: bool, expected: str
) -> None:
    meter = meter_after(lines, plan=manifest((A, 2 * GB), config_size=0) if planned else None)
    assert describe("llama3.2:3b", state, meter) == expected


def test_a_line_is_short_for_any_name() -> None:
    meter = meter_after([line(A, 0, 10**14), line(A, 10, 10**14)], plan=manifest((A, 10**14)))
    text = describe("x" * 500, "downloading", meter)
    assert len(text) < 120
    assert text.startswith(f"{'x' * 49}… ")
    assert describe("x" * 50, "queued", Meter()) == f"{'x' * 50} queued"
