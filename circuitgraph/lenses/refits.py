"""Claims tested again: on resampled prompts, without some prompts, without a replicate.

Left-out prompts are measured without; resampled ones reweight each prompt's influence. Very
large diffs refit their claims alone, to first order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np

from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests
from circuitgraph.lenses.match import Matched
from circuitgraph.stats.margins import adjusted, treat_p
from circuitgraph.stats.paired import resampled_change
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, recode, resampled_mean

MOST_EDGES = 5_000
MOST_CELLS = 20_000_000
"""Beyond so many edges, or prompts × edges × variants, only the claims are refitted."""

Fit = tuple[np.ndarray, np.ndarray, float | np.ndarray]
"""Change, its standard error and degrees of freedom of the edges refitted."""


class ClaimRefits(Protocol):
    """Some claims that can be tested again.

    Attributes
    ----------
    edges : int [k]
        The edges refitted, ascending.
    balanced : bool
        Whether scenarios, not prompts, have equal weight.
    """

    @property
    def edges(self) -> np.ndarray: ...

    @property
    def balanced(self) -> bool: ...

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Claims under other weights of the prompts, float [fits × n]; bool [fits × k]."""
        ...

    def without(self, kept: np.ndarray) -> np.ndarray:
        """Claims on the prompts kept (bool [n]) alone; bool [k]."""
        ...

    def without_replicates(self) -> np.ndarray:
        """Claims with each replicate left out in turn, bool [replicates × k]."""
        ...


@dataclass(frozen=True)
class Claims:
    """Claims to be tested again, and the rule that made them.

    Attributes
    ----------
    rows : int [k]
        Claimed edges, ascending.
    cutoff : float
        The largest p-value of a claim.
    margin, alpha, fdr, scope
        Of the diff.
    """

    rows: np.ndarray
    cutoff: float
    margin: float
    alpha: float
    fdr: str
    scope: str


def large(matched: Matched, edges: int) -> bool:
    """Whether there are more numbers than are refitted or held in memory."""
    return edges * matched.n * len(matched.runs) > MOST_CELLS


