"""How much edges vary, and a design that lets a change show in spite of it.

The standard error of an edge's change is taken apart into what shrinks with prompts and
what shrinks with training seeds, and put together again for another design.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuitgraph.stats.replicates import combined_df

ADVISED_SEEDS = 5
MORE_PROMPTS = 2.5
"""By which the prompts of a design are multiplied to say what more would show."""


@dataclass(frozen=True)
class Design:
    """What one means to measure.

    Attributes:
        prompts: n, distinct.
        scenarios: S.
        seeds: variants a side; a fixed reference stays one.
    """

    prompts: int
    scenarios: int
    seeds: int = 1

    @property
    def df(self) -> int:
        """Prompts beyond scenarios."""
        return self.prompts - self.scenarios

    def grown(self) -> Design:
        """The same with more prompts, in round numbers."""
        step = 10 ** max(1, len(str(self.prompts)) - 2)
        more = round(MORE_PROMPTS * self.prompts / step) * step
        return replace(self, prompts=max(more, self.prompts + 1))

    def repeated(self) -> Design:
        """The same with more seeds a side."""
        more = ADVISED_SEEDS if self.seeds < ADVISED_SEEDS else 2 * self.seeds
        return replace(self, seeds=more)


@dataclass(frozen=True)
class Noise:
    """How much edges vary; float64 [e] each, in the units of a diff's ``delta``.

    Attributes:
        prompt: standard deviation of one prompt's change, so that its mean over n prompts
            errs by prompt/√n.
        spread: standard deviation between replicates of one recipe; None where the scope
            is ``checkpoint``.
        prior_df: degrees of freedom the spread borrows from all edges.
        fixed: whether one side is a single, fixed reference.
    """

    prompt: np.ndarray
    spread: np.ndarray | None = None
    prior_df: float = 0.0
    fixed: bool = False

    def error(self, n: int, design: Design, quantile: float) -> tuple[float, float]:
        """Standard error of an edge's change, and its degrees of freedom.

        NaN where the design leaves no degrees of freedom.

        Parameters
        ----------
        n : int
            By how many the variance over prompts is divided; see ``Lens.averaged``.
        design : Design
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
