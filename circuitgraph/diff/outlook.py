"""What a design can show: the smallest change a diff would claim, before or after it is made.

The standard error of an edge's change is taken apart into what shrinks with prompts and
what shrinks with training seeds, and put together again for another design. The test is
the diff's own (beyond a margin, t, Benjamini-Hochberg); see ``stats.power``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from circuitgraph.diff.options import Options
from circuitgraph.diff.outcome import Outcome
from circuitgraph.lenses.edge_tests import TESTABLE
from circuitgraph.lenses.wiring.channel_tests import PROMINENT
from circuitgraph.stats.evidence import enough_replicates, evidence
from circuitgraph.stats.power import median_share, smallest_visible
from circuitgraph.stats.replicates import combined_df

POWER = 0.8
TYPICAL, NOISY = 0.5, 0.9
"""Quantiles of the standard error over edges."""
ADVISED_SEEDS = 5
FEWEST = 5
"""Edges without which there is no typical one."""
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

    def error(self, lens: str, design: Design, quantile: float) -> tuple[float, float]:
        """Standard error of an edge's change, and its degrees of freedom.

        NaN where the design leaves no degrees of freedom.
        """
        if design.df <= 0 or not len(self.prompt):
            return float("nan"), 0.0
        n = design.df if lens == "correlation" else design.prompts
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


@dataclass(frozen=True)
class Asked:
    """The test a plan is for.

    Attributes:
        lens, scope: of the diff.
        margin: smallest change that matters.
        level: of a single edge's test; see ``stats.power.bh_level``.
        power: how often a change of the size told is claimed.
    """

    lens: str
    scope: str
    margin: float
    level: float
    power: float = POWER

    def visible(self, noise: Noise, design: Design, quantile: float = TYPICAL) -> float:
        """Smallest change that is claimed with this power; NaN where nothing can be."""
        if self.evidence(noise, design) == "insufficient":
            return float("nan")
        se, df = noise.error(self.lens, design, quantile)
        return smallest_visible(se, df, alpha=self.level, power=self.power, margin=self.margin)

    def evidence(self, noise: Noise, design: Design) -> str:
        """``ok``, ``low`` or ``insufficient``, as a diff would say."""
        other = 1 if noise.fixed else design.seeds
        if self.scope == "recipe" and not enough_replicates(design.seeds, other):
            return "insufficient"
        return evidence(self.lens, design.df)


def noise_of(outcome: Outcome, lens: str) -> Noise:
    """What a diff's own standard errors say about edges that can be tested.

    The median of variances estimated on few degrees of freedom lies below what they
    estimate, and is raised to it. Most effects are far smaller than the margin and so are
    their errors: there only edges count that carry an effect of the margin or more on some
    side, where there are enough.
    """
    tests, matched = outcome.tests, outcome.matched
    usable = (tests.reason == TESTABLE) & (tests.se > 0)
    if lens == "effect":
        size = np.maximum(np.abs(tests.weight_a), np.abs(tests.weight_b))
        carrying = usable & (size >= (outcome.margin or tests.default_margin))
        usable = carrying if carrying.sum() >= FEWEST else usable
    n = max(matched.n_effective if lens == "correlation" else matched.n, 1)
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
    """One line: what this design could see, and what more prompts or seeds would show."""
    if options.lens == "wiring":
        yield from _channels(outcome)
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
    of_r = asked.lens == "correlation"
    edge = "a typical edge" if of_r else "a typical edge that carries an effect"
    change = "change of r" if of_r else "change"
    now = f"{asked.visible(noise, design):.2g}"
    if asked.scope == "recipe":
        more = design.repeated()
        side = "against a fixed reference" if noise.fixed else "a side"
        told = f"with {design.seeds} seeds {side} you can see a {change} of {now} or more"
        shown = f"{more.seeds} would show {asked.visible(noise, more):.2g}"
    else:
        more = design.grown()
        told = (
            f"with {design.prompts} prompts in {design.scenarios} scenarios the smallest visible "
            f"{change} is {now}"
        )
        shown = f"{more.prompts} would show {asked.visible(noise, more):.2g}"
    return f"{told}, on {edge} ({asked.power:.0%} power); {shown}"


def _channels(outcome: Outcome) -> Iterator[str]:
    """What a channel needs to be claimed: not prompts limit it, but how much its receiver moved."""
    times = outcome.closer.by_edge.get("times_median")
    if outcome.evidence == "insufficient" or times is None:
        return
    tests = outcome.tests
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = PROMINENT**0.5 * tests.delta / times
    needed = needed[(tests.reason == TESTABLE) & np.isfinite(needed) & (needed > 0)]
    if len(needed):
        least = max(float(np.median(needed)), outcome.margin)
        yield (
            f"a channel can be claimed from a change of about {least:.2g} at a typical receiver, "
            "twice that of its median channel; more prompts alter that little"
        )
