"""Refits of the correlation lens: left-out prompts are standardised without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitgraph.lenses.correlation.checkpoint import atanh_per_prompt
from circuitgraph.lenses.correlation.recipe import as_correlations
from circuitgraph.lenses.edge_tests import TESTABLE, Groups
from circuitgraph.lenses.recipe import combine
from circuitgraph.lenses.refits import Fit, Refits


@dataclass(frozen=True)
class CorrelationRefits(Refits):
    """Refits of correlations (``rank``: of normal scores) by each prompt's influence."""

    rank: bool

    def by_prompt(self) -> list[np.ndarray]:
        return atanh_per_prompt(self.matched, self.edges, rank=self.rank)

    def combined(self, numbers: list[np.ndarray], variance: np.ndarray, df: int) -> Fit:
        """The test of two groups of atanh r, on the scale of r."""
        testable = self.tests.reason[self.edges] == TESTABLE
        groups = Groups(numbers[0], numbers[1], variance, variance, variance)
        both = combine(groups, df, testable, trend=False)
        _, _, delta, slope = as_correlations(both)
        return delta, slope * both.se, both.df
