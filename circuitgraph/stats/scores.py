"""Standard scores within scenarios, of which correlations are made."""

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
