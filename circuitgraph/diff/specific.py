"""Test whether a claim of one variant only differs from the other variants.

Significance in one variant and not in another does not show a difference between them
(Gelman & Stern 2006, doi:10.1198/000313006X152649).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.record import KEY, Diff
from circuitgraph.lenses.base import Options
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.multiplicity import adjusted
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

Edge = tuple[str, str, str]


@dataclass(frozen=True)
class Held:
    """One edge, the variants that claim it, and those they are compared with."""

    edge: Edge
    claimed: tuple[str, ...]
    others: tuple[str, ...]


def specific_q(edges: Sequence[Held], diffs: Mapping[str, Diff], options: Options) -> pd.Series:
    """q of every edge's difference from all other variants, by edge.

    The change from the base in one variant minus that in the other is the difference of the two:
    tested as in a diff, beyond the margin. An edge takes its largest p over pairs
    (intersection-union), and Benjamini-Hochberg goes over the edges tested. Estimates are compared
    as estimates, on both sides. ``diffs`` are the base against every variant.
    """
    pairs = {(x, y) for held in edges for x in held.claimed for y in held.others}
    tested = {pair: _p_of(diffs[pair[0]], diffs[pair[1]], options) for pair in sorted(pairs)}
    p = [
        max(
            (tested[x, y].get(held.edge, np.nan) for x in held.claimed for y in held.others),
            default=np.nan,
        )
        for held in edges
    ]
    index = pd.MultiIndex.from_tuples([held.edge for held in edges], names=KEY)
    if not edges:
        return pd.Series([], index=pd.MultiIndex.from_arrays([[]] * 3, names=KEY), dtype=float)
    return pd.Series(adjusted(np.array(p, float), options.fdr), index=index)


def _p_of(x: Diff, y: Diff, options: Options) -> dict[Edge, float]:
    """p of a difference beyond the margin between two variants, by edge; NaN: not testable."""
    if options.lens.needs_models:
        return _changes_apart(x, y)
    outcome = compare_sides(x.runs_b, y.runs_b, options)
    names = zip(*(column.astype(str) for column in outcome.tests.names), strict=True)
    return dict(zip(names, outcome.decided.p.tolist(), strict=True))


def _changes_apart(x: Diff, y: Diff) -> dict[Edge, float]:
    """Relative changes of channels against the base, a paired t-test over prompts."""
    matched = x.asks.lined_up(x.runs_a, x.runs_b)
    apart = x.lens_details.by_prompt["delta"] - y.lens_details.by_prompt["delta"]
    mean = balanced_mean(apart, matched.scenarios)
    error = np.sqrt(balanced_variance(apart, matched.scenarios))
    p = treat_p(mean, error, matched.n_effective, x.margin)
    names = x.table[KEY].astype(str).itertuples(index=False, name=None)
    return dict(zip(names, p.tolist(), strict=True))
