"""Noise floor: A against itself, on two bootstrap samples of its prompts within scenarios.

A count of changes that a diff of A and B does not clearly exceed is prompt sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DRAWS = 20


def yardstick_record(
    names: Sequence[str], again: Sequence[Sequence[int]], observed: Sequence[int], seed: int
) -> dict[str, Any]:
    """Counts of A against itself (median over the draws) and of A against B."""
    median = np.median(np.array(again), axis=0)
    return {
        "seed": seed,
        "draws": len(again),
        "self": {name: float(m) for name, m in zip(names, median, strict=True)},
        "observed": {name: int(count) for name, count in zip(names, observed, strict=True)},
    }
