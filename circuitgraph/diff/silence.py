"""The smallest margin at which a test claims nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np

from circuitgraph.diff.confirm import compare_exactly
from circuitgraph.lenses.base import Models, Options
from circuitgraph.lenses.edge_tests import EdgeTests
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.multiplicity import adjusted

STEPS = 24
"""Halvings of the interval in which the margin lies."""


def silent_at(a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None) -> float:
    """The smallest margin, from that of the options on, without claims.

    For confirmed screens, without edges claimed by both.
    """
    tests = _tests(a, b, options, models)
    low = float(options.margin or 0.0)
    if not claimed(tests, low, options):
        return low
    high = max(float(np.nanmax(np.abs(each.delta))) for each in tests)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if claimed(tests, middle, options) else (low, middle)
    digits = 10.0 ** (2 - floor(log10(high)))
    return ceil(high * digits) / digits  # as it will be typed: three digits, never too few


def claims_at(
    a: Sequence[Run], b: Sequence[Run], margin: float, options: Options, models: Models | None
) -> int:
    """Number of claims of the same test at another margin."""
    return claimed(_tests(a, b, options, models), margin, options)


def _tests(
    a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None
) -> list[EdgeTests]:
    outcome, confirmation = compare_exactly(a, b, options, models, strongest=0)
    screen = [] if confirmation is None else [confirmation.screen.tests]
    return [outcome.tests, *screen]


def claimed(tests: Sequence[EdgeTests], margin: float, options: Options) -> int:
    """Number of edges that all these tests claim at a margin."""
    found = np.ones(len(tests[0]), bool)
    for each in tests:
        p = treat_p(each.delta, each.se, each.df, margin)
        q = adjusted(np.where(each.reason > 0, np.nan, p), options.fdr)
        with np.errstate(invalid="ignore"):
            found &= q <= options.alpha
    return int(found.sum())
