"""The effect lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from circuitgraph.base.errors import quoted
from circuitgraph.lenses.base import Lens, Measured, Models, Options, Sides, require_choice
from circuitgraph.lenses.edge_tests import EdgeTests, LensDetails, Split
from circuitgraph.lenses.effect import checkpoint, recipe
from circuitgraph.lenses.effect.checkpoint import Shares
from circuitgraph.lenses.effect.imported import circuit_agreement
from circuitgraph.lenses.effect.refits import EffectRefits
from circuitgraph.lenses.effect.totals import totals_remarks
from circuitgraph.lenses.effect.yardstick import effect_yardstick
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.mechanism.split import SwappedEffects, split_of
from circuitgraph.lenses.mechanism.words import mechanism_in_words
from circuitgraph.lenses.noise import Noise
from circuitgraph.lenses.refits import ClaimRefits, Claims
from circuitgraph.runs.record import Run
from circuitgraph.runs.units import LOG_ODDS
from circuitgraph.stats.evidence import THRESHOLDS
from circuitgraph.stats.power import NOISE

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
        measure = recipe.measure if scope == "recipe" else checkpoint.measure
        return measure(matched, scale=self.scale)

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
        """Effects that change beyond the margin, beside those of A against itself."""
        shares = Shares.of(measured.matched, self.scale)
        return effect_yardstick(shares, margin or measured.tests.default_margin, seed)

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
