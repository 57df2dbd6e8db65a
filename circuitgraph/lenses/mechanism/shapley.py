"""A change split over three factors that were swapped one by one.

Shapley's value (1953) of a three-player game: what swapping a factor changes, averaged over
the six orders of swapping. The factors of an edge's effect are its signal (what enters), the
edge itself, and what follows it.
"""

from __future__ import annotations

import numpy as np

UPSTREAM, EDGE, DOWNSTREAM = "upstream", "edge", "downstream"
FACTORS = (UPSTREAM, EDGE, DOWNSTREAM)
MIXED, UNKNOWN = "mixed", "unknown"


def shares(values: np.ndarray) -> np.ndarray:
    """Each factor's part in ``values[1, 1, 1] − values[0, 0, 0]``.

    φ = ⅓ (swapped first) + ⅙ (each way of being second) + ⅓ (swapped last).

    Parameters
    ----------
    values : float [2 × 2 × 2 × …]
        By signal, edge and what follows: 0 before the swap, 1 after it.

    Returns
    -------
    float64 [3 × …]
        They add up to the change. Exactly 0 where swapping a factor changes no value.
    """
    found = []
    for factor in range(3):
        before, after = np.moveaxis(np.asarray(values, np.float64), factor, 0)
        step = after - before
        found.append((step[0, 0] + step[1, 1]) / 3 + (step[0, 1] + step[1, 0]) / 6)
    return np.stack(found)


def labels(parts: np.ndarray) -> list[str]:
    """The factor that holds at least half of Σ|φ|, or ``mixed``; ``unknown`` where not finite.

    Parameters
    ----------
    parts : float [3 × k]
    """
    size = np.abs(parts)
    total = size.sum(0)
    ahead = (2 * size >= total) & (total > 0)
    names = np.where(ahead.sum(0) == 1, np.array(FACTORS)[ahead.argmax(0)], MIXED)
    return np.where(np.isfinite(total), names, UNKNOWN).tolist()


def of_norm(
    raw_a: np.ndarray, raw_b: np.ndarray, norm_a: float, norm_b: float
) -> tuple[np.ndarray, float]:
    """The part of a normalised change that is due to the norms, and what a share weighs.

    w_B − w_A = Σ φ · ½(1/N_A + 1/N_B) + ½(e_A + e_B)(1/N_B − 1/N_A), with w = e / N.

    Parameters
    ----------
    raw_a, raw_b : float [k]
        Effects in the decision's units.
    norm_a, norm_b : float
        What each side's effects are divided by.

    Returns
    -------
    gain : float64 [k]
        The second summand.
    factor : float
        What stands beside Σ φ in the first.
    """
    gain = (np.asarray(raw_a) + np.asarray(raw_b)) / 2 * (1 / norm_b - 1 / norm_a)
    return gain, (1 / norm_a + 1 / norm_b) / 2
