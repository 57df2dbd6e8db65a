"""Lens ``wiring`` at scope ``recipe``: which channels does this training change?

Every variant is compared with the common base. Its number for an edge is log T, the prominence
of the edge's change among its receiver's inputs: independent of the sizes of updates, and 0
everywhere for the base itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np

from circuitgraph.lenses.base import Measured, Options
from circuitgraph.lenses.correlation.checkpoint import variance_of
from circuitgraph.lenses.edge_tests import (
    NO_SIGNAL,
    NOT_FINITE,
    TESTABLE,
    EdgeTests,
    Groups,
    LensDetails,
    Rule,
    flag,
    flag_numbers,
)
from circuitgraph.lenses.effect.checkpoint import edge_names
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.recipe import Combined, combine, own_intervals
from circuitgraph.lenses.refits import ClaimRefits, Claims
from circuitgraph.lenses.wiring.against_base import SURELY, ChangeFromBase, log_times
from circuitgraph.lenses.wiring.channel_tests import PROMINENT
from circuitgraph.lenses.wiring.checkpoint import (
    MARGIN,
    Between,
    WiringRefits,
    as_channels,
    once_a_pair,
)
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.replicates import moderate
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, balanced_weights, centre


@dataclass(frozen=True)
class GroupRefits(WiringRefits):
    """Refits of two groups, each variant against the base; ``whole`` is the groups' whole test."""

    sides: Sequence[Sequence[ChangeFromBase]]
    whole: Combined

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        return self._claimed(self.sides, weights)

    def without_replicates(self) -> np.ndarray:
        """Claims with each replicate left out of a group of more than two; bool [fits × k]."""
        whole, found = balanced_weights(self.scenarios)[None], []
        for number, side in enumerate(self.sides):
            for i in range(len(side) if len(side) > 2 else 0):
                fewer = [list(members) for members in self.sides]
                del fewer[number][i]
                found.append(self._claimed(fewer, whole)[0])
        return np.array(found, bool).reshape(-1, len(self.edges))

    def _claimed(
        self, sides: Sequence[Sequence[ChangeFromBase]], weights: np.ndarray
    ) -> np.ndarray:
        rows, whole = self.edges, self.whole
        times = [
            np.mean([log_times(one.channels, weights)[:, rows] for one in side], axis=0)
            for side in sides
        ]
        changes = [
            weights @ np.mean([one.channels.delta[:, rows] for one in side], axis=0)
            for side in sides
        ]
        apart = times[1] - times[0]
        p = treat_p(apart, whole.se[rows], whole.df[rows], SURELY)
        with np.errstate(invalid="ignore"):
            found = (p <= self.cutoff) & (np.abs(apart) >= log(PROMINENT))
            found &= np.abs(changes[1] - changes[0]) >= self.margin
        return found & (np.sign(apart) == np.sign((whole.mean_b - whole.mean_a)[rows]))


def measure(matched: Matched, base: Run, between: Between, options: Options) -> Measured:
    """Test the changes of two groups of variants from their common base.

    Parameters
    ----------
    matched : Matched
        Replicates, or one fixed reference, a side.
    base : Run
        Of the model all variants come from.
    between : callable
        Measures the channels of two runs' models.
    """
    sides = _against(matched, base, between)
    changes = [tuple(found.channels.delta for found in side) for side in sides]
    matched = as_channels(matched, sides[0][0].channels, *changes)
    margin = MARGIN if options.margin is None else float(options.margin)
    reason = _reasons(sides)
    standing = _standing(matched, sides, base, reason == TESTABLE)
    tests = _tests(matched, reason)
    flag_numbers(reason, standing.mean_b - standing.mean_a, standing.se, matched.n_effective > 0)

    def refit(claims: Claims) -> ClaimRefits:
        found = matched.scenarios, claims.rows, claims.margin, claims.cutoff
        return GroupRefits(*found, sides, standing)

    tests = replace(tests, rule=_rule(tests, standing, margin))
    return Measured(matched, tests, refit, _details(matched, sides, standing))


