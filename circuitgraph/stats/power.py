"""Power of a test: the smallest change that is claimed with a given probability."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np

from circuitgraph.stats import special
from circuitgraph.stats.evidence import CORRELATION_MARGIN, EFFECT_MARGIN
from circuitgraph.stats.margins import t_tail

ALPHA, POWER, EDGES, CHANGED = 0.05, 0.8, 200, 0.02
"""What is assumed where nobody says otherwise: false discovery rate, power, number of edges
tested together, and the share of them that changed."""
NOISE = {
    "correlation": (0.553, 0.812, 1.054, 1.169, 1.228, 1.301, 1.373, 1.454, 1.565),
    "effect": (0.0036, 0.005, 0.0051, 0.0067, 0.0082, 0.0131, 0.0195, 0.0359, 0.0598),
}
"""By kind of runs the standard deviation of one prompt's change between two models: deciles over
edges (of effects: that carry one) of deontological against utilitarian training, one seed each, in
``examples/ipd`` (120 prompts in 5 scenarios)."""
MARGINS = {"correlation": CORRELATION_MARGIN, "effect": EFFECT_MARGIN}

GRID = 4000
"""Quantiles of the chi distribution that stand for all errors a standard error can make."""
LARGEST = 1e4
"""Standard errors beyond which a change is not looked for."""


def bh_level(alpha: float, edges: int, changed: float, power: float) -> float:
    """Level at which one edge is tested under Benjamini-Hochberg.

    Its threshold is alpha × (expected claims) / edges. Expected are ``power`` of the share
    ``changed`` of all edges, and at least the one edge in question; false claims are left out,
    which makes the level slightly too strict.

    References
    ----------
    Benjamini & Hochberg (1995); Liu & Hwang (2007), Quick calculation for sample size while
    controlling false discovery rate, Bioinformatics 23(6).
    """
    return alpha * min(max(changed * power, 1.0 / max(edges, 1)), 1.0)


def _root(function: Callable[[float], float], high: float) -> float:
    """Root of a function on 0 to ``high``."""
    from scipy.optimize import brentq  # half a second to import

    return float(brentq(function, 0.0, high))


def critical(alpha: float, df: float, gap: float = 0.0) -> float:
    """t with P(T ≥ t) + P(T ≥ t + gap) = alpha, the critical value of ``margins.treat_p``.

    ``gap`` is twice the margin, in standard errors; with 0 the two-sided test.
    """

    def beyond(t: float) -> float:
        return float(t_tail(np.array([t, t + gap]), df).sum()) - alpha

    if beyond(0.0) <= 0:  # half of all tests are claimed anyhow
        return 0.0
    high = 1.0
    while beyond(high) > 0:
        high *= 2
    return _root(beyond, high)


def _chi2_quantile(share: np.ndarray | float, df: float) -> Any:
    # As scipy.stats computes it, which takes a second to import.
    return 2 * special.gammaincinv(df / 2, share)


@lru_cache(maxsize=64)  # a search asks for many shifts on the same degrees of freedom
def _errors(df: float) -> np.ndarray:
    """What a standard error of 1 may be estimated as, each as likely as the others [GRID]."""
    if not np.isfinite(df):
        return np.ones(1)
    return np.asarray(np.sqrt(_chi2_quantile((np.arange(GRID) + 0.5) / GRID, df) / df))


def power_at(shift: float, t: float, df: float, two_sided: bool = True) -> float:
    """P(|T| ≥ t) of Student's t with noncentrality ``shift``, or of one tail alone.

    The mean of Φ(shift − t s) over s = √(χ²/df): exact in the limit of a fine grid, and
    stable where closed forms of the noncentral t are not.
    """
    s = _errors(df)
    upper = special.ndtr(shift - t * s)
    return float((upper + special.ndtr(-shift - t * s) if two_sided else upper).mean())


def median_share(df: float) -> float:
    """Median of a variance estimated on df degrees of freedom, as a share of the variance."""
    return float(_chi2_quantile(0.5, df) / df) if 0 < df < np.inf else 1.0


def smallest_visible(
    se: float, df: float, *, alpha: float, power: float, margin: float = 0.0
) -> float:
    """Smallest true change that the test beyond a margin claims with this power.

    NaN without degrees of freedom or a standard error, and where no change is enough.

    Parameters
    ----------
    se, df : float
        Of the change; df may be infinite.
    alpha : float
        Level of the single test; see :func:`bh_level`.
    """
    if not (df > 0 and np.isfinite(se) and se >= 0):
        return float("nan")
    if se == 0:
        return margin
    t = critical(alpha, df, 2 * margin / se)

    def lacking(shift: float) -> float:
        return power_at(shift, t, df, two_sided=margin == 0) - power

    if lacking(0.0) >= 0:  # a level this loose claims as much of no change at all
        return margin
    high = t + 1.0
    while lacking(high) < 0:
        high *= 2
        if high > LARGEST:
            return float("nan")
    return margin + _root(lacking, high) * se


def visible_on_typical_edge(kind: str, prompts: int, scenarios: int) -> float:
    """:func:`smallest_visible` between two models under the default assumptions.

    Of r (``kind`` correlation), or of the share of the norm of all edge effects (effect).
    """
    df = prompts - scenarios
    se = median(NOISE[kind]) / max(df if kind == "correlation" else prompts, 1) ** 0.5
    level = bh_level(ALPHA, EDGES, CHANGED, POWER)
    return smallest_visible(se, df, alpha=level, power=POWER, margin=MARGINS[kind])
