"""Verdicts: which edges are claimed, and as what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.diff.record import VERDICTS
from circuitgraph.lenses.edge_tests import INSUFFICIENT, EdgeTests, Intervals
from circuitgraph.stats.margins import adjusted, half_width, treat_p

REWIRED, SIGN_FLIP, GAINED, LOST, UNCHANGED, NOT_DETECTED, NOT_TESTABLE = range(len(VERDICTS))


@dataclass(frozen=True)
class Decided:
    """Every edge's p-value, interval and verdict; [e] each.

    Attributes
    ----------
    p, q : float64
        Of a change beyond the margin, plain and adjusted over testable edges.
    low, high : float64
        95% interval of the change.
    verdict, reason : int8
        Indices into ``VERDICTS`` and ``REASONS``.
    own : Intervals
        Each side's 95% interval, for the claims in row order.
    """

    p: np.ndarray
    q: np.ndarray
    low: np.ndarray
    high: np.ndarray
    verdict: np.ndarray
    reason: np.ndarray
    own: Intervals

    @property
    def claims(self) -> np.ndarray:
        """Rows of the claims, int."""
        return np.flatnonzero(self.verdict <= LOST)


def decide(tests: EdgeTests, margin: float, alpha: float, fdr: str, *, enough: bool) -> Decided:
    """Give every edge its verdict.

    ``enough``: whether the evidence suffices; without it every edge is ``not_testable``, with its
    numbers.
    """
    half, barred, rule = half_width(tests.se, tests.df), tests.reason > 0, tests.rule
    p = treat_p(tests.delta, tests.se, tests.df, margin) if rule is None else rule.p.copy()
    if enough:  # what cannot be tested has no p-value; without evidence numbers only describe
        p[barred] = half[barred] = np.nan
    q = adjusted(np.where(barred, np.nan, p), fdr)
    excluded = within(tests, margin) & tests.excludes
    verdict = np.where(excluded, UNCHANGED, NOT_DETECTED).astype(np.int8)
    with np.errstate(invalid="ignore"):
        claimed = np.flatnonzero((q <= alpha) & (True if rule is None else rule.large))
    verdict[barred] = NOT_TESTABLE
    reason = tests.reason
    if not enough:
        verdict[:] = NOT_TESTABLE
        reason = np.full_like(reason, INSUFFICIENT)
        claimed = claimed[:0]
    own = tests.own(claimed) if len(claimed) else (np.empty(0),) * 4
    verdict[claimed] = _kinds(tests, claimed, own, margin)
    low, high = tests.delta - half, tests.delta + half
    if rule is not None:
        low, high = (np.clip(end, *rule.bounds) for end in (low, high))
    return Decided(p, q, low, high, verdict, reason, own)


def _kinds(tests: EdgeTests, rows: np.ndarray, own: Intervals, margin: float) -> np.ndarray:
    """Kinds of the claims, int8 [k]."""
    if tests.rule is None:
        return _kind_of_claim(own, margin or tests.default_margin)
    return np.array([VERDICTS.index(name) for name in tests.rule.kinds(rows)], np.int8)


def within(tests: EdgeTests, margin: float) -> np.ndarray:
    """Edges whose 90% interval of the change lies within ± margin.

    Edges without any spread are left out: identical numbers were not measured twice.
    """
    if margin == 0:
        return np.zeros(len(tests), bool)
    with np.errstate(invalid="ignore"):
        reach = np.abs(tests.delta) + half_width(tests.se, tests.df, 0.90)
        return (reach <= margin) & (tests.se > 0)


def _kind_of_claim(own: Intervals, margin: float) -> np.ndarray:
    """``gained`` or ``lost`` before ``sign_flip`` before ``rewired``, from the sides' intervals.

    A flip needs both intervals beyond the margin.
    """
    low_a, high_a, low_b, high_b = own
    absent_a = (low_a >= -margin) & (high_a <= margin)
    absent_b = (low_b >= -margin) & (high_b <= margin)
    flipped = ((low_a > margin) & (high_b < -margin)) | ((high_a < -margin) & (low_b > margin))
    return np.select(
        [absent_a & ~absent_b, absent_b & ~absent_a, flipped],
        [GAINED, LOST, SIGN_FLIP],
        REWIRED,
    ).astype(np.int8)
