"""Do two sets of edges share more than chance gives?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """How many edges two circuits share, beside what chance gives.

    Attributes
    ----------
    shared : int
        Edges in both.
    expected : float
        Mean number shared where both were drawn at random.
    p : float
        Chance of at least so many shared (hypergeometric tail).
    expected_within : float
        Mean number shared where each circuit keeps how many edges it has into each receiver and
        draws whose they are at random: two circuits that agree on the receivers alone share so
        many.
    p_within : float
        Chance of at least so many then (sum of independent hypergeometric numbers).
    """

    shared: int
    expected: float
    p: float
    expected_within: float
    p_within: float


def overlap(a: np.ndarray, b: np.ndarray, groups: Sequence[int]) -> Overlap:
    """Edges that two circuits share, and the chance of as many.

    Parameters
    ----------
    a, b : bool [edges]
        Which edges each circuit holds.
    groups : int [edges]
        The receiver of each edge, as a number from 0 on.
    """
    sizes = _counts(groups, np.ones(len(a), bool))
    in_a, in_b = (_counts(groups, held) for held in (a, b))
    shared = int((a & b).sum())
    every = _tail(shared, [(len(a), int(a.sum()), int(b.sum()))])
    within = _tail(shared, list(zip(sizes, in_a, in_b, strict=True)))
    return Overlap(
        shared=shared,
        expected=float(a.sum()) * float(b.sum()) / len(a),
        p=every,
        expected_within=float((in_a * in_b / np.maximum(sizes, 1)).sum()),
        p_within=within,
    )


def _counts(groups: Sequence[int], held: np.ndarray) -> np.ndarray:
    return np.bincount(np.asarray(groups)[held], minlength=int(np.max(groups)) + 1)


def _tail(shared: int, strata: Sequence[tuple[int, int, int]]) -> float:
    """P(Σ X ≥ shared) of independent hypergeometric X: (size, in A, in B) each."""
    from scipy.stats import hypergeom

    chances = np.ones(1)
    for size, one, other in strata:
        if one and other:
            possible = np.arange(min(one, other) + 1)
            chances = np.convolve(chances, hypergeom.pmf(possible, size, one, other))
    return float(min(1.0, chances[shared:].sum()))
