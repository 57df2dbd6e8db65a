"""Refits of the wiring lens on other prompts, or without a replicate.

Random updates and, at recipe scope, standard errors stay those of the whole diff. A claim
holds where its p-value is at most the largest of the diff's claims and its change passes all
other criteria.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from circuitgraph.lenses.recipe import Combined
from circuitgraph.lenses.wiring.against_base import SURELY, ChangeFromBase, log_times
from circuitgraph.lenses.wiring.channel_tests import PROMINENT, claimed_under
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.scenarios import balanced_weights


@dataclass(frozen=True)
class _WiringRefits(ABC):
    """Claims (``edges``, int [k]) of either scope with the smallest change and largest p-value."""

    scenarios: np.ndarray
    edges: np.ndarray
    margin: float
    cutoff: float

    @property
    def balanced(self) -> bool:
        return True

    @abstractmethod
    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Claims under other weights of the prompts, float [fits × n]; bool [fits × k]."""

    def without(self, kept: np.ndarray) -> np.ndarray:
        weights = np.zeros((1, len(self.scenarios)))
        weights[0, kept] = balanced_weights(self.scenarios[kept])
        return self.resampled(weights)[0]


@dataclass(frozen=True)
class PairRefits(_WiringRefits):
    """Refits of two models' channels."""

    channels: Channels

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        scenarios, margin = self.scenarios, self.margin
        p, large = claimed_under(self.channels, scenarios, weights, self.edges, margin)
        return large & (p <= self.cutoff)

    def without_replicates(self) -> np.ndarray:
        return np.empty((0, len(self.edges)), bool)


@dataclass(frozen=True)
class GroupRefits(_WiringRefits):
    """Refits of two groups, each variant against the base; ``whole`` is the groups' whole test."""

    sides: Sequence[Sequence[ChangeFromBase]]
    whole: Combined

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        return self._claimed(self.sides, weights)

    def without_replicates(self) -> np.ndarray:
        """Claims with each replicate left out of a group of more than two; bool [fits × k]."""
        whole, found = balanced_weights(self.scenarios)[None], []
        for number, side in enumerate(self.sides):
            for i in range(len(side) if len(side) > 2 else 0):
                fewer = [list(members) for members in self.sides]
                del fewer[number][i]
                found.append(self._claimed(fewer, whole)[0])
        return np.array(found, bool).reshape(-1, len(self.edges))

    def _claimed(
        self, sides: Sequence[Sequence[ChangeFromBase]], weights: np.ndarray
    ) -> np.ndarray:
        rows, whole = self.edges, self.whole
        times = [
            np.mean([log_times(one.channels, weights)[:, rows] for one in side], axis=0)
            for side in sides
        ]
        changes = [
            weights @ np.mean([one.channels.delta[:, rows] for one in side], axis=0)
            for side in sides
        ]
        apart = times[1] - times[0]
        p = treat_p(apart, whole.se[rows], whole.df[rows], SURELY)
        with np.errstate(invalid="ignore"):
            found = (p <= self.cutoff) & (np.abs(apart) >= log(PROMINENT))
            found &= np.abs(changes[1] - changes[0]) >= self.margin
        return found & (np.sign(apart) == np.sign((whole.mean_b - whole.mean_a)[rows]))
