"""The change of an effect, split over signal, edge and what follows.

Variants lend each other their factors, a pair of variants at a time; the parts are means over
scenarios alike and over the pairs, so that they add up to the change of the groups' means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Protocol

import numpy as np

from circuitgraph.base.components import natural_key
from circuitgraph.lenses.edge_tests import Split
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.mechanism.shapley import of_norm, shares
from circuitgraph.runs.record import Run
from circuitgraph.stats.scenarios import balanced_mean


class Swapped(Protocol):
    """Raw values [2 × 2 × 2 × n × k] and which factors are the same, bool [3 × k]."""

    @property
    def values(self) -> np.ndarray: ...

    @property
    def same(self) -> np.ndarray: ...


Measure = Callable[[Run, Run, Sequence[int]], Swapped]
"""Measures some edges of two runs, given by their columns; see ``lenses.mechanism.measure``."""


def pairs(a: Sequence[Run], b: Sequence[Run]) -> list[tuple[int, int]]:
    """Which variants lend each other their factors: one by one in order of their names where
    the groups are of one size, else each with each; every variant counts alike."""
    if len(a) != len(b):
        return list(product(range(len(a)), range(len(b))))
    orders = (
        sorted(range(len(side)), key=lambda i: natural_key(side[i].variant.name)) for side in (a, b)
    )
    return list(zip(*orders, strict=True))


def split_of(
    scale: Shares, a: Sequence[Run], b: Sequence[Run], rows: np.ndarray, measure: Measure
) -> Split:
    """The change of some effects, split.

    Parameters
    ----------
    scale : Shares
        Of the effects that were compared.
    a, b : sequences of Run
        The same runs, as they are stored.
    rows : int [k]
        The edges, in the order compared.
    measure : callable
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


def _pair(scale: Shares, swapped: Swapped, which: tuple[int, int]) -> Split:
    seen, codes = scale.matched.observations, scale.matched.scenarios
    values = seen.mean(swapped.values * seen.signs[:, None], axis=-2)
    parts = np.stack([balanced_mean(part, codes) for part in shares(values)])
    before, after = (balanced_mean(values[i, i, i], codes) for i in (0, 1))
    gain = np.zeros_like(before)
    if scale.scale == "share":
        gain, _ = of_norm(before, after, scale.norms_a[which[0]], scale.norms_b[which[1]])
    return Split(parts, after - before, gain, swapped.same)
