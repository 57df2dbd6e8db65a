"""Lens ``effect`` at scope ``checkpoint``: did an edge's effect on the decision change?

Effects are signed by the prompt's direction (so that opposite scenarios do not cancel) and by
default divided by the norm of all edge effects (so that a common gain is no change).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.base.frames import texts
from circuitgraph.lenses.edge_tests import (
    MISSING,
    NOT_CHOSEN,
    NOT_FINITE,
    TOO_SMALL,
    EdgeTests,
    Groups,
    Intervals,
    Names,
    Parts,
    flag,
    flag_numbers,
    not_chosen_edges,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.runs import aligned
from circuitgraph.stats.evidence import EFFECT_MARGIN
from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import (
    FLOAT32_NOISE,
    balanced_mean,
    balanced_variance,
    chunks,
)

MARGIN = EFFECT_MARGIN
SMALLEST = 1e-5
"""An edge whose effects are all below this share of the variant's largest is not tested."""


@dataclass(frozen=True)
class Shares:
    """Signed and scaled effects of matched runs.

    Attributes
    ----------
    signs : float [n]
        ±1 per prompt.
    directions : str
        Where the signs came from.
    norms_a, norms_b : tuple of float
        Each variant's norm of all edge effects, in the decision's units.
    scale : {"share", "logit"}
    """

    matched: Matched
    signs: np.ndarray
    directions: str
    norms_a: tuple[float, ...]
    norms_b: tuple[float, ...]
    scale: str

    @classmethod
    def of(cls, matched: Matched, scale: str) -> Shares:
        seen = matched.observations
        norms_a = tuple(aligned.overall_norm(x) for x in matched.a)
        norms_b = tuple(aligned.overall_norm(x) for x in matched.b)
        return cls(matched, seen.signs[seen.first], seen.origin, norms_a, norms_b, scale)

    @property
    def default_margin(self) -> float:
        """0.01; on the logit scale times the mean norm of all variants compared."""
        norms = np.array(self.norms_a + self.norms_b)
        return MARGIN if self.scale == "share" else MARGIN * float(np.nan_to_num(norms).mean())

    def side(self, which: str, edges: slice | np.ndarray) -> list[np.ndarray]:
        """Effects of side ``a`` or ``b`` on the chosen scale; float64 [n × edges] a variant."""
        arrays, norms = getattr(self.matched, which), getattr(self, f"norms_{which}")
        divisors = norms if self.scale == "share" else (1.0,) * len(norms)
        signs = self.signs[:, None]
        return [
            np.asarray(array[:, edges], np.float64) * signs / divisor
            for array, divisor in zip(arrays, divisors, strict=True)
        ]

    def change(self, edges: np.ndarray) -> np.ndarray:
        """Per-prompt difference of the sides' means; float64 [n × edges]."""
        return np.mean(self.side("b", edges), axis=0) - np.mean(self.side("a", edges), axis=0)


def tests_of(shares: Shares) -> EdgeTests:
    """Paired test of the change of every effect between two variants."""
    df = shares.matched.n_effective
    found, reason = groups(shares)
    weight_a, weight_b = found.numbers_a[0], found.numbers_b[0]

    def own(edges: np.ndarray) -> Intervals:
        half_a = half_width(np.sqrt(found.variance_a[edges]), df)
        half_b = half_width(np.sqrt(found.variance_b[edges]), df)
        a, b = weight_a[edges], weight_b[edges]
        return a - half_a, a + half_a, b - half_b, b + half_b

    se = np.sqrt(found.variance)
    return effect_tests(
        shares, found, reason, weight_a=weight_a, weight_b=weight_b, se=se, df=df, own=own
    )


