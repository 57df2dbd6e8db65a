"""How alike, with an interval over prompts: arrays in, numbers out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from circuitgraph.stats.draws import bootstrap_weights
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, balanced_weights

SAMPLES = 400
AT_ONCE = 50
"""Resamples in memory together."""


class Alike(NamedTuple):
    """A likeness, 1 for the same, with its 95% interval; NaN where nobody can tell."""

    alike: float
    low: float
    high: float


NOTHING = Alike(np.nan, np.nan, np.nan)


def one_minus(distances: np.ndarray, scenarios: np.ndarray) -> Alike:
    """1 − the mean distance of prompts (0 to 1), scenarios with equal weight; t on n − S.

    Parameters
    ----------
    distances : float [n]
    scenarios : int [n]
        Codes 0 … S−1.
    """
    values = np.asarray(distances, np.float64)[:, None]
    mean = 1.0 - float(balanced_mean(values, scenarios)[0])
    df = len(values) - int(scenarios.max()) - 1
    if df <= 0:
        return Alike(mean, np.nan, np.nan)
    half = float(half_width(np.sqrt(balanced_variance(values, scenarios)), df)[0])
    return Alike(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def cosine_of_edges(
    a: np.ndarray, b: np.ndarray, changes: np.ndarray, scenarios: np.ndarray, seed: int = 0
) -> Alike:
    """Cosine between two variants' edges, with a bootstrap over prompts within scenarios.

    The same prompts were asked of both, so what is resampled is the change; half of it is laid
    on either side of the middle of both. A cosine of noisy vectors is too low, and that of a
    resample once more by as much: estimate and interval are reflected at what was measured
    (basic bootstrap; Davison & Hinkley 1997, section 5.2), and nothing beyond 1 is told.

    Parameters
    ----------
    a, b : float [edges]
        Weights of the edges.
    changes : float [n × edges]
        What each prompt says of b − a; its balanced mean is the change.
    scenarios : int [n]
    seed
        Of the bootstrap.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    found = _cosine(a[None], b[None])[0]
    if len(scenarios) <= int(scenarios.max()) + 1 or not np.isfinite(found):
        return Alike(float(found), np.nan, np.nan)
    changes = np.asarray(changes, np.float64)
    middle, own = (a + b) / 2, balanced_weights(scenarios) @ changes
    weights = bootstrap_weights(scenarios, SAMPLES, seed, balanced=True)
    drawn = []
    for start in range(0, SAMPLES, AT_ONCE):
        half = (b - a + weights[start : start + AT_ONCE] @ changes - own) / 2
        drawn.append(_cosine(middle - half, middle + half))
    again = np.concatenate(drawn)
    low, high = np.quantile(again, [0.025, 0.975])
    ends = 2 * found - again.mean(), 2 * found - high, 2 * found - low
    return Alike(*(float(min(x, 1.0)) for x in ends))


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of rows; exactly 1 for equal ones."""
    norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = a / norms[0] - b / norms[1]
    return np.asarray(1.0 - (apart * apart).sum(1) / 2)
