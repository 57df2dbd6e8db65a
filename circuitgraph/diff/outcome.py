"""p-values and verdicts (``gained``, ``sign_flip``, …) of every edge of two groups of runs.

Diffs, null pairs and across-scenario tables all use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import coded, constant
from circuitgraph.diff.record import COLUMNS, MECHANISMS, VERDICTS
from circuitgraph.lenses.base import Measured, Models, Options
from circuitgraph.lenses.edge_tests import (
    INSUFFICIENT,
    REASONS,
    EdgeTests,
    Intervals,
    LensDetails,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.mechanism.split import UNKNOWN
from circuitgraph.lenses.refits import ClaimRefits, Claims
from circuitgraph.runs.record import Run
from circuitgraph.stats.evidence import MIN_REPLICATES, enough_replicates, graded
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


@dataclass(frozen=True)
class Outcome:
    """A tested comparison.

    Attributes
    ----------
    measured : Measured
    decided : Decided
        One verdict per edge.
    margin : float
    evidence : {"ok", "low", "insufficient"}
    """

    measured: Measured
    decided: Decided
    margin: float
    evidence: str

    @property
    def matched(self) -> Matched:
        return self.measured.matched

    @property
    def tests(self) -> EdgeTests:
        return self.measured.tests

    @property
    def lens_details(self) -> LensDetails:
        return self.measured.lens_details

    def refit(self, rows: np.ndarray, options: Options) -> ClaimRefits:
        """Prepare some claims (rows, int [k]) for being tested again."""
        cutoff = float(self.decided.p[self.decided.claims].max(initial=0.0))
        asked = options.alpha, options.fdr, options.scope
        return self.measured.refit(Claims(rows, cutoff, self.margin, *asked))


def compare_sides(
    a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None = None
) -> Outcome:
    """Line up the runs, test every edge and give verdicts.

    Raises
    ------
    UsageError
        The runs cannot be compared, groups at the checkpoint scope, or missing models.
    InputError
        Models cannot be loaded.
    """
    if options.scope == "checkpoint" and (len(a) != 1 or len(b) != 1):
        raise UsageError(
            "the checkpoint scope compares one variant with one other; "
            "use the recipe scope for groups"
        )
    measured = options.lens.measure(a, b, options, models)
    return _outcome_of(measured, options, evidence_of(measured.matched, options))


def compare_across(outcome: Outcome, options: Options) -> Outcome | None:
    """The same test on scenario means; None where these are too few, or the lens has none."""
    lens = options.lens
    matched = lens.across(outcome.matched) if options.scope == "checkpoint" else None
    return None if matched is None else _outcome_of(lens.measured(matched, options), options, "ok")


def evidence_of(matched: Matched, options: Options) -> str:
    """Grade of the evidence by prompts and, at recipe scope, replicates."""
    if options.scope == "recipe" and too_few_replicates(matched):
        return "insufficient"
    return graded(options.lens.evidence, matched.n_effective)


def too_few_replicates(matched: Matched) -> bool:
    """Whether the variants are too few for claims about a recipe.

    A group with one run left of equal weights is no fixed reference, but too small a group.
    """
    sides = zip((matched.runs_a, matched.runs_b), matched.named, strict=True)
    alike = any(len(runs) < min(named, MIN_REPLICATES) for runs, named in sides)
    return alike or not enough_replicates(len(matched.runs_a), len(matched.runs_b))


def _outcome_of(measured: Measured, options: Options, found: str) -> Outcome:
    tests = measured.tests
    margin = tests.default_margin if options.margin is None else float(options.margin)
    decided = decide(tests, margin, options.alpha, options.fdr, enough=found != "insufficient")
    return Outcome(measured, decided, margin, found)


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

    A flip needs both intervals beyond the margin. Lenses with a rule of their own (``Rule``) name
    their claims themselves.
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


def table_of(outcome: Outcome, options: Options, n_scenarios: int) -> pd.DataFrame:
    """One row per edge in the columns of a diff; texts are categorical to stay small."""
    tests, decided, matched = outcome.tests, outcome.decided, outcome.matched
    size = len(tests)
    columns = {
        **dict(zip(COLUMNS, tests.names, strict=False)),
        "lens": constant(options.lens.name, size),
        "scope": constant(options.scope, size),
        "weight_a": tests.weight_a,
        "weight_b": tests.weight_b,
        "delta": tests.delta,
        "low": decided.low,
        "high": decided.high,
        "p": decided.p,
        "q": decided.q,
        "verdict": coded(decided.verdict, VERDICTS),
        "mechanism": _mechanism(decided, options),
        "reason": coded(decided.reason, REASONS),
        "n": np.full(size, matched.n),
        "n_scenarios": np.full(size, n_scenarios),
        "n_effective": np.full(size, matched.n_effective),
    }
    return pd.DataFrame({name: columns[name] for name in COLUMNS}, copy=False)


def _mechanism(decided: Decided, options: Options) -> pd.Categorical:
    """``unknown`` for claims whose mechanism the lens could measure."""
    codes = np.zeros(len(decided.p), np.int8)
    if options.lens.has_mechanism:
        codes[decided.claims] = MECHANISMS.index(UNKNOWN)
    return coded(codes, MECHANISMS)
