"""Prints the table of the attacks, whoever ran them."""

import os

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the peak of memory and the longest block of the event loop for each attack of this run."""
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.getreports(outcome)]
    rows = [str(row) for report in reports if report.when == "call" for _, row in report.user_properties]
    if os.environ.get("ATTACK"):
        terminalreporter.section("peak memory and longest block of the event loop")
        terminalreporter.write("".join(f"{row}\n" for row in rows))
