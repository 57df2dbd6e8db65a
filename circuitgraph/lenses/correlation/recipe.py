"""Lens ``correlation`` at scope ``recipe``: do the mean correlations of two groups differ?"""

from __future__ import annotations

import numpy as np

from circuitgraph.lenses.correlation.checkpoint import MARGIN, atanh_per_prompt, groups, pair_names
from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests, Intervals, flag_numbers
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.recipe import Combined, combine, own_intervals
from circuitgraph.stats import triangle


def measure(matched: Matched, *, rank: bool = False) -> EdgeTests:
    """Change of the mean atanh correlation between two groups of variants.

    Tested on the atanh scale, reported as correlations: weights are tanh of the means, and the
    error is scaled by Δr/Δz (1 − r² where Δz = 0), so that the test against 0 is the one on the
    atanh scale and the margin is one of r.
    """
    found, reason = groups(matched, rank=rank)
    both = combine(found, matched.n_effective, reason == TESTABLE, trend=False)
    weight_a, weight_b, delta, slope = as_correlations(both)
    se = slope * both.se
    flag_numbers(reason, delta, se, matched.n_effective > 0)

    def own(edges: np.ndarray) -> Intervals:
        low_a, high_a, low_b, high_b = (np.tanh(end) for end in own_intervals(both, edges))
        return low_a, high_a, low_b, high_b

    def per_prompt(edges: np.ndarray) -> np.ndarray:
        a, b = (side.mean(0) for side in atanh_per_prompt(matched, edges, rank=rank))
        return slope[edges] * (b - a)

    return EdgeTests(
        names=pair_names(matched, triangle.pair_codes(len(matched.components))),
        weight_a=weight_a,
        weight_b=weight_b,
        delta=delta,
        se=se,
        df=both.df,
        reason=reason,
        default_margin=MARGIN,
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