def _against(matched: Matched, base: Run, between: Between) -> list[list[ChangeFromBase]]:
    """Every variant of both sides against the base; the base itself is not measured again."""
    a, b = matched.runs_a, matched.runs_b

    def measured(run: Run) -> ChangeFromBase:
        return ChangeFromBase.of(once_a_pair(matched, between(base, run)), matched.scenarios)

    trained = {run.id: run for run in (*a, *b) if run.id != base.id} or {base.id: base}
    found = {key: measured(run) for key, run in trained.items()}
    if base.id not in found:
        found[base.id] = next(iter(found.values())).unchanged()
    return [[found[run.id] for run in side] for side in (a, b)]


def _reasons(sides: Sequence[Sequence[ChangeFromBase]]) -> np.ndarray:
    everyone = [found for side in sides for found in side]
    reason = np.zeros(len(everyone[0].log_times), np.int8)
    numbers = np.vstack([found.log_times for found in everyone])
    quiet = [(f.channels.norm_a == 0).all(0) & (f.channels.norm_b == 0).all(0) for f in everyone]
    silent = np.all(quiet, axis=0)
    flag(reason, ~np.isfinite(numbers).all(0) & ~silent, NOT_FINITE)
    flag(reason, silent, NO_SIGNAL)
    return reason


def _standing(
    matched: Matched, sides: Sequence[Sequence[ChangeFromBase]], base: Run, testable: np.ndarray
) -> Combined:
    """log T of both groups, with the spread of replicates and of prompts."""
    numbers = [np.vstack([found.log_times for found in side]) for side in sides]
    mean = [np.mean([found.influence for found in side], axis=0) for side in sides]
    change, own_a, own_b = (
        variance_of(centre(values, matched.scenarios), matched.n_effective)
        for values in (mean[1] - mean[0], *mean)
    )
    for side, other in ((0, 1), (1, 0)):
        runs = (matched.runs_a, matched.runs_b)[side]
        if len(runs) == 1 and runs[0].id != base.id and len(numbers[other]) > 1:
            # Trained like the others, it was lucky or not like them: only the base is fixed.
            change = change + moderate(numbers[other], fitted=testable).variance
    found = Groups(numbers[0], numbers[1], change, own_a, own_b)
    return combine(found, matched.n_effective, testable, trend=True)


def _tests(matched: Matched, reason: np.ndarray) -> EdgeTests:
    """The groups' mean relative changes from the base, and their difference."""
    codes = matched.scenarios
    numbers = [
        np.vstack([balanced_mean(change, codes) for change in side])
        for side in (matched.a, matched.b)
    ]
    mean = [np.mean(side, axis=0) for side in (matched.a, matched.b)]
    prompts = [balanced_variance(values, codes) for values in (mean[1] - mean[0], *mean)]
    both = combine(Groups(*numbers, *prompts), matched.n_effective, reason == TESTABLE, trend=True)
    return EdgeTests(
        names=edge_names(matched),
        weight_a=both.mean_a,
        weight_b=both.mean_b,
        delta=both.mean_b - both.mean_a,
        se=both.se,
        df=both.df,
        reason=reason,
        default_margin=MARGIN,
        own=lambda edges: own_intervals(both, edges),
        per_prompt=lambda edges: (mean[1] - mean[0])[:, edges],
    )


def _rule(tests: EdgeTests, standing: Combined, margin: float) -> Rule:
    """Claims: log T differs by log 4, tested beyond log 2, and the change by the margin."""
    apart = standing.mean_b - standing.mean_a
    with np.errstate(invalid="ignore"):
        large = (np.abs(apart) >= log(PROMINENT)) & (np.abs(tests.delta) >= margin)
    return Rule(
        p=treat_p(apart, standing.se, standing.df, SURELY),
        large=large,
        kinds=lambda rows: np.full(len(rows), "rewired"),
        bounds=(-1.0, 1.0),
    )


def _details(
    matched: Matched, sides: Sequence[Sequence[ChangeFromBase]], standing: Combined
) -> LensDetails:
    codes = matched.scenarios

    def apart(name: str) -> np.ndarray:
        a, b = (
            np.mean([balanced_mean(getattr(f.channels, name), codes) for f in side], axis=0)
            for side in sides
        )
        return b - a

    mean = [np.mean(side, axis=0) for side in (matched.a, matched.b)]
    return LensDetails(
        by_edge={
            "read": apart("read"),
            "write": apart("write"),
            "times_median_a": np.exp(standing.mean_a / 2),
            "times_median_b": np.exp(standing.mean_b / 2),
        },
        by_prompt={"weight_a": mean[0], "weight_b": mean[1], "delta": mean[1] - mean[0]},
    )
