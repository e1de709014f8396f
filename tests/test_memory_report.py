"""The figures of docs/memory.md are those that the estimates reach."""

import pytest

from scripts import memory_report


def test_memory_page_holds_the_current_table() -> None:
    page = memory_report.PAGE.read_text(encoding="utf-8")

    assert memory_report.replace_table(page) == page


def test_memory_report_prints_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["memory_report"])

    memory_report.main()

    assert capsys.readouterr().out == memory_report.build_table()
