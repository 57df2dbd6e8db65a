"""Scope ``recipe``: differences of two groups of replicates beyond the spread between seeds.

The difference of the groups' means is tested against the spread between replicates
(moderated over edges) plus the sampling variance over prompts. A single variant on one side
is a fixed reference without a spread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuitgraph.lenses.edge_tests import Groups, Intervals, Parts
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.replicates import Spread, combined_df, common_error, moderate

Part = tuple[np.ndarray, float]
"""A variance [e] and its degrees of freedom."""


@dataclass(frozen=True)
class Combined:
    """Means, standard errors and degrees of freedom of two groups; float64 [e] each."""

    mean_a: np.ndarray
    mean_b: np.ndarray
    se: np.ndarray
    df: np.ndarray
    se_a: np.ndarray
    df_a: np.ndarray
    se_b: np.ndarray
    df_b: np.ndarray
    parts: Parts


def combine(found: Groups, prompt_df: int, testable: np.ndarray, *, trend: bool) -> Combined:
    """Add the spread between replicates to the sampling variance over prompts.

    Variance of the difference = Σ s̃²/k + the prompt variance of the difference, with
    Welch-Satterthwaite degrees of freedom; the prior shared by both spreads counts once.
    """
    size = _size(found) if trend else None
    spread_a = _spread_of_mean(found.numbers_a, size, testable)
    spread_b = _spread_of_mean(found.numbers_b, size, testable)

    def joined(*parts: Part, together: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(sum(v for v, _ in parts)), combined_df(*parts, together=together)

    part_a, part_b = (spread_a.variance, spread_a.df), (spread_b.variance, spread_b.df)
    together = spread_a.variance * spread_b.variance * common_error(spread_a, spread_b)
    return Combined(
        found.numbers_a.mean(0),
        found.numbers_b.mean(0),
        *joined(part_a, part_b, (found.variance, prompt_df), together=together),
        *joined(part_a, (found.variance_a, prompt_df)),
        *joined(part_b, (found.variance_b, prompt_df)),
        Parts(part_a[0], part_b[0], part_a[1], part_b[1], found.variance),
    )


def _size(found: Groups) -> np.ndarray:
    """Root mean square over the two sides of their mean |number|, float64 [e].

    A plain mean over variants is small just where one group happens to lie near 0; the
    spread expected there would be too small, and the difference significant by chance.
    """
    sides = [np.abs(numbers).mean(0) for numbers in (found.numbers_a, found.numbers_b)]
    return np.sqrt((sides[0] ** 2 + sides[1] ** 2) / 2)


def _spread_of_mean(numbers: np.ndarray, size: np.ndarray | None, testable: np.ndarray) -> Spread:
    """s̃²/k and its degrees of freedom; nothing for a single, fixed reference."""
    if len(numbers) == 1:
        return Spread(np.zeros(numbers.shape[1]), np.inf)
    spread = moderate(numbers, size=size, fitted=testable)
    return replace(spread, variance=spread.variance / len(numbers))


def own_intervals(both: Combined, edges: np.ndarray) -> Intervals:
    """Each group's 95% interval for some edges."""
    half_a = half_width(both.se_a[edges], both.df_a[edges])
    half_b = half_width(both.se_b[edges], both.df_b[edges])
    a, b = both.mean_a[edges], both.mean_b[edges]
    return a - half_a, a + half_a, b - half_b, b + half_b
