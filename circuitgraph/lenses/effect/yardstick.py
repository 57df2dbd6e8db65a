"""Noise floor of effects: A against resampled A."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.yardstick import DRAWS, yardstick_record
from circuitgraph.stats.draws import bootstrap_rows
from circuitgraph.stats.scenarios import balanced_mean, balanced_weights, chunks


def effect_yardstick(shares: Shares, margin: float, seed: int) -> dict[str, Any]:
    """Edges whose effect changes by more than the margin, and those that flip sign."""
    codes, n = shares.matched.scenarios, shares.matched.n
    rng = np.random.default_rng(seed)
    samples = [bootstrap_rows(codes, rng) for _ in range(2 * DRAWS)]
    # A bootstrap mean is the plain mean under integer weights, so all draws are one product.
    weight = np.array([np.bincount(rows, minlength=n) for rows in samples], np.float64)
    again, observed = np.zeros((DRAWS, 2), int), np.zeros(2, int)
    balance = balanced_weights(codes)
    for part in chunks(len(shares.matched.edges)):
        a, b = (np.mean(shares.side(which, part), axis=0) for which in "ab")
        drawn = (weight * balance) @ a
        again += _beyond(drawn[::2], drawn[1::2], margin)
        observed += _beyond(balanced_mean(a, codes)[None], balanced_mean(b, codes)[None], margin)[0]
    return yardstick_record(["margin", "sign_flips"], again.tolist(), observed.tolist(), seed)


def _beyond(left: np.ndarray, right: np.ndarray, margin: float) -> np.ndarray:
    """Per row, edges that change beyond the margin, and edges beyond it with opposite signs."""
    with np.errstate(invalid="ignore"):
        changed = np.abs(right - left) > margin
        flipped = ((left > margin) & (right < -margin)) | ((left < -margin) & (right > margin))
    return np.stack([changed.sum(1), flipped.sum(1)], axis=1)
