"""Processor seconds of each test file, children that were waited for included.

Wall time on shared cores says little of what a test costs; these seconds hardly depend on who
else computes. What a server or a browser spends beside the tests is not in them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import pytest

WORST = 25
"""How many files are printed."""


class Costs:
    """Measures in each process that runs tests, adds up where their results are told."""

    def __init__(self) -> None:
        self._before = _spent()
        self.files: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = _spent()
        report.processor_seconds, self._before = now - self._before, now  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self.files[file] += getattr(report, "processor_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = sum(self.files.values())
        terminalreporter.section(f"processor seconds: {total:.0f}, most in these {WORST} files")
        for file, seconds in self.files.most_common(WORST):
            terminalreporter.line(f"{seconds:7.1f} {file}")


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
