"""Scope ``recipe``: does this training do it, beyond what another seed would do?

Both lenses give one number per variant and edge. The difference of the groups' means is
held against the spread between replicates (moderated over edges) plus the sampling
variance over prompts. A single variant on one side is a fixed reference: it has no
spread of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuitgraph.lenses import correlation, effect
from circuitgraph.lenses.edge_tests import (
    TESTABLE,
    EdgeTests,
    Groups,
    Intervals,
    Parts,
    flag_numbers,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.stats import triangle
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.replicates import Spread, combined_df, common_error, moderate

Part = tuple[np.ndarray, float]
"""A variance [e] and its degrees of freedom."""


@dataclass(frozen=True)
class Combined:
    """Two group means and what is known of them; float64 [e] each."""

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
    Welch-Satterthwaite degrees of freedom; what both spreads borrowed counts once.
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
    spread expected there would be too small, and the difference it makes significant.
    """
    sides = [np.abs(numbers).mean(0) for numbers in (found.numbers_a, found.numbers_b)]
    return np.sqrt((sides[0] ** 2 + sides[1] ** 2) / 2)


def _spread_of_mean(numbers: np.ndarray, size: np.ndarray | None, testable: np.ndarray) -> Spread:
    """s̃²/k and its degrees of freedom; nothing for a single, fixed reference."""
    if len(numbers) == 1:
        return Spread(np.zeros(numbers.shape[1]), np.inf)
    spread = moderate(numbers, size=size, fitted=testable)
    return replace(spread, variance=spread.variance / len(numbers))


def measure_effect(matched: Matched, *, scale: str = "share") -> EdgeTests:
    """Change of the mean normalised effect between two groups of variants."""
    shares = effect.Shares.of(matched, scale)
    found, reason = effect.groups(shares)
    both = combine(found, matched.n_effective, reason == TESTABLE, trend=True)
    delta, se = both.mean_b - both.mean_a, both.se
    quiet = effect.noise_floor(shares)
    delta[np.abs(delta) <= quiet] = 0.0
    se[se <= quiet] = 0.0
    flag_numbers(reason, delta, se, matched.n_effective > 0)

    def own(edges: np.ndarray) -> Intervals:
        return own_intervals(both, edges)

    return EdgeTests(
        names=effect.edge_names(matched),
        weight_a=both.mean_a,
        weight_b=both.mean_b,
        delta=delta,
        se=se,
        df=both.df,
        reason=reason,
        default_margin=shares.default_margin,
        own=own,
        per_prompt=shares.change,
        gain=effect.gain_of(shares, found),
        directions=shares.directions,
        parts=both.parts,
    )


def measure_correlation(matched: Matched, *, rank: bool = False) -> EdgeTests:
    """Change of the mean atanh correlation between two groups of variants.

    Tested on the atanh scale, reported as correlations: weights are tanh of the means,
    and the error is scaled by Δr/Δz (1 − r² where Δz = 0), so that the test against 0 is
    the one on the atanh scale and a margin is one of r.
    """
    found, reason = correlation.groups(matched, rank=rank)
    both = combine(found, matched.n_effective, reason == TESTABLE, trend=False)
    weight_a, weight_b, delta, slope = as_correlations(both)
    se = slope * both.se
    flag_numbers(reason, delta, se, matched.n_effective > 0)

    def own(edges: np.ndarray) -> Intervals:
        low_a, high_a, low_b, high_b = (np.tanh(end) for end in own_intervals(both, edges))
        return low_a, high_a, low_b, high_b

    def per_prompt(edges: np.ndarray) -> np.ndarray:
        return slope[edges] * correlation.group_changes(matched, edges, rank=rank)

    return EdgeTests(
        names=correlation.pair_names(matched, triangle.pair_codes(len(matched.components))),
        weight_a=weight_a,
        weight_b=weight_b,
        delta=delta,
        se=se,
        df=both.df,
        reason=reason,
        default_margin=correlation.MARGIN,
        own=own,
        per_prompt=per_prompt,
        parts=both.parts.scaled(slope),
    )


def as_correlations(both: Combined) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Both means as correlations, their difference, and Δr/Δz; float64 [e] each."""
    weight_a, weight_b = np.tanh(both.mean_a), np.tanh(both.mean_b)
    delta, change = weight_b - weight_a, both.mean_b - both.mean_a
    with np.errstate(divide="ignore", invalid="ignore"):
        return weight_a, weight_b, delta, np.where(change == 0, 1 - weight_a**2, delta / change)


def own_intervals(both: Combined, edges: np.ndarray) -> Intervals:
    """Each group's own 95% interval for some edges."""
    half_a = half_width(both.se_a[edges], both.df_a[edges])
    half_b = half_width(both.se_b[edges], both.df_b[edges])
    a, b = both.mean_a[edges], both.mean_b[edges]
    return a - half_a, a + half_a, b - half_b, b + half_b
