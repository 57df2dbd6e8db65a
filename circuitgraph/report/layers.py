"""A diff by components and by layers, for the page and for figures."""

from __future__ import annotations

import pandas as pd

from circuitgraph.base.components import in_order, parse
from circuitgraph.diff.record import Diff
from circuitgraph.graph.columns import endpoints
from circuitgraph.report.grid import Grid, grid_of


def components_of(diff: Diff) -> tuple[list[str], Grid]:
    """All components of a diff in order of computation, and where they stand."""
    names = in_order(endpoints(diff.table))
    return names, grid_of(names)


def strength_by_layer(diff: Diff) -> pd.DataFrame:
    """Sum of |weight| over the edges that leave each layer, in both variants.

    Returns
    -------
    DataFrame
        ``weight_a``, ``weight_b``; a row a layer, ``EMBED`` (what has no layer) first.
    """
    layers = [parse(name).layer for name in diff.table["source"].astype(str)]
    at = [-1 if layer is None else layer for layer in layers]
    sums = diff.table[["weight_a", "weight_b"]].abs().groupby(at).sum()
    return sums.rename(index=lambda layer: "EMBED" if layer < 0 else f"L{layer}")
