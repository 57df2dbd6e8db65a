"""Noise floor of plain correlations: A against resampled A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.yardstick import DRAWS, yardstick_record
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import ZERO, unit_columns
from circuitgraph.stats.draws import bootstrap_rows

THRESHOLDS = (0.3, 0.5, 0.7)
_WORK = 1_000_000


def cuts() -> list[str]:
    """The thresholds as records name them."""
    return [f"{threshold:g}" for threshold in THRESHOLDS]


def correlation_yardstick(matched: Matched, seed: int) -> dict[str, Any]:
    """Edges whose plain correlation changes by at least .3, .5, .7, and sign flips.

    ``self`` is the median over the draws, ``observed`` the count between A and B.
    """
    draws = max(1, min(DRAWS, _WORK // max(triangle.n_pairs(len(matched.components)), 1)))
    observed = _count_changes(_unit(matched.a), _unit(matched.b))
    rng = np.random.default_rng(seed)
    again = []
    for _ in range(draws):
        left, right = (bootstrap_rows(matched.scenarios, rng) for _ in range(2))
        again.append(_count_changes(*(_unit(matched.a, rows) for rows in (left, right))))
    return yardstick_record([*cuts(), "sign_flips"], again, observed, seed)


def _unit(arrays: Sequence[np.ndarray], rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Columns whose products are the plain correlations, averaged over variants."""
    return np.vstack([unit_columns(x[rows]) for x in arrays]) / np.sqrt(len(arrays))


def _count_changes(a: np.ndarray, b: np.ndarray) -> list[int]:
    """Pairs with |Δr| at each threshold, then pairs of opposite sign."""
    total = np.zeros(len(THRESHOLDS) + 1, int)
    for rows, columns, _, mask in triangle.blocks(a.shape[1]):
        r_a, r_b = (x[:, rows].T @ x[:, columns] for x in (a, b))
        change = np.abs(r_b - r_a)
        flipped = ((r_a >= ZERO) & (r_b <= -ZERO)) | ((r_a <= -ZERO) & (r_b >= ZERO))
        hits = (*(change >= threshold for threshold in THRESHOLDS), flipped)
        total += [np.count_nonzero(hit & mask) for hit in hits]
    return total.tolist()
