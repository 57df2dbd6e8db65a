"""The effect lens: options, refits of claims, noise floor, and where signs come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from circuitgraph.base.errors import quoted
from circuitgraph.lenses.base import Lens, Measured, Models, Options, Sides, require_choice
from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests, Groups, LensDetails, Split
from circuitgraph.lenses.effect import checkpoint, recipe
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.effect.imported import circuit_agreement
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.mechanism.split import SwappedEffects, mechanism_in_words, split_of
from circuitgraph.lenses.noise import DRAWS, Noise, yardstick_record
from circuitgraph.lenses.recipe import combine
from circuitgraph.lenses.refits import ClaimRefits, Claims, Fit, Refits
from circuitgraph.runs.record import Run
from circuitgraph.runs.signs import Rows, conditions_of, notes
from circuitgraph.runs.summaries import LOG_ODDS
from circuitgraph.stats.draws import bootstrap_rows
from circuitgraph.stats.evidence import THRESHOLDS
from circuitgraph.stats.power import NOISE
from circuitgraph.stats.scenarios import (
    balanced_mean,
    balanced_variance,
    balanced_weights,
    chunks,
    recode,
)


@dataclass(frozen=True)
class EffectRefits(Refits):
    """Refits of effects on one ``scale``; norms and signs stay those of the whole diff."""

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


def _beyond(left: np.ndarray, right: np.ndarray, margin: float) -> np.ndarray:
    """Per row, edges that change beyond the margin, and edges beyond it with opposite signs."""
    with np.errstate(invalid="ignore"):
        changed = np.abs(right - left) > margin
        flipped = ((left > margin) & (right < -margin)) | ((left < -margin) & (right > margin))
    return np.stack([changed.sum(1), flipped.sum(1)], axis=1)


def totals_remarks(matched: Matched) -> tuple[list[str], bool]:
    """Remarks on the totals that give the signs, and whether effects cancel there."""
    if any(run.imported for run in matched.runs):
        return [], False
    run = next((r for r in matched.runs if not r.variant.adapter), matched.runs[0])
    totals = run.totals if run.signs is None else np.array(run.signs.totals)
    rows = Rows.of_run(run)
    others = [rows.turned(other.totals) for other in matched.runs]
    return notes(*conditions_of(run), rows.turned(totals), others)


SCALES = ("share", "logit")
SHARE = "share of the norm of all edge effects"
FEWEST = 5
"""Edges without which there is no typical one."""


@dataclass(frozen=True)
class Effect(Lens):
    """Did the effect of patching an edge on the decision change?

    Attributes
    ----------
    scale : {"share", "logit"}
        Effects as shares of the norm of all edge effects (blind to gain), or in the decision's
        units.
    """

    name: ClassVar[str] = "effect"
    run_kind: ClassVar[str] = "effect"
    evidence: ClassVar[tuple[int, int]] = THRESHOLDS["effect"]
    margin: ClassVar[float] = checkpoint.MARGIN
    has_mechanism: ClassVar[bool] = True
    typical: ClassVar[str] = "a typical edge that carries an effect"
    # As of correlations, over edges that carry an effect.
    assumed: ClassVar[Mapping[str, Noise]] = MappingProxyType(
        {
            "checkpoint": Noise(np.array(NOISE["effect"])),
            "recipe": Noise(
                np.array([0.0023, 0.0039, 0.0059, 0.0072, 0.0081, 0.0121, 0.0156, 0.0311, 0.0482]),
                np.array([0.0038, 0.0045, 0.0067, 0.0069, 0.0083, 0.011, 0.0164, 0.029, 0.0751]),
                2.5,
            ),
        }
    )

    scale: str = "share"

    def __post_init__(self) -> None:
        require_choice("scale", self.scale, SCALES)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.scale, False)

    @property
    def quantity(self) -> str:
        shares = self.scale == "share"
        return "Share of the norm of all edge effects" if shares else "Aligned effect in log-odds"

    @property
    def unit(self) -> str:
        return SHARE if self.scale == "share" else LOG_ODDS

    def heads(self, scope: str) -> dict[str, str]:
        name = "share" if self.scale == "share" else "effect"
        return {"weight_a": f"{name}_a", "weight_b": f"{name}_b", "delta": "change"}

    def heads_by_scenario(self, scope: str) -> dict[str, str]:
        heads = self.heads(scope)
        return heads | {f"share_{side}": heads[f"weight_{side}"] for side in "ab"}

    def margin_between(self, a: Sequence[Run], b: Sequence[Run]) -> float:
        """0.01; on the logit scale times the mean norm of all variants compared."""
        if self.scale == "share":
            return self.margin
        return Shares.of(self.lined_up(a, b), self.scale).default_margin

    def tests(self, matched: Matched, scope: str) -> EdgeTests:
        tests_of = recipe.tests_of if scope == "recipe" else checkpoint.tests_of
        return tests_of(Shares.of(matched, self.scale))

    def measured(self, matched: Matched, options: Options) -> Measured:
        """Every edge tested; where effects cancel, an unchanged mean proves nothing."""
        found = super().measured(matched, options)
        cancel = totals_remarks(matched)[1]
        return replace(found, tests=replace(found.tests, excludes=not cancel))

    def refits(self, matched: Matched, tests: EdgeTests, claims: Claims) -> ClaimRefits:
        return EffectRefits(
            matched, tests, claims, lambda some: self.tests(some, claims.scope), self.scale
        )

    def screened(self, runs: Sequence[Run]) -> bool:
        return runs[0].method.estimator not in ("exact", "imported")

    def exact(self, run: Run, columns: Sequence[int], models: Models) -> np.ndarray:
        """Exact effects of some edges, measured unless kept."""
        from circuitgraph.lenses.effect.exact import exact_effects_of

        opener = models.at_hand.get(run.id)
        return exact_effects_of(run, columns, models.reporter, opener, models.resources)

    def mechanism(self, compared: Sides, stored: Sides, rows: np.ndarray, models: Models) -> Split:
        """Shares of signal, edge and downstream, by swapping each between the variants."""
        from circuitgraph.lenses.mechanism.measure import mechanisms_of

        def swapped(a: Run, b: Run, columns: Sequence[int]) -> SwappedEffects:
            return mechanisms_of(a, b, columns, models.reporter, models.resources)

        shares = Shares.of(self.lined_up(*compared), self.scale)
        return split_of(shares, *stored, rows, swapped)

    def yardstick(self, measured: Measured, margin: float, seed: int) -> dict[str, Any]:
        """Edges whose effect changes by more than the margin, and those that flip sign."""
        shares = Shares.of(measured.matched, self.scale)
        margin = margin or measured.tests.default_margin
        codes, n = shares.matched.scenarios, shares.matched.n
        rng = np.random.default_rng(seed)
        samples = [bootstrap_rows(codes, rng) for _ in range(2 * DRAWS)]
        # A bootstrap mean is the plain mean under integer weights, so all draws are one product.
        weight = np.array([np.bincount(rows, minlength=n) for rows in samples], np.float64)
        again, observed = np.zeros((DRAWS, 2), int), np.zeros(2, int)
        balance = balanced_weights(codes)
        for part in chunks(len(shares.matched.edges)):
            a, b = (np.mean(shares.side(which, part), axis=0) for which in "ab")
            drawn = (weight * balance) @ a
            again += _beyond(drawn[::2], drawn[1::2], margin)
            left, right = (balanced_mean(side, codes)[None] for side in (a, b))
            observed += _beyond(left, right, margin)[0]
        return yardstick_record(["margin", "sign_flips"], again.tolist(), observed.tolist(), seed)

    def same_in_words(self) -> str:
        return "all effects are identical"

    def carrying(self, tests: EdgeTests, margin: float, usable: np.ndarray) -> np.ndarray:
        """Edges with an effect of at least the margin on some side, if there are enough.

        Most effects are far smaller than the margin, and so are their errors.
        """
        size = np.maximum(np.abs(tests.weight_a), np.abs(tests.weight_b))
        found = usable & (size >= (margin or tests.default_margin))
        return found if found.sum() >= FEWEST else usable

    def remarks(self, measured: Measured, options: Options, margin: float) -> Iterator[str]:
        """Where signs come from, the margin taken, and what circuit files can show."""
        if measured.matched.runs[0].imported:
            yield from circuit_agreement(measured.matched)
        if measured.tests.directions == "from totals":
            signs = measured.matched.runs[0].signs
            whose = f"in {quoted(signs.variant)}, " if signs else ""
            yield (
                f"prompts have no direction: signs are those of each scenario's total {whose}the "
                "same for all variants"
            )
        yield from totals_remarks(measured.matched)[0]
        if self.scale == "logit" and options.margin is None:
            yield (
                f"margin {margin:.3g} in the decision's units: 1% of the mean overall "
                "norm of the variants' effects"
            )

    def by_prompt(
        self, matched: Matched, rows: pd.DataFrame, lens_details: LensDetails
    ) -> Iterator[dict[str, np.ndarray]]:
        """Effects as measured, their sign, and as compared."""
        shares, edges = Shares.of(matched, self.scale), rows.index.to_numpy()
        raw = [np.mean([x[:, edges] for x in side], axis=0) for side in (matched.a, matched.b)]
        share = [np.mean(shares.side(which, edges), axis=0) for which in "ab"]
        for column in range(len(edges)):
            yield {
                "raw_a": raw[0][:, column].astype(float),
                "raw_b": raw[1][:, column].astype(float),
                "direction": shares.signs.astype(int),
                "share_a": share[0][:, column],
                "share_b": share[1][:, column],
                "change": share[1][:, column] - share[0][:, column],
            }

    def mechanism_in_words(self, row: Mapping[str, Any], extra: Any) -> list[str]:
        return mechanism_in_words(row, extra, normed=self.scale == "share")
