"""Lens ``effect`` at scope ``recipe``: do the mean effects of two groups of variants differ?"""

from __future__ import annotations

import numpy as np

from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests, Intervals, flag_numbers
from circuitgraph.lenses.effect.checkpoint import (
    Shares,
    edge_names,
    gain_of,
    groups,
    noise_floor,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.recipe import combine, own_intervals


def measure(matched: Matched, *, scale: str = "share") -> EdgeTests:
    """Change of the mean normalised effect between two groups of variants."""
    shares = Shares.of(matched, scale)
    found, reason = groups(shares)
    both = combine(found, matched.n_effective, reason == TESTABLE, trend=True)
    delta, se = both.mean_b - both.mean_a, both.se
    quiet = noise_floor(shares)
    delta[np.abs(delta) <= quiet] = 0.0
    se[se <= quiet] = 0.0
    flag_numbers(reason, delta, se, matched.n_effective > 0)

    def own(edges: np.ndarray) -> Intervals:
        return own_intervals(both, edges)

    return EdgeTests(
        names=edge_names(matched),
        weight_a=both.mean_a,
        weight_b=both.mean_b,
        delta=delta,
        se=se,
        df=both.df,
        reason=reason,
        default_margin=shares.default_margin,
        own=own,
        per_prompt=shares.change,
        gain=gain_of(shares, found),
        directions=shares.directions,
        parts=both.parts,
    )
