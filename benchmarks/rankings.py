"""How well scores rank the few edges that truly changed; ties count half."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """P(a changed edge scores above an unchanged one), ties half; NaN without both."""
    k, rest = int(truth.sum()), int((~truth).sum())
    if not k or not rest:
        return float("nan")
    return float((rankdata(score)[truth].sum() - k * (k + 1) / 2) / (k * rest))


def within(score: np.ndarray, truth: np.ndarray, receiver: np.ndarray) -> float:
    """The same over pairs of edges into one receiver: no credit for who changed at all."""
    right = pairs = 0.0
    for name in np.unique(receiver[truth]):
        own = receiver == name
        count = float(truth[own].sum() * (~truth[own]).sum())
        if count:
            right += auroc(score[own], truth[own]) * count
            pairs += count
    return right / pairs if pairs else float("nan")


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under the precision-recall curve: Σ (R_i − R_{i−1}) P_i over distinct thresholds."""
    if not truth.any():
        return float("nan")
    thresholds, inverse = np.unique(-score, return_inverse=True)
    found = np.bincount(inverse, weights=truth, minlength=len(thresholds)).cumsum()
    said = np.bincount(inverse, minlength=len(thresholds)).cumsum()
    gained = np.diff(found, prepend=0.0) / truth.sum()
    return float((gained * found / said).sum())


def precision_at(score: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Share of changed edges among the k highest scores; of those tied at the end, their share."""
    if not k:
        return float("nan")
    last = np.sort(score)[::-1][min(k, len(score)) - 1]
    above, tied = score > last, score == last
    return float((truth[above].sum() + (k - above.sum()) * truth[tied].mean()) / k)
