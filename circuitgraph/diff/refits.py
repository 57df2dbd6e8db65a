"""The test of a diff made again: on resampled prompts, without some, without a replicate.

Effects keep the norms and signs of the whole diff; where prompts are left out,
correlations are standardised anew; where they are resampled, a correlation changes by each
prompt's influence on it. Very large diffs refit their claims alone, to first order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from circuitgraph.diff.options import Options
from circuitgraph.diff.outcome import Outcome, measure
from circuitgraph.lenses import recipe
from circuitgraph.lenses.correlation import checkpoint as correlation
from circuitgraph.lenses.correlation.recipe import as_correlations
from circuitgraph.lenses.edge_tests import TESTABLE, Groups
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.match import Matched
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.multiplicity import adjusted
from circuitgraph.stats.paired import resampled_change
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, recode, resampled_mean

MOST_EDGES = 5_000
MOST_CELLS = 20_000_000
"""Beyond so many edges, or prompts × edges × variants, only the claims are refitted."""

Fit = tuple[np.ndarray, np.ndarray, float | np.ndarray]
"""Change, its standard error and degrees of freedom of the edges refitted."""


def large(outcome: Outcome) -> bool:
    """Whether there are more numbers than one refits, or holds on to, at ease."""
    matched = outcome.matched
    return len(outcome.tests) * matched.n * len(matched.runs) > MOST_CELLS


@dataclass(frozen=True)
class Refits:
    """A diff's test, ready to be made again.

    Attributes:
        outcome, options: the diff.
        edges: int [k], the edges refitted: all, or the claims of a very large diff.
        cutoff: p-value that makes a claim where not all edges are refitted; None where
            false discovery is controlled anew in every refit.
    """

    outcome: Outcome
    options: Options
    edges: np.ndarray
    cutoff: float | None

    @classmethod
    def of(cls, outcome: Outcome, options: Options, rows: np.ndarray) -> Refits:
        """Refit every edge where that is cheap, else the rows asked for: some claims."""
        decided, size = outcome.decided, len(outcome.tests)
        if size <= MOST_EDGES and not large(outcome):
            return cls(outcome, options, np.arange(size), None)
        return cls(outcome, options, rows, float(decided.p[decided.claims].max()))

    @property
    def balanced(self) -> bool:
        """Whether scenarios, and not prompts, count alike."""
        return self.options.lens == "effect"

    def claimed(self, fit: Fit) -> np.ndarray:
        """Edges that refits claim, in the direction of the diff; bool [(fits ×) k]."""
        delta, se, df = fit
        tests, rows = self.outcome.tests, self.edges
        still = tests.se[rows] == 0  # float32 rounding, which resampling must not bring to life
        delta, se = np.where(still, 0.0, delta), np.where(still, 0.0, se)
        p = treat_p(delta, se, df, self.outcome.margin)
        p[..., tests.reason[rows] != TESTABLE] = np.nan
        with np.errstate(invalid="ignore"):
            if self.cutoff is None:
                q = [adjusted(row, self.options.fdr) for row in np.atleast_2d(p)]
                found = np.reshape(q, p.shape) <= self.options.alpha
            else:
                found = p <= self.cutoff
        return found & (np.sign(delta) == np.sign(tests.delta[rows]))

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Claims under other weights of the prompts, float [fits × n]; bool [fits × k]."""
        if self.cutoff is None and self.options.scope == "recipe":
            return np.array([self.claimed(fit) for fit in self._groups(weights)])
        delta, variance = self._mean_and_variance(self._change, weights)
        held, df = (0.0, self._df) if self.cutoff is None else self._held
        return self.claimed((delta, np.sqrt(variance + held), df))

    def without(self, kept: np.ndarray) -> np.ndarray:
        """Claims on the prompts kept (bool [n]) alone; bool [k]."""
        matched = self.outcome.matched
        if self.cutoff is not None:
            return self.claimed(self._first_order_without(kept))
        if self.options.lens == "correlation":
            return self.claimed(self._measured(_subset(matched, kept)))
        return self.claimed(self._effects(kept, slice(None), slice(None)))

    def without_replicates(self) -> np.ndarray:
        """Claims with each replicate left out in turn, bool [replicates × k].

        A single variant on a side is a fixed reference and stays. None is left out of a
        group of two, at the checkpoint scope, or of a very large diff.
        """
        if self.options.scope != "recipe" or self.cutoff is not None:
            return np.empty((0, len(self.edges)), bool)
        sides = [len(self.outcome.matched.a), len(self.outcome.matched.b)]
        found = [
            self._without_replicate(side, i)
            for side in (0, 1)
            for i in range(sides[side])
            if sides[side] > 2
        ]
        return np.array(found, bool).reshape(-1, len(self.edges))

    def _without_replicate(self, side: int, left_out: int) -> np.ndarray:
        matched = self.outcome.matched
        kept = [list(range(len(matched.a))), list(range(len(matched.b)))]
        kept[side].remove(left_out)
        if self.options.lens == "effect":
            return self.claimed(self._effects(np.ones(matched.n, bool), *kept))
        return self.claimed(self._measured(_fewer_runs(matched, *kept)))

    @property
    def _df(self) -> int:
        return self.outcome.matched.n_effective

    def _measured(self, matched: Matched) -> Fit:
        tests = measure(matched, self.options)
        return tests.delta[self.edges], tests.se[self.edges], tests.df

    def _mean_and_variance(
        self, change: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        codes = self.outcome.matched.scenarios
        if self.balanced:
            return resampled_mean(change, codes, weights)
        return resampled_change(change, self._df, weights)

    def _effects(
        self, kept: np.ndarray, keep_a: list[int] | slice, keep_b: list[int] | slice
    ) -> Fit:
        """The test of effects on some prompts and some variants, norms and signs kept."""
        shares = Shares.of(self.outcome.matched, self.options.scale)
        codes = recode(self.outcome.matched.scenarios[kept])
        sides = [np.array(shares.side(which, self.edges))[:, kept] for which in "ab"]
        sides = [sides[0][keep_a], sides[1][keep_b]]
        numbers = [np.array([balanced_mean(x, codes) for x in side]) for side in sides]
        change = sides[1].mean(0) - sides[0].mean(0)
        variance, df = balanced_variance(change, codes), int(kept.sum()) - int(codes.max() + 1)
        if self.options.scope == "checkpoint":
            return numbers[1][0] - numbers[0][0], np.sqrt(variance), df
        return self._combined(numbers, variance, df)

    def _combined(self, numbers: list[np.ndarray], variance: np.ndarray, df: int) -> Fit:
        testable = self.outcome.tests.reason[self.edges] == TESTABLE
        trend = self.options.lens == "effect"
        groups = Groups(numbers[0], numbers[1], variance, variance, variance)
        both = recipe.combine(groups, df, testable, trend=trend)
        if trend:
            return both.mean_b - both.mean_a, both.se, both.df
        _, _, delta, slope = as_correlations(both)
        return delta, slope * both.se, both.df

    def _groups(self, weights: np.ndarray) -> list[Fit]:
        """Refits of the recipe scope: every variant's number from the same resample."""
        matched, options = self.outcome.matched, self.options
        if options.lens == "effect":
            shares = Shares.of(matched, options.scale)
            sides = [np.array(shares.side(which, self.edges)) for which in "ab"]
        else:
            sides = correlation.atanh_per_prompt(matched, self.edges, rank=options.rank)
        numbers = [np.array([weights @ values for values in side]) for side in sides]
        change = sides[1].mean(0) - sides[0].mean(0)
        _, variance = self._mean_and_variance(change, weights)
        return [
            self._combined([numbers[0][:, b], numbers[1][:, b]], variance[b], self._df)
            for b in range(len(weights))
        ]

    @cached_property
    def _change(self) -> np.ndarray:
        return self.outcome.tests.per_prompt(self.edges)

    @cached_property
    def _held(self) -> tuple[np.ndarray, float | np.ndarray]:
        """Variance that is not of prompts (the spread of replicates), and the df; claims only."""
        tests, codes, change = self.outcome.tests, self.outcome.matched.scenarios, self._change
        own = balanced_variance(change, codes) if self.balanced else change.var(0) / self._df
        df = tests.df[self.edges] if isinstance(tests.df, np.ndarray) else tests.df
        return np.maximum(tests.se[self.edges] ** 2 - own, 0.0), df

    def _first_order_without(self, kept: np.ndarray) -> Fit:
        held, df = self._held
        left, codes = self._change[kept], recode(self.outcome.matched.scenarios[kept])
        fewer = len(left) - int(codes.max() + 1)
        if self.balanced:
            mean, variance = balanced_mean(left, codes), balanced_variance(left, codes)
        else:
            mean, variance = left.mean(0), left.var(0) / max(fewer, 1)
        return mean, np.sqrt(variance + held), np.minimum(df, fewer)


def _subset(matched: Matched, kept: np.ndarray) -> Matched:
    return replace(
        matched,
        a=tuple(x[kept] for x in matched.a),
        b=tuple(x[kept] for x in matched.b),
        prompts=tuple(p for p, keep in zip(matched.prompts, kept, strict=True) if keep),
        scenarios=recode(matched.scenarios[kept]),
        rows=matched.rows[kept],
    )


def _fewer_runs(matched: Matched, keep_a: list[int], keep_b: list[int]) -> Matched:
    return replace(
        matched,
        runs_a=tuple(matched.runs_a[i] for i in keep_a),
        runs_b=tuple(matched.runs_b[i] for i in keep_b),
        a=tuple(matched.a[i] for i in keep_a),
        b=tuple(matched.b[i] for i in keep_b),
    )
