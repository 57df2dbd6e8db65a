"""The change of an effect, split over signal, edge and downstream.

Factors are swapped between pairs of variants; parts are scenario-balanced means over the
pairs, so that they add up to the change of the groups' means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from circuitgraph.base.components import natural_key
from circuitgraph.lenses.edge_tests import Split
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.mechanism.shapley import of_norm, shares
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean


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