@dataclass(frozen=True)
class Refits:
    """A lens' t-test of every edge, ready to be repeated by ``measure`` on other runs."""

    matched: Matched
    tests: EdgeTests
    claims: Claims
    measure: Callable[[Matched], EdgeTests]

    balanced: ClassVar[bool] = False

    @cached_property
    def whole(self) -> bool:
        """Whether every edge is refitted, with false discovery control in each refit."""
        return len(self.tests) <= MOST_EDGES and not large(self.matched, len(self.tests))

    @cached_property
    def edges(self) -> np.ndarray:
        """The edges refitted, int [k]: all, or only the claims of a very large diff."""
        return np.arange(len(self.tests)) if self.whole else self.claims.rows

    def claimed(self, fit: Fit) -> np.ndarray:
        """Edges that refits claim, in the direction of the diff; bool [(fits ×) k]."""
        delta, se, df = fit
        tests, rows, asked = self.tests, self.edges, self.claims
        still = tests.se[rows] == 0  # float32 rounding, which resampling must not bring to life
        delta, se = np.where(still, 0.0, delta), np.where(still, 0.0, se)
        p = treat_p(delta, se, df, asked.margin)
        p[..., tests.reason[rows] != TESTABLE] = np.nan
        with np.errstate(invalid="ignore"):
            if self.whole:
                q = [adjusted(row, asked.fdr) for row in np.atleast_2d(p)]
                found = np.reshape(q, p.shape) <= asked.alpha
            else:
                found = p <= asked.cutoff
        return found & (np.sign(delta) == np.sign(tests.delta[rows]))

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        sides = self.by_prompt() if self.whole and self.claims.scope == "recipe" else None
        if sides is not None:
            return np.array([self.claimed(fit) for fit in self._groups(sides, weights)])
        delta, variance = self._mean_and_variance(self._change, weights)
        checkpoint = self.whole and self.claims.scope == "checkpoint"
        held, df = (0.0, self._df) if checkpoint else self._held
        return self.claimed((delta, np.sqrt(variance + held), df))

    def without(self, kept: np.ndarray) -> np.ndarray:
        if not self.whole:
            return self.claimed(self._first_order_without(kept))
        return self.claimed(self.on_prompts(kept))

    def without_replicates(self) -> np.ndarray:
        """Claims with each replicate left out in turn, bool [replicates × k].

        A fixed reference stays. None is left out of a group of two, at the checkpoint scope, or
        of a very large diff.
        """
        sides = [len(self.matched.a), len(self.matched.b)]
        possible = self.claims.scope == "recipe" and self.whole
        found = []
        for side, size in enumerate(sides if possible else ()):
            for i in range(size if size > 2 else 0):
                kept = [list(range(k)) for k in sides]
                kept[side].remove(i)
                found.append(self.claimed(self.on_variants(*kept)))
        return np.array(found, bool).reshape(-1, len(self.edges))

    def on_prompts(self, kept: np.ndarray) -> Fit:
        """The test on some prompts (bool [n]) only."""
        matched = replace(
            self.matched,
            a=tuple(x[kept] for x in self.matched.a),
            b=tuple(x[kept] for x in self.matched.b),
            prompts=tuple(p for p, keep in zip(self.matched.prompts, kept, strict=True) if keep),
            scenarios=recode(self.matched.scenarios[kept]),
            rows=self.matched.rows[kept],
        )
        return self._measured(matched)

    def on_variants(self, keep_a: list[int], keep_b: list[int]) -> Fit:
        """The test of some variants of either side only."""
        return self._measured(self.matched.variants(keep_a, keep_b))

    def by_prompt(self) -> list[np.ndarray] | None:
        """Per-prompt values whose means are the variants' numbers, [variants × n × k] a side.

        Resampled at recipe scope; None keeps the spread of replicates as it is.
        """
        return None

    def combined(self, numbers: list[np.ndarray], variance: np.ndarray, df: int) -> Fit:
        """The test of two groups of numbers [variants × k] with this variance over prompts."""
        raise NotImplementedError

    @property
    def _df(self) -> int:
        return self.matched.n_effective

    def _measured(self, matched: Matched) -> Fit:
        tests = self.measure(matched)
        return tests.delta[self.edges], tests.se[self.edges], tests.df

    def _mean_and_variance(
        self, change: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.balanced:
            return resampled_mean(change, self.matched.scenarios, weights)
        return resampled_change(change, self._df, weights)

    def _groups(self, sides: list[np.ndarray], weights: np.ndarray) -> list[Fit]:
        """Refits of the recipe scope: every variant's number from the same resample."""
        numbers = [np.array([weights @ values for values in side]) for side in sides]
        change = sides[1].mean(0) - sides[0].mean(0)
        _, variance = self._mean_and_variance(change, weights)
        return [
            self.combined([numbers[0][:, b], numbers[1][:, b]], variance[b], self._df)
            for b in range(len(weights))
        ]

    @cached_property
    def _change(self) -> np.ndarray:
        return self.tests.per_prompt(self.edges)

    @cached_property
    def _held(self) -> tuple[np.ndarray, float | np.ndarray]:
        """Variance that is not of prompts (the spread of replicates), and the df."""
        tests, codes, change = self.tests, self.matched.scenarios, self._change
        own = balanced_variance(change, codes) if self.balanced else change.var(0) / self._df
        df = tests.df[self.edges] if isinstance(tests.df, np.ndarray) else tests.df
        return np.maximum(tests.se[self.edges] ** 2 - own, 0.0), df

    def _first_order_without(self, kept: np.ndarray) -> Fit:
        held, df = self._held
        left, codes = self._change[kept], recode(self.matched.scenarios[kept])
        fewer = len(left) - int(codes.max() + 1)
        if self.balanced:
            mean, variance = balanced_mean(left, codes), balanced_variance(left, codes)
        else:
            mean, variance = left.mean(0), left.var(0) / max(fewer, 1)
        return mean, np.sqrt(variance + held), np.minimum(df, fewer)
