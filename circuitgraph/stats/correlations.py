"""Standard scores within scenarios, one variant's correlations, and their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.stats import special
from circuitgraph.stats.scenarios import FLOAT32_NOISE, centre


@dataclass(frozen=True)
class Scores:
    """Standardised activity of one variant.

    Attributes
    ----------
    z : float64 [n × c]
        Mean 0 in each scenario and mean square 1; 0 in columns not alive.
    alive : bool [c]
        Whether the activity varies within scenarios and is finite.
    df : int
        n − S.
    """

    z: np.ndarray
    alive: np.ndarray
    df: int

    @property
    def n(self) -> int:
        """Number of prompts."""
        return len(self.z)


def standardise(activity: np.ndarray, scenarios: np.ndarray, *, rank: bool = False) -> Scores:
    """Centre activity [n × c] by scenario and divide by the remaining standard deviation.

    ``rank`` replaces the centred values by normal scores first (van der Waerden), which keeps
    power under heavy tails.
    """
    values = np.asarray(activity, np.float64)
    finite = np.isfinite(values).all(0)
    values = np.where(finite, values, 0.0)
    centred = centre(values, scenarios)
    spread = np.sqrt(np.mean(centred * centred, axis=0))
    alive = finite & (spread > FLOAT32_NOISE * np.abs(values).max(0, initial=0.0))
    if rank:
        centred = centre(normal_scores(centred), scenarios)
        spread = np.sqrt(np.mean(centred * centred, axis=0))
    z = np.where(alive, centred / np.where(alive, spread, 1.0), 0.0)
    return Scores(z, alive, len(values) - len(np.unique(scenarios)))


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Φ⁻¹((rank − ½)/n) of every column, ties sharing their mean rank; float64 [n × c]."""
    ranks = np.empty(values.shape, np.float64)
    for column in range(values.shape[1]):
        ranks[:, column] = mean_ranks(values[:, column])
    return special.ndtri((ranks - 0.5) / len(values))


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean; float64 [n]."""
    _, inverse, size = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(size) - (size - 1) / 2)[inverse]


ZERO = 1e-9


def pooled_correlation(activity: np.ndarray) -> np.ndarray:
    """Pearson correlation over all prompts of activity [n × c]; float64 [c × c].

    |r| < 1e-9 is 0; NaN where a component does not vary or is not finite.
    """
    unit = unit_columns(activity)
    r = unit.T @ unit
    r[np.abs(r) < ZERO] = 0.0
    return np.clip(r, -1, 1, out=r)


def unit_columns(activity: np.ndarray) -> np.ndarray:
    """Centred columns of length 1, whose products are correlations; float64 [n × c].

    NaN where a component does not vary or is not finite.
    """
    values = np.asarray(activity, np.float64)
    centred = values - values.mean(0)
    size = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    floor = FLOAT32_NOISE * np.sqrt(len(values)) * np.abs(values).max(0, initial=0.0)
    return centred / np.where(size > floor, size, np.nan)


def atanh_error(scores: Scores, r: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Standard error of atanh r (r [pairs]) without assuming normal tails, float64 [pairs].

    With uᵢ = [z_j z_k − r(z_j² + z_k²)/2] / (1 − r²), the influence of prompt i on atanh r,
    se² = mean(u²)/(n − S). All sums are Gram products.
    """
    if scores.df <= 0:
        return np.full(len(r), np.nan)
    z = scores.z
    square = z * z
    fourth = square.T @ square
    own = np.diag(fourth)
    third = (square * z).T @ z
    third += third.T.copy()
    mixed = fourth[first, second]
    total = mixed - r * third[first, second] + r * r / 4 * (own[first] + own[second] + 2 * mixed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.maximum(total, 0.0) / (scores.n * scores.df)) / (1 - r * r)


def zero_error(scores: Scores, r: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Standard error of r for the test of r = 0, float64 [pairs].

    se² = var(z_j z_k)/(n − S), the spread of the score under r = 0. The interval's own
    error rejects a true 0 in up to 11% of cases at 5% (20 prompts, heavy tails), this
    one in at most 5%, so that test and interval can differ close to the border.

    References
    ----------
    DiCiccio & Romano (2017), Robust permutation tests for correlation and regression
    coefficients.
    """
    if scores.df <= 0:
        return np.full(len(r), np.nan)
    square = scores.z * scores.z
    spread = (square.T @ square)[first, second] / scores.n - r * r
    return np.sqrt(np.maximum(spread, 0.0) / scores.df)


def atanh_influence(
    scores: Scores, r: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """uᵢ of :func:`atanh_error`, float64 [n × pairs]."""
    j, k = scores.z[:, first], scores.z[:, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (j * k - r * (j * j + k * k) / 2) / (1 - r * r)


def interval(
    r: np.ndarray, se: np.ndarray, df: float | np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a correlation on the atanh scale: atanh r ± t·se."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, half = np.arctanh(r), special.stdtrit(df, (1 + level) / 2) * se
        return np.tanh(centre - half), np.tanh(centre + half)
