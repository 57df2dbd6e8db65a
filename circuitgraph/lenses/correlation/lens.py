"""The correlation lens: its options, refits of its claims, and its noise floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from circuitgraph.lenses.base import Lens, Measured, Options
from circuitgraph.lenses.correlation import checkpoint, recipe
from circuitgraph.lenses.correlation.checkpoint import atanh_per_prompt
from circuitgraph.lenses.correlation.recipe import as_correlations
from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests, Groups, LensDetails
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.noise import DRAWS, Noise, yardstick_record
from circuitgraph.lenses.recipe import combine
from circuitgraph.lenses.refits import ClaimRefits, Claims, Fit, Refits
from circuitgraph.runs.summaries import CORRELATION
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import ZERO, standardise, unit_columns
from circuitgraph.stats.draws import bootstrap_rows
from circuitgraph.stats.evidence import THRESHOLDS
from circuitgraph.stats.paired import change_per_prompt
from circuitgraph.stats.power import NOISE
from circuitgraph.stats.scenarios import means


@dataclass(frozen=True)
class CorrelationRefits(Refits):
    """Refits of correlations (``rank``: of normal scores) by each prompt's influence.

    Prompts that stay are standardised without those left out.
    """

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


CHANGES = (0.3, 0.5, 0.7)
MIN_ACROSS = 20
CUTS = tuple(f"{threshold:g}" for threshold in CHANGES)
"""The thresholds as records name them."""
_WORK = 1_000_000


def _unit(arrays: Sequence[np.ndarray], rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Columns whose products are the plain correlations, averaged over variants."""
    return np.vstack([unit_columns(x[rows]) for x in arrays]) / np.sqrt(len(arrays))


def _count_changes(a: np.ndarray, b: np.ndarray) -> list[int]:
    """Pairs with |Δr| at each threshold, then pairs of opposite sign."""
    total = np.zeros(len(CHANGES) + 1, int)
    for rows, columns, _, mask in triangle.blocks(a.shape[1]):
        r_a, r_b = (x[:, rows].T @ x[:, columns] for x in (a, b))
        change = np.abs(r_b - r_a)
        flipped = ((r_a >= ZERO) & (r_b <= -ZERO)) | ((r_a <= -ZERO) & (r_b >= ZERO))
        hits = (*(change >= threshold for threshold in CHANGES), flipped)
        total += [np.count_nonzero(hit & mask) for hit in hits]
    return total.tolist()


@dataclass(frozen=True)
class Correlation(Lens):
    """Do two components still co-vary across prompts of the same scenario?

    Attributes
    ----------
    rank : bool
        Correlate normal scores of ranks instead of activities.
    """

    name: ClassVar[str] = "correlation"
    run_kind: ClassVar[str] = "correlation"
    directed: ClassVar[bool] = False
    evidence: ClassVar[tuple[int, int]] = THRESHOLDS["correlation"]
    margin: ClassVar[float] = checkpoint.MARGIN
    change: ClassVar[str] = "change of r"
    # Of recipes: deciles as those of ``NOISE``, four seeds a side.
    assumed: ClassVar[Mapping[str, Noise]] = MappingProxyType(
        {
            "checkpoint": Noise(np.array(NOISE["correlation"])),
            "recipe": Noise(
                np.array([0.5, 0.598, 0.696, 0.744, 0.797, 0.866, 0.91, 0.974, 1.076]),
                np.array([0.124, 0.133, 0.141, 0.15, 0.161, 0.172, 0.182, 0.199, 0.237]),
                3.6,
            ),
        }
    )

    rank: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        return ("share", self.rank)

    @property
    def quantity(self) -> str:
        return "Correlation within scenarios"

    @property
    def unit(self) -> str:
        return CORRELATION + (" of normal scores" if self.rank else "")

    def heads(self, scope: str) -> dict[str, str]:
        return {"weight_a": "r_a", "weight_b": "r_b", "delta": "change"}

    def tests(self, matched: Matched, scope: str) -> EdgeTests:
        measure = recipe.measure if scope == "recipe" else checkpoint.measure
        return measure(matched, rank=self.rank)

    def refits(self, matched: Matched, tests: EdgeTests, claims: Claims) -> ClaimRefits:
        return CorrelationRefits(
            matched, tests, claims, lambda some: self.tests(some, claims.scope), self.rank
        )

    def across(self, matched: Matched) -> Matched | None:
        """Scenario means, the units of the test, if there are 20 scenarios or more."""
        if matched.n_scenarios < MIN_ACROSS:
            return None
        first = np.unique(matched.scenarios, return_index=True)[1]
        return replace(
            matched,
            a=tuple(means(x, matched.scenarios) for x in matched.a),
            b=tuple(means(x, matched.scenarios) for x in matched.b),
            prompts=tuple(matched.prompts[i] for i in first),
            scenarios=np.zeros(len(first), int),
            rows=matched.rows[first],
            duplicates=0,
        )

    def yardstick(self, measured: Measured, margin: float, seed: int) -> dict[str, Any]:
        """Edges whose plain correlation changes by at least .3, .5, .7, and sign flips.

        ``self`` is the median over the draws, ``observed`` the count between A and B.
        """
        matched = measured.matched
        draws = max(1, min(DRAWS, _WORK // max(triangle.n_pairs(len(matched.components)), 1)))
        observed = _count_changes(_unit(matched.a), _unit(matched.b))
        rng = np.random.default_rng(seed)
        again = []
        for _ in range(draws):
            left, right = (bootstrap_rows(matched.scenarios, rng) for _ in range(2))
            again.append(_count_changes(*(_unit(matched.a, rows) for rows in (left, right))))
        return yardstick_record([*CUTS, "sign_flips"], again, observed, seed)

    def naive(self, yardstick: Mapping[str, Any]) -> dict[str, int]:
        """Number of |Δr| above each threshold."""
        return {cut: yardstick["observed"][cut] for cut in CUTS}

    def size_in_words(self, counted: str) -> str:
        return f"|Δr| of at least {counted}"

    def same_in_words(self) -> str:
        return "all activities are identical"

    def averaged(self, n: int, n_effective: int) -> int:
        """n − S: scenario means cost a degree of freedom each."""
        return n_effective

    def remarks(self, measured: Measured, options: Options, margin: float) -> Iterator[str]:
        yield "compared is how components vary together across prompts of the same scenario"

    def by_prompt(
        self, matched: Matched, rows: pd.DataFrame, lens_details: LensDetails
    ) -> Iterator[dict[str, np.ndarray]]:
        """Activities of both components in each side's first variant, and the influence on Δr."""
        for row in rows.to_dict("records"):
            place = [matched.components.index(row[end]) for end in ("source", "target")]
            a, b = (np.asarray(x[0][:, place], float) for x in (matched.a, matched.b))
            left, right = (standardise(x, matched.scenarios, rank=self.rank) for x in (a, b))
            yield {
                "source_a": a[:, 0],
                "target_a": a[:, 1],
                "source_b": b[:, 0],
                "target_b": b[:, 1],
                "change": change_per_prompt(left, right, np.array([0]), np.array([1]))[:, 0],
            }

    def by_scenario(self, rows: pd.DataFrame) -> dict[str, float]:
        """r of both sides within one scenario."""
        return {f"r_{side}": _r_within(rows, side) for side in "ab"}


def _r_within(rows: pd.DataFrame, side: str) -> float:
    x, y = rows[f"source_{side}"].to_numpy(), rows[f"target_{side}"].to_numpy()
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")