def effect_tests(
    shares: Shares,
    found: Groups,
    reason: np.ndarray,
    *,
    weight_a: np.ndarray,
    weight_b: np.ndarray,
    se: np.ndarray,
    df: float | np.ndarray,
    own: Callable[[np.ndarray], Intervals],
    parts: Parts | None = None,
) -> EdgeTests:
    """Tests of every effect; changes within float32 rounding become 0 (``se`` in place)."""
    delta, quiet = weight_b - weight_a, noise_floor(shares)
    delta[np.abs(delta) <= quiet] = 0.0
    se[se <= quiet] = 0.0
    flag_numbers(reason, delta, se, shares.matched.n_effective > 0)
    return EdgeTests(
        names=edge_names(shares.matched),
        weight_a=weight_a,
        weight_b=weight_b,
        delta=delta,
        se=se,
        reason=reason,
        default_margin=shares.default_margin,
        per_prompt=shares.change,
        gain=gain_of(shares, found),
        directions=shares.directions,
        df=df,
        own=own,
        parts=parts,
    )


def groups(shares: Shares) -> tuple[Groups, np.ndarray]:
    """Scenario-balanced mean effect per variant and edge, and reasons (int8 [e])."""
    matched = shares.matched
    size, codes = len(matched.edges), matched.scenarios
    numbers = [np.empty((len(side), size)) for side in (matched.a, matched.b)]
    variances = np.empty((3, size))
    for part in chunks(size):
        sides = [shares.side(which, part) for which in "ab"]
        for out, side in zip(numbers, sides, strict=True):
            out[:, part] = [balanced_mean(values, codes) for values in side]
        mean = [np.mean(side, axis=0) for side in sides]
        for row, values in enumerate((mean[1] - mean[0], *mean)):
            variances[row, part] = balanced_variance(values, codes)
    reason = np.zeros(size, np.int8)
    flag(reason, matched.missing, MISSING)
    flag(reason, ~np.all(np.isfinite(np.vstack(numbers)), axis=0), NOT_FINITE)
    flag(reason, not_chosen_edges(matched.edges, (*matched.a, *matched.b)), NOT_CHOSEN)
    flag(reason, _too_small((*matched.a, *matched.b)), TOO_SMALL)
    return Groups(*numbers, *variances), reason


def noise_floor(shares: Shares) -> np.ndarray:
    """Float32 rounding of each edge's own effects, float64 [e]."""
    matched = shares.matched
    floor = np.zeros(len(matched.edges))
    for part in chunks(len(floor)):
        values = shares.side("a", part) + shares.side("b", part)
        floor[part] = FLOAT32_NOISE * np.max(np.abs(values), axis=(0, 1))
    return np.nan_to_num(floor)


def _too_small(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Edges whose largest |effect| is under 1e-5 of the variant's largest, in every variant."""
    small = np.ones(arrays[0].shape[1], bool)
    for array in arrays:
        peak = np.abs(array).max(0, initial=0.0)
        largest = np.max(peak[np.isfinite(peak)], initial=0.0)
        small &= peak < SMALLEST * largest
    return small


def edge_names(matched: Matched) -> Names:
    source, target, into = (texts([edge[i] for edge in matched.edges]) for i in range(3))
    return source, target, into


def gain_of(shares: Shares, found: Groups) -> float | None:
    """Robust slope of B's effects on A's, in the decision's units.

    Least absolute deviations through the origin: the median of the ratios b/a weighted by |a|.
    A gain far from 1 with few claims means the same wiring at another scale.
    """
    a = _in_decision_units(found.numbers_a, shares.norms_a, shares.scale)
    b = _in_decision_units(found.numbers_b, shares.norms_b, shares.scale)
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0)
    if not usable.any():
        return None
    ratio, weight = b[usable] / a[usable], np.abs(a[usable])
    order = np.argsort(ratio)
    below = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(below, below[-1] / 2)])


def _in_decision_units(numbers: np.ndarray, norms: tuple[float, ...], scale: str) -> np.ndarray:
    factor = np.array(norms)[:, None] if scale == "share" else 1.0
    return (numbers * factor).mean(0)
