"""Power of a design: the smallest change a diff would claim.

The standard error of an edge's change is split into what shrinks with prompts and what
shrinks with training seeds, and recombined for another design. The test is the diff's own
(beyond a margin, t, Benjamini-Hochberg); see ``stats.power``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from circuitgraph.diff.outcome import Outcome
from circuitgraph.lenses.base import Lens, Options
from circuitgraph.lenses.edge_tests import TESTABLE
from circuitgraph.lenses.noise import Design, Noise
from circuitgraph.stats.evidence import enough_replicates, graded
from circuitgraph.stats.power import POWER, median_share, smallest_visible

TYPICAL, NOISY = 0.5, 0.9
"""Quantiles of the standard error over edges."""


@dataclass(frozen=True)
class Asked:
    """The test a plan is for.

    Attributes
    ----------
    margin : float
        Smallest change that matters.
    level : float
        Of a single edge's test; see ``stats.power.bh_level``.
    power : float
        Probability that a change of the reported size is claimed.
    """

    lens: Lens
    scope: str
    margin: float
    level: float
    power: float = POWER

    def visible(self, noise: Noise, design: Design, quantile: float = TYPICAL) -> float:
        """Smallest change that is claimed with this power; NaN where none is."""
        if self.evidence(noise, design) == "insufficient":
            return float("nan")
        n = self.lens.averaged(design.prompts, design.df)
        se, df = noise.error(n, design, quantile)
        return smallest_visible(se, df, alpha=self.level, power=self.power, margin=self.margin)

    def evidence(self, noise: Noise, design: Design) -> str:
        """``ok``, ``low`` or ``insufficient``, as for a diff."""
        other = 1 if noise.fixed else design.seeds
        if self.scope == "recipe" and not enough_replicates(design.seeds, other):
            return "insufficient"
        return graded(self.lens.evidence, design.df)


def noise_of(outcome: Outcome, lens: Lens) -> Noise:
    """Noise of a diff's testable edges, from its standard errors.

    The median of variances estimated on few degrees of freedom is biased down, and is corrected.
    """
    tests, matched = outcome.tests, outcome.matched
    usable = (tests.reason == TESTABLE) & (tests.se > 0)
    usable = lens.carrying(tests, outcome.margin, usable)
    n = max(lens.averaged(matched.n, matched.n_effective), 1)
    parts = tests.parts
    centred = n / median_share(float(matched.n_effective))
    if parts is None:
        return Noise(tests.se[usable] * np.sqrt(centred))
    sides = [
        (spread[usable] * len(runs) / median_share(df), df - (len(runs) - 1))
        for spread, df, runs in (
            (parts.spread_a, parts.df_a, matched.runs_a),
            (parts.spread_b, parts.df_b, matched.runs_b),
        )
        if len(runs) > 1
    ]
    prompt = np.sqrt(parts.prompts[usable] * centred)
    if not sides:
        return Noise(prompt, fixed=True)
    spread = np.sqrt(np.mean([variance for variance, _ in sides], axis=0))
    # The mean weight of the priors: one side may have borrowed without limit.
    weight = float(np.mean([1 / max(df, 1e-6) for _, df in sides]))
    prior_df = 1 / weight if weight > 0 else np.inf
    return Noise(prompt, spread, prior_df, fixed=len(sides) == 1)


def outlook(outcome: Outcome, options: Options) -> Iterator[str]:
    """One line: the smallest visible change, and that with more prompts or seeds."""
    own = options.lens.outlook(outcome.measured, outcome.margin)
    if own is not None:
        yield from own if outcome.evidence != "insufficient" else ()
        return
    noise = noise_of(outcome, options.lens)
    edges = int((outcome.tests.reason == TESTABLE).sum())
    matched = outcome.matched
    seeds = [len(side) for side in (matched.runs_a, matched.runs_b) if len(side) > 1]
    design = Design(matched.n, matched.n_scenarios, min(seeds, default=1))
    level = options.alpha * max(len(outcome.decided.claims), 1) / max(edges, 1)
    asked = Asked(options.lens, options.scope, outcome.margin, level)
    if outcome.evidence == "insufficient" or not np.isfinite(asked.visible(noise, design)):
        return
    yield _in_words(asked, noise, design)


def _in_words(asked: Asked, noise: Noise, design: Design) -> str:
    change = asked.lens.change
    now = f"{asked.visible(noise, design):.2g}"
    if asked.scope == "recipe":
        more = design.repeated()
        side = "against a fixed reference" if noise.fixed else "a side"
        sentence = f"with {design.seeds} seeds {side} you can see a {change} of {now} or more"
        shown = f"{more.seeds} would show {asked.visible(noise, more):.2g}"
    else:
        more = design.grown()
        sentence = (
            f"with {design.prompts} prompts in {design.scenarios} scenarios the smallest visible "
            f"{change} is {now}"
        )
        shown = f"{more.prompts} would show {asked.visible(noise, more):.2g}"
    return f"{sentence}, on {asked.lens.typical} ({asked.power:.0%} power); {shown}"
