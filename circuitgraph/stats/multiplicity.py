"""False discovery rates over the edges that can be tested."""

from __future__ import annotations

import numpy as np


def adjusted(p: np.ndarray, method: str = "bh") -> np.ndarray:
    """Adjusted p-values [e] (NaN: not tested); edges with q ≤ alpha are the discoveries.

    Same numbers as ``scipy.stats.false_discovery_control``, whose import takes a second, more
    than testing two million edges.

    Parameters
    ----------
    method : {"bh", "by"}
        Benjamini & Hochberg (1995), or Benjamini & Yekutieli (2001), which holds under
        any dependence and costs power.
    """
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    total = len(tested)
    if total == 0:
        return q
    order = tested[np.argsort(p[tested])]
    scaled = p[order] * (total / np.arange(1, total + 1))
    if method == "by":
        scaled *= np.sum(1 / np.arange(1, total + 1))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
