"""The test itself, from two groups of runs to a verdict per edge.

Diffs, their decoys and their across-scenario table all go through here, so that they are
judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.diff.options import Options
from circuitgraph.diff.record import COLUMNS, MECHANISMS, VERDICTS, Closer
from circuitgraph.diff.verdicts import Decided, decide, without_unchanged
from circuitgraph.lenses.correlation import checkpoint as correlation
from circuitgraph.lenses.correlation import recipe as correlation_recipe
from circuitgraph.lenses.edge_tests import REASONS, EdgeTests
from circuitgraph.lenses.effect import checkpoint as effect
from circuitgraph.lenses.effect import recipe as effect_recipe
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.lenses.mechanism.shapley import UNKNOWN
from circuitgraph.runs.record import Run
from circuitgraph.runs.signs import Rows, asked, notes
from circuitgraph.stats.columns import coded, constant
from circuitgraph.stats.evidence import MIN_REPLICATES, enough_replicates, evidence


class Again(Protocol):
    """A test of some claims that can be made again; see ``diff.refits``."""

    @property
    def edges(self) -> np.ndarray: ...

    @property
    def balanced(self) -> bool: ...

    def resampled(self, weights: np.ndarray) -> np.ndarray: ...

    def without(self, kept: np.ndarray) -> np.ndarray: ...

    def without_replicates(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Outcome:
    """A judged comparison.

    Attributes:
        matched: the runs, lined up.
        tests: one test per edge.
        decided: one verdict per edge.
        margin: the margin used.
        evidence: ``ok``, ``low`` or ``insufficient``.
        closer: further numbers of the wiring lens.
        again: its claims, ready to be tested again; other lenses refit by ``diff.refits``.
    """

    matched: Matched
    tests: EdgeTests
    decided: Decided
    margin: float
    evidence: str
    closer: Closer = field(default_factory=Closer)
    again: Again | None = None


def judge(a: Sequence[Run], b: Sequence[Run], options: Options) -> Outcome:
    """Line up the runs, test every edge and give verdicts.

    Raises
    ------
    UsageError
        The runs cannot be compared, or the checkpoint scope was asked of groups.
    """
    require_single(a, b, options)
    matched = match_runs(a, b, options.lens)
    return _decided(matched, measure(matched, options), options, evidence_of(matched, options))


def require_single(a: Sequence[Run], b: Sequence[Run], options: Options) -> None:
    """Refuse groups at the checkpoint scope."""
    if options.scope == "checkpoint" and (len(a) != 1 or len(b) != 1):
        raise UsageError(
            "the checkpoint scope compares one variant with one other; "
            "use the recipe scope for groups"
        )


def judge_across(outcome: Outcome, options: Options) -> Outcome | None:
    """The same test on scenario means; None under 20 scenarios or for other lenses."""
    wanted = options.lens == "correlation" and options.scope == "checkpoint"
    if not wanted or outcome.matched.n_scenarios < correlation.MIN_ACROSS:
        return None
    matched = correlation.across_scenarios(outcome.matched)
    return _decided(matched, measure(matched, options), options, "ok")


def measure(matched: Matched, options: Options) -> EdgeTests:
    """The lens' test of every edge, at the scope chosen."""
    if options.lens == "correlation":
        measure = correlation_recipe.measure if options.scope == "recipe" else correlation.measure
        return measure(matched, rank=options.rank)
    measure_effect = effect_recipe.measure if options.scope == "recipe" else effect.measure
    return measure_effect(matched, scale=options.scale)


def evidence_of(matched: Matched, options: Options) -> str:
    """What the prompts, and at recipe scope the replicates, allow to say."""
    if options.scope == "recipe" and too_few_replicates(matched):
        return "insufficient"
    return evidence(options.lens, matched.n_effective)


def too_few_replicates(matched: Matched) -> bool:
    """Whether the variants are too few to speak of a recipe.

    A group of which equal weights leave one is no fixed reference, but too small a group.
    """
    sides = zip((matched.runs_a, matched.runs_b), matched.named, strict=True)
    alike = any(len(runs) < min(named, MIN_REPLICATES) for runs, named in sides)
    return alike or not enough_replicates(len(matched.runs_a), len(matched.runs_b))


def _decided(matched: Matched, tests: EdgeTests, options: Options, found: str) -> Outcome:
    margin = tests.default_margin if options.margin is None else float(options.margin)
    decided = decide(tests, margin, options.alpha, options.fdr, enough=found != "insufficient")
    if options.lens == "effect" and totals_told(matched)[1]:
        decided = without_unchanged(decided)
    return Outcome(matched, tests, decided, margin, found)


def totals_told(matched: Matched) -> tuple[list[str], bool]:
    """What must be said of the totals the signs rest on, and whether effects cancel there."""
    run = next((r for r in matched.runs if not r.variant.adapter), matched.runs[0])
    totals = run.totals if run.signs is None else np.array(run.signs.totals)
    rows = Rows.of_run(run)
    others = [rows.turned(other.totals) for other in matched.runs]
    return notes(*asked(run), rows.turned(totals), others)


def table_of(outcome: Outcome, options: Options, n_scenarios: int) -> pd.DataFrame:
    """One row per edge in the columns of a diff; texts are categorical to stay small."""
    tests, decided, matched = outcome.tests, outcome.decided, outcome.matched
    size = len(tests)
    columns = {
        **dict(zip(COLUMNS, tests.names, strict=False)),
        "lens": constant(options.lens, size),
        "scope": constant(options.scope, size),
        "weight_a": tests.weight_a,
        "weight_b": tests.weight_b,
        "delta": tests.delta,
        "low": decided.low,
        "high": decided.high,
        "p": decided.p,
        "q": decided.q,
        "verdict": coded(decided.verdict, VERDICTS),
        "mechanism": _mechanism(decided, options.lens),
        "reason": coded(decided.reason, REASONS),
        "n": np.full(size, matched.n),
        "n_scenarios": np.full(size, n_scenarios),
        "n_effective": np.full(size, matched.n_effective),
    }
    return pd.DataFrame({name: columns[name] for name in COLUMNS}, copy=False)


def _mechanism(decided: Decided, lens: str) -> pd.Categorical:
    """Claims of the effect lens have a mechanism, ``unknown`` until it is measured."""
    codes = np.zeros(len(decided.p), np.int8)
    if lens == "effect":
        codes[decided.claims] = MECHANISMS.index(UNKNOWN)
    return coded(codes, MECHANISMS)
