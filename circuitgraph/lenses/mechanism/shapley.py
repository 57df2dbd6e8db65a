"""Shapley values (1953) of a change over three swapped factors.

What swapping a factor changes, averaged over the six orders of swapping signal, edge and
downstream.
"""

from __future__ import annotations

import numpy as np

UPSTREAM, EDGE, DOWNSTREAM = "upstream", "edge", "downstream"
FACTORS = (UPSTREAM, EDGE, DOWNSTREAM)
MIXED, UNKNOWN = "mixed", "unknown"


def shares(values: np.ndarray) -> np.ndarray:
    """Each factor's part in ``values[1, 1, 1] − values[0, 0, 0]``, float64 [3 × …].

    φ = ⅓ (swapped first) + ⅙ (each way of being second) + ⅓ (swapped last). Exactly 0 where
    swapping a factor changes no value.

    Parameters
    ----------
    values : float [2 × 2 × 2 × …]
        By signal, edge and downstream: 0 before the swap, 1 after it.
    """
    found = []
    for factor in range(3):
        before, after = np.moveaxis(np.asarray(values, np.float64), factor, 0)
        step = after - before
        found.append((step[0, 0] + step[1, 1]) / 3 + (step[0, 1] + step[1, 0]) / 6)
    return np.stack(found)


def labels(parts: np.ndarray) -> list[str]:
    """The factor with at least half of Σ|φ| (of parts [3 × k]), else ``mixed`` or ``unknown``."""
    size = np.abs(parts)
    total = size.sum(0)
    ahead = (2 * size >= total) & (total > 0)
    names = np.where(ahead.sum(0) == 1, np.array(FACTORS)[ahead.argmax(0)], MIXED)
    return np.where(np.isfinite(total), names, UNKNOWN).tolist()


def of_norm(
    raw_a: np.ndarray, raw_b: np.ndarray, norm_a: float, norm_b: float
) -> tuple[np.ndarray, float]:
    """Part of a normalised change due to the norms [k], and the factor of the rest.

    w_B − w_A = Σ φ · ½(1/N_A + 1/N_B) + ½(e_A + e_B)(1/N_B − 1/N_A), with w = e / N for effects
    e (``raw_a``, ``raw_b`` [k]): the second summand, and the factor of Σ φ.
    """
    gain = (np.asarray(raw_a) + np.asarray(raw_b)) / 2 * (1 / norm_b - 1 / norm_a)
    return gain, (1 / norm_a + 1 / norm_b) / 2
