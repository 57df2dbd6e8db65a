"""Table of the components of one variant, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuitgraph.nodes.record import Measure, NodeValues
from circuitgraph.runs.record import Run
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance

COLUMNS = ("component", "measure", "category", "value", "low", "high", "n")


def table_of(run: Run, measure: Measure, found: NodeValues) -> pd.DataFrame:
    """Means over scenarios with equal weight, and 95% intervals over prompts, or groups of them.

    The interval is empty where every scenario has one prompt.
    """
    observed, codes = found.observed(run.scenarios)
    df = len(codes) - int(codes.max()) - 1
    value = balanced_mean(observed, codes)
    values = observed.astype(np.float64)
    half = half_width(np.sqrt(balanced_variance(values, codes)), max(df, 1))
    return pd.DataFrame(
        {
            "component": [node.component for node in found.nodes],
            "measure": measure.name,
            "category": [node.category for node in found.nodes],
            "value": value, "low": value - half, "high": value + half, "n": len(codes),
        }
    )[list(COLUMNS)]  # fmt: skip
