"""The noise yardstick: how much would A seem to differ from itself?

A is compared with A: two bootstrap samples of its prompts, drawn within scenarios. Any
count of "changes" that a diff of A and B does not clearly exceed is prompt sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.match import Matched
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import ZERO, unit_columns
from circuitgraph.stats.scenarios import balanced_mean, chunks

THRESHOLDS = (0.3, 0.5, 0.7)
DRAWS = 20
_WORK = 1_000_000


def correlation_yardstick(matched: Matched, seed: int) -> dict[str, Any]:
    """Edges whose plain correlation changes by at least .3, .5, .7, and sign flips.

    ``self`` is the median over the draws, ``observed`` the count between A and B: what
    the published practice of thresholding |Δr| would report.
    """
    draws = max(1, min(DRAWS, _WORK // max(triangle.n_pairs(len(matched.components)), 1)))
    observed = _count_changes(_unit(matched.a), _unit(matched.b))
    rng = np.random.default_rng(seed)
    again = []
    for _ in range(draws):
        left, right = (bootstrap_rows(matched.scenarios, rng) for _ in range(2))
        again.append(_count_changes(*(_unit(matched.a, rows) for rows in (left, right))))
    names = [f"{t:g}" for t in THRESHOLDS] + ["sign_flips"]
    return _record(names, again, observed, seed)


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


def effect_yardstick(shares: Shares, margin: float, seed: int) -> dict[str, Any]:
    """Edges whose aligned effect changes by more than the margin, and those that flip sign."""
    codes, n = shares.matched.scenarios, shares.matched.n
    rng = np.random.default_rng(seed)
    samples = [bootstrap_rows(codes, rng) for _ in range(2 * DRAWS)]
    # A bootstrap mean is the plain mean under integer weights, so all draws are one product.
    weight = np.array([np.bincount(rows, minlength=n) for rows in samples], np.float64)
    again, observed = np.zeros((DRAWS, 2), int), np.zeros(2, int)
    size = np.bincount(codes)
    balance = 1 / (size[codes] * len(size))
    for part in chunks(len(shares.matched.edges)):
        a, b = (np.mean(shares.side(which, part), axis=0) for which in "ab")
        drawn = (weight * balance) @ a
        again += _beyond(drawn[::2], drawn[1::2], margin)
        observed += _beyond(balanced_mean(a, codes)[None], balanced_mean(b, codes)[None], margin)[0]
    return _record(["margin", "sign_flips"], again.tolist(), observed.tolist(), seed)


def _beyond(left: np.ndarray, right: np.ndarray, margin: float) -> np.ndarray:
    """Per row, how many edges change beyond the margin, and how many from beyond it on one
    side to beyond it on the other."""
    with np.errstate(invalid="ignore"):
        changed = np.abs(right - left) > margin
        flipped = ((left > margin) & (right < -margin)) | ((left < -margin) & (right > margin))
    return np.stack([changed.sum(1), flipped.sum(1)], axis=1)


def bootstrap_rows(scenarios: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many prompts as there are, drawn with replacement within each scenario; int [n]."""
    rows = np.arange(len(scenarios))
    for code in np.unique(scenarios):
        own = np.flatnonzero(scenarios == code)
        rows[own] = rng.choice(own, len(own))
    return rows


def _record(
    names: Sequence[str], again: Sequence[Sequence[int]], observed: Sequence[int], seed: int
) -> dict[str, Any]:
    median = np.median(np.array(again), axis=0)
    return {
        "seed": seed,
        "draws": len(again),
        "self": {name: float(m) for name, m in zip(names, median, strict=True)},
        "observed": {name: int(count) for name, count in zip(names, observed, strict=True)},
    }
