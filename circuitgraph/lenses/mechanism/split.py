"""The change of an effect, split over signal, edge and downstream by Shapley values, and in words.

Factors are swapped between pairs of variants; parts are scenario-balanced means over the
pairs, so that they add up to the change of the groups' means. A Shapley value (1953) is what
swapping a factor changes, averaged over the six orders of swapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import natural_key
from circuitgraph.lenses.edge_tests import Split
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean

UPSTREAM, EDGE, DOWNSTREAM = "upstream", "edge", "downstream"
FACTORS = (UPSTREAM, EDGE, DOWNSTREAM)
MIXED, UNKNOWN = "mixed", "unknown"


def shares(values: np.ndarray) -> np.ndarray:
    """Each factor's part in ``values[1, 1, 1] − values[0, 0, 0]``, float64 [3 × …].

    φ = ⅓ (swapped first) + ⅙ (each way of being second) + ⅓ (swapped last). Exactly 0 where
    swapping a factor changes no value.

    Parameters
    ----------
    values : float [2 × 2 × 2 × …]
        By signal, edge and downstream: 0 before the swap, 1 after it.
    """
    found = []
    for factor in range(3):
        before, after = np.moveaxis(np.asarray(values, np.float64), factor, 0)
        step = after - before
        found.append((step[0, 0] + step[1, 1]) / 3 + (step[0, 1] + step[1, 0]) / 6)
    return np.stack(found)


def labels(parts: np.ndarray) -> list[str]:
    """The factor with at least half of Σ|φ| (of parts [3 × k]), else ``mixed`` or ``unknown``."""
    size = np.abs(parts)
    total = size.sum(0)
    ahead = (2 * size >= total) & (total > 0)
    names = np.where(ahead.sum(0) == 1, np.array(FACTORS)[ahead.argmax(0)], MIXED)
    return np.where(np.isfinite(total), names, UNKNOWN).tolist()


def of_norm(
    raw_a: np.ndarray, raw_b: np.ndarray, norm_a: float, norm_b: float
) -> tuple[np.ndarray, float]:
    """Part of a normalised change due to the norms [k], and the factor of the rest.

    w_B − w_A = Σ φ · ½(1/N_A + 1/N_B) + ½(e_A + e_B)(1/N_B − 1/N_A), with w = e / N for effects
    e (``raw_a``, ``raw_b`` [k]): the second summand, and the factor of Σ φ.
    """
    gain = (np.asarray(raw_a) + np.asarray(raw_b)) / 2 * (1 / norm_b - 1 / norm_a)
    return gain, (1 / norm_a + 1 / norm_b) / 2


@dataclass(frozen=True)
class SwappedEffects:
    """Effects of k edges with signal, edge and downstream each taken from A (0) or B (1).

    Attributes
    ----------
    values : float64 [2, 2, 2, n, k]
        In the decision's units.
    same : bool [3, k]
        Which of the three are equal bit for bit on all prompts.
    """

    values: np.ndarray
    same: np.ndarray


Measure = Callable[[Run, Run, Sequence[int]], SwappedEffects]
"""Measures some edges of two runs, given by their columns; see ``lenses.mechanism.measure``."""


def pairs(a: Sequence[Run], b: Sequence[Run]) -> list[tuple[int, int]]:
    """Pairs of variants: in order of name where the groups have one size, else all with all."""
    if len(a) != len(b):
        return list(product(range(len(a)), range(len(b))))
    orders = (
        sorted(range(len(side)), key=lambda i: natural_key(side[i].variant.name)) for side in (a, b)
    )
    return list(zip(*orders, strict=True))


def split_of(
    scale: Shares, a: Sequence[Run], b: Sequence[Run], rows: np.ndarray, measure: Measure
) -> Split:
    """Split the change of some edges (rows, int [k], in the order compared).

    Parameters
    ----------
    scale : Shares
        Of the effects that were compared.
    a, b : sequences of Run
        The same runs as they are stored.
    """
    names = [scale.matched.edges[i] for i in rows]
    found = []
    for i, j in pairs(a, b):
        columns = [a[i].edges.index(name) for name in names]
        found.append(_pair(scale, measure(a[i], b[j], columns), (i, j)))
    return Split(
        parts=np.mean([one.parts for one in found], 0),
        change=np.mean([one.change for one in found], 0),
        gain=np.mean([one.gain for one in found], 0),
        same=np.all([one.same for one in found], 0),
    )


def _pair(scale: Shares, swapped: SwappedEffects, which: tuple[int, int]) -> Split:
    seen, codes = scale.matched.observations, scale.matched.scenarios
    values = seen.mean(swapped.values * seen.signs[:, None], axis=-2)
    parts = np.stack([balanced_mean(part, codes) for part in shares(values)])
    before, after = (balanced_mean(values[i, i, i], codes) for i in (0, 1))
    gain = np.zeros_like(before)
    if scale.scale == "share":
        gain, _ = of_norm(before, after, scale.norms_a[which[0]], scale.norms_b[which[1]])
    return Split(parts, after - before, gain, swapped.same)


_SHARES = {
    "signal": "are due to the signal that enters",
    "edge": "to the edge itself",
    "downstream": "to what follows it",
}


def mechanism_in_words(row: Mapping[str, Any], extra: Any, *, normed: bool) -> list[str]:
    """Why a claim changed, in one line; none where a row has no mechanism.

    Parameters
    ----------
    row, extra : mapping
        Of a diff's table and of its details.
    normed : bool
        Whether effects are shares, so that a change of their norm (gain) adds to the change.
    """
    if not row["mechanism"]:
        return []
    line = f"Mechanism: {row['mechanism']}."
    if pd.isna(extra.get("signal")):
        return [
            f"{line} An effect can change because the signal that enters, the edge itself, or "
            "what reads its result changed."
        ]
    same = extra["same"].split(", ")
    each = [
        f"{extra[name]:+.3f} {words}{' (bit for bit the same)' if name in same else ''}"
        for name, words in _SHARES.items()
    ]
    total = sum(extra[name] for name in _SHARES)
    line = f"{line} Of the change of {total:+.3f} in the decision's units, {', '.join(each)}."
    if normed:
        line += (
            f" The change of the norm of all edge effects (gain) makes {extra['gain']:+.3f} of the "
            f"{row['delta']:+.3f} by which the share changed."
        )
    return [line]
