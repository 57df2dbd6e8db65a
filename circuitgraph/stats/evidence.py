"""Whether there is enough evidence: counts, duplicates, components that hardly vary."""

from __future__ import annotations

import numpy as np

from circuitgraph.stats.scenarios import centre

THRESHOLDS = {"correlation": (20, 50), "effect": (5, 20)}
"""By kind of run, n_effective below which evidence is insufficient, and below which it is low."""
CORRELATION_MARGIN = 0.1
"""Change of a correlation that counts as none, unless another is asked for."""
EFFECT_MARGIN = 0.01
"""The same of an effect, as a share of the norm of all edge effects."""
MOVES = 0.1
"""Change of the decision, in nats, below which corruption does nothing worth patching."""
LITTLE_MASS = 0.5
"""Probability of both answers together below which a model mostly says something else."""

MIN_REPLICATES = 3
MIN_DISTINCT = 8
MIN_STEPS = 4


def evidence(kind: str, n_effective: int) -> str:
    """Grade of the evidence in runs of a kind; see :func:`graded`."""
    return graded(THRESHOLDS[kind], n_effective)


def graded(thresholds: tuple[int, int], n_effective: int) -> str:
    """``insufficient`` (cannot tell), ``low`` or ``ok``, by prompts beyond scenarios."""
    insufficient, low = thresholds
    return "insufficient" if n_effective < insufficient else "low" if n_effective < low else "ok"


def enough_replicates(k_a: int, k_b: int) -> bool:
    """Whether groups of these sizes allow claims about a recipe.

    One side may be a single fixed reference, such as the base; a group needs three.
    """
    groups = [k for k in (k_a, k_b) if k > 1]
    return bool(groups) and min(groups) >= MIN_REPLICATES


def distinct_rows(activity: np.ndarray) -> np.ndarray:
    """For every row the index of the first row equal to it in every value, int [n]."""
    seen: dict[bytes, int] = {}
    rows = np.ascontiguousarray(activity) + 0.0  # -0.0 becomes 0.0
    return np.array([seen.setdefault(row.tobytes(), i) for i, row in enumerate(rows)], dtype=int)


def degenerate(activity: np.ndarray, scenarios: np.ndarray) -> np.ndarray:
    """Components too coarse for a correlation to mean anything, bool [c].

    Fewer than 8 distinct values, or a standard deviation within scenarios under 4
    quantisation steps (the smallest gap between distinct values): activities rounded to
    bfloat16 can take two values only, and then correlate perfectly with anything.
    """
    gaps = np.diff(np.sort(np.asarray(activity, np.float64), axis=0), axis=0)
    positive = gaps > 0
    step = np.where(positive, gaps, np.inf).min(0, initial=np.inf)
    residual = centre(activity, scenarios)
    df = max(len(activity) - len(np.unique(scenarios)), 1)
    spread = np.sqrt(np.einsum("ij,ij->j", residual, residual) / df)
    return (positive.sum(0) + 1 < MIN_DISTINCT) | ~(spread >= MIN_STEPS * step)
