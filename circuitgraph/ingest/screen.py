"""Quality of an approximate estimator on a random sample of edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SAMPLE = 64


ARRAY = "exact_sample"
"""Name of the array that holds the sample's exact effects [prompts × sample]."""


def sample_of(edges: int, seed: int = 0) -> tuple[int, ...]:
    """Indices of the edges that a screened run also measures exactly, ascending."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return tuple(sorted(generator.choice(edges, min(SAMPLE, edges), replace=False).tolist()))


def quality(arrays: Mapping[str, np.ndarray], sample: Sequence[int]) -> dict[str, Any]:
    """Ranking and scale of the estimates on the sample.

    Returns
    -------
    dict
        ``edges`` (the sample), ``rank`` (Spearman's correlation of the mean |effect| over
        prompts) and ``scale`` (least-squares slope of the estimates on the exact effects,
        through the origin); None where all effects of the sample are 0.
    """
    from scipy.stats import spearmanr  # takes a second to import

    exact = arrays[ARRAY].astype(np.float64)
    screened = arrays["effects"][:, list(sample)].astype(np.float64)
    size = float((exact * exact).sum())
    means = np.abs(screened).mean(0), np.abs(exact).mean(0)
    varied = all(np.ptp(mean) > 0 for mean in means)
    return {
        "edges": list(sample),
        "rank": float(spearmanr(*means).statistic) if varied else None,
        "scale": float((screened * exact).sum() / size) if size > 0 else None,
    }


def in_words(found: Mapping[str, Any]) -> str:
    """One line for people."""
    if found["rank"] is None or found["scale"] is None:
        return "screen: no effect among the edges measured exactly, so its quality is unknown"
    return (
        f"screen: on {len(found['edges'])} edges measured exactly it ranks with Spearman "
        f"{found['rank']:.3f} and scales by {found['scale']:.2f}"
    )
