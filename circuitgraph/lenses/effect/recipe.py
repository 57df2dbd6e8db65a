"""Lens ``effect`` at scope ``recipe``: do the mean effects of two groups of variants differ?"""

from __future__ import annotations

from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests
from circuitgraph.lenses.effect.checkpoint import Shares, effect_tests, groups
from circuitgraph.lenses.recipe import combine, own_intervals


def tests_of(shares: Shares) -> EdgeTests:
    """Test of the change of the mean effect between two groups of variants."""
    found, reason = groups(shares)
    both = combine(found, shares.matched.n_effective, reason == TESTABLE, trend=True)
    return effect_tests(
        shares,
        found,
        reason,
        weight_a=both.mean_a,
        weight_b=both.mean_b,
        se=both.se,
        df=both.df,
        own=lambda edges: own_intervals(both, edges),
        parts=both.parts,
    )
