"""Noise of edges: by prompts, by training seeds, and A against two resamples of itself.

A count of changes that a diff of A and B does not clearly exceed is prompt sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitgraph.stats.replicates import combined_df

ADVISED_SEEDS = 5
MORE_PROMPTS = 2.5
"""By which the prompts of a design are multiplied to say what more would show."""


@dataclass(frozen=True)
class Design:
    """Sample sizes: prompts, scenarios, and variants a side (a fixed reference stays one)."""

    prompts: int
    scenarios: int
    seeds: int = 1

    @property
    def df(self) -> int:
        """Prompts beyond scenarios."""
        return self.prompts - self.scenarios

    def grown(self) -> Design:
        """With more prompts, in round numbers."""
        step = 10 ** max(1, len(str(self.prompts)) - 2)
        more = round(MORE_PROMPTS * self.prompts / step) * step
        return replace(self, prompts=max(more, self.prompts + 1))

    def repeated(self) -> Design:
        """With more seeds a side."""
        more = ADVISED_SEEDS if self.seeds < ADVISED_SEEDS else 2 * self.seeds
        return replace(self, seeds=more)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of edges, float64 [e] each, in the units of a diff's ``delta``.

    Attributes
    ----------
    prompt : float64 [e]
        Of one prompt's change; its mean over n prompts has the error prompt/√n.
    spread : float64 [e], optional
        Between replicates of one recipe; None at scope ``checkpoint``.
    prior_df : float
        Degrees of freedom that the spread borrows from all edges.
    fixed : bool
        Whether one side is a single, fixed reference.
    """

    prompt: np.ndarray
    spread: np.ndarray | None = None
    prior_df: float = 0.0
    fixed: bool = False

    def error(self, n: int, design: Design, quantile: float) -> tuple[float, float]:
        """Standard error of an edge's change and its degrees of freedom; NaN, 0 without any.

        Parameters
        ----------
        n : int
            By how many the variance over prompts is divided; see ``Lens.averaged``.
        quantile : float
            Of the standard error over edges.
        """
        if design.df <= 0 or not len(self.prompt):
            return float("nan"), 0.0
        prompts = self.prompt**2 / n
        if self.spread is None:
            return float(np.sqrt(np.quantile(prompts, quantile))), float(design.df)
        one = self.spread**2 / design.seeds
        df = design.seeds - 1 + self.prior_df
        sides = [(one, df)] * (1 if self.fixed else 2)
        total = prompts + len(sides) * one
        edge = np.argsort(total)[min(int(quantile * len(total)), len(total) - 1)]
        parts = [(variance[edge], d) for variance, d in (*sides, (prompts, float(design.df)))]
        return float(np.sqrt(total[edge])), float(combined_df(*parts))


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
