"""Refits of the effect lens; norms and signs stay those of the whole diff."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from circuitgraph.lenses.edge_tests import TESTABLE, Groups
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.recipe import combine
from circuitgraph.lenses.refits import Fit, Refits
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, recode


@dataclass(frozen=True)
class EffectRefits(Refits):
    """Refits of effects on one ``scale``."""

    scale: str

    balanced: ClassVar[bool] = True

    @cached_property
    def _shares(self) -> Shares:
        return Shares.of(self.matched, self.scale)

    def by_prompt(self) -> list[np.ndarray]:
        return [np.array(self._shares.side(which, self.edges)) for which in "ab"]

    def on_prompts(self, kept: np.ndarray) -> Fit:
        return self._fit(kept, slice(None), slice(None))

    def on_variants(self, keep_a: list[int], keep_b: list[int]) -> Fit:
        return self._fit(np.ones(self.matched.n, bool), keep_a, keep_b)

    def _fit(self, kept: np.ndarray, keep_a: list[int] | slice, keep_b: list[int] | slice) -> Fit:
        codes = recode(self.matched.scenarios[kept])
        sides = [values[:, kept] for values in self.by_prompt()]
        sides = [sides[0][keep_a], sides[1][keep_b]]
        numbers = [np.array([balanced_mean(x, codes) for x in side]) for side in sides]
        change = sides[1].mean(0) - sides[0].mean(0)
        variance, df = balanced_variance(change, codes), int(kept.sum()) - int(codes.max() + 1)
        if self.claims.scope == "checkpoint":
            return numbers[1][0] - numbers[0][0], np.sqrt(variance), df
        return self.combined(numbers, variance, df)

    def combined(self, numbers: list[np.ndarray], variance: np.ndarray, df: int) -> Fit:
        testable = self.tests.reason[self.edges] == TESTABLE
        groups = Groups(numbers[0], numbers[1], variance, variance, variance)
        both = combine(groups, df, testable, trend=True)
        return both.mean_b - both.mean_a, both.se, both.df
