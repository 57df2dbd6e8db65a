"""p-values of changes beyond a margin."""

from __future__ import annotations

import numpy as np

from circuitgraph.stats import special
from circuitgraph.stats.tails import t_tail


def treat_p(
    delta: np.ndarray, se: np.ndarray, df: float | np.ndarray, margin: float = 0.0
) -> np.ndarray:
    """p-value of H₀: |true change| ≤ margin; float64 [e].

    p = min(1, P(T ≥ (|Δ| − m)/se) + P(T ≥ (|Δ| + m)/se)); with m = 0 the ordinary two-sided
    t-test. 1 where change and error are 0; NaN where only the error is, where anything is
    undefined, and where df is not positive.

    References
    ----------
    McCarthy & Smyth (2009), Testing significance relative to a fold-change threshold is
    a TREAT, Bioinformatics 25(6).
    """
    size = np.abs(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        if margin == 0:
            p = 2 * t_tail(size / se, df)
        else:
            p = t_tail((size - margin) / se, df) + t_tail((size + margin) / se, df)
    p = np.where((se > 0) & (np.asarray(df) > 0), np.minimum(p, 1.0), np.nan)
    p[(se == 0) & (size == 0)] = 1.0
    return p


def half_width(se: np.ndarray, df: float | np.ndarray, level: float = 0.95) -> np.ndarray:
    """Half the width of a t-interval; NaN without degrees of freedom."""
    return special.stdtrit(df, (1 + level) / 2) * se


def mean_interval(values: np.ndarray, bounds: tuple[float, float]) -> tuple[float, float, float]:
    """Mean with its 95% t-interval, clipped to bounds; of a single value, the bounds."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, *bounds
    half = float(half_width(values.std(ddof=1), len(values) - 1)) / len(values) ** 0.5
    return mean, max(bounds[0], mean - half), min(bounds[1], mean + half)
