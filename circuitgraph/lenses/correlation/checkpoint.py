"""Lens ``correlation`` at scope ``checkpoint``: correlations across prompts of one scenario.

With 20 scenarios or more the scenario means give a second, across-scenario test (``lens``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.frames import coded, constant
from circuitgraph.lenses.edge_tests import (
    DEGENERATE,
    MISSING,
    NOT_CHOSEN,
    NOT_FINITE,
    EdgeTests,
    Groups,
    Intervals,
    Names,
    flag,
    flag_numbers,
    not_chosen,
)
from circuitgraph.lenses.match import Matched
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import (
    Scores,
    atanh_error,
    atanh_influence,
    interval,
    standardise,
)
from circuitgraph.stats.evidence import CORRELATION_MARGIN, degenerate
from circuitgraph.stats.paired import change_per_prompt, correlation_change
from circuitgraph.stats.scenarios import chunks

MARGIN = CORRELATION_MARGIN


def measure(matched: Matched, *, rank: bool = False) -> EdgeTests:
    """Paired test of the change of every correlation between two variants."""
    codes = triangle.pair_codes(len(matched.components))
    a, b = (standardise(x, matched.scenarios, rank=rank) for x in (matched.a[0], matched.b[0]))
    change = correlation_change(a, b)
    reason = pair_reasons(matched, codes)
    for scores, r in ((a, change.r_a), (b, change.r_b)):
        dead = _pairs_with(~scores.alive, codes)
        r[dead] = change.delta[dead] = change.se[dead] = np.nan
    flag_numbers(reason, change.delta, change.se, change.df > 0)

    def own(edges: np.ndarray) -> Intervals:
        j, k = codes[0][edges], codes[1][edges]
        sides = ((a, change.r_a[edges]), (b, change.r_b[edges]))
        ends = [interval(r, atanh_error(s, r, j, k), change.df) for s, r in sides]
        return (*ends[0], *ends[1])

    def per_prompt(edges: np.ndarray) -> np.ndarray:
        return change_per_prompt(a, b, codes[0][edges], codes[1][edges])

    return EdgeTests(
        names=pair_names(matched, codes),
        weight_a=change.r_a,
        weight_b=change.r_b,
        delta=change.delta,
        se=change.se,
        df=change.df,
        reason=reason,
        default_margin=MARGIN,
        own=own,
        per_prompt=per_prompt,
    )


def pair_names(matched: Matched, codes: tuple[np.ndarray, np.ndarray]) -> Names:
    """Source, target and input of every pair; edges run from the earlier component."""
    names = list(matched.components)
    source, target = (coded(code, names) for code in codes)
    return source, target, constant("", len(codes[0]))


def pair_reasons(matched: Matched, codes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Reasons why pairs cannot be tested that come from their components."""
    reason = np.zeros(len(codes[0]), np.int8)
    arrays = (*matched.a, *matched.b)
    broken = np.any([~np.isfinite(x).all(0) for x in arrays], axis=0)
    coarse = np.any([degenerate(x, matched.scenarios) for x in arrays], axis=0)
    resting = not_chosen(matched.components, arrays)
    every = (matched.missing, MISSING), (broken, NOT_FINITE), (resting, NOT_CHOSEN)
    for bad, code in (*every, (coarse, DEGENERATE)):
        if bad.any():
            flag(reason, _pairs_with(bad, codes), code)
    return reason


def _pairs_with(components: np.ndarray, codes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    if not components.any():
        return np.zeros(len(codes[0]), bool)
    return components[codes[0]] | components[codes[1]]


def groups(matched: Matched, *, rank: bool = False) -> tuple[Groups, np.ndarray]:
    """atanh of the within-scenario correlation per variant, and reasons (int8 [pairs]).

    Prompt variances, on the atanh scale, come from the influence of each prompt on it.
    """
    codes = triangle.pair_codes(len(matched.components))
    sides = [
        [standardise(x, matched.scenarios, rank=rank) for x in side]
        for side in (matched.a, matched.b)
    ]
    size, df = len(codes[0]), matched.n_effective
    numbers = [np.empty((len(side), size)) for side in sides]
    variances = np.empty((3, size))
    for part in chunks(size, 1 << 12):
        pairs = codes[0][part], codes[1][part]
        mean = [
            _atanh(side, *pairs, out[:, part]) for side, out in zip(sides, numbers, strict=True)
        ]
        for row, influence in enumerate((mean[1] - mean[0], *mean)):
            variances[row, part] = variance_of(influence, df)
    reason = pair_reasons(matched, codes)
    flag(reason, ~np.all(np.isfinite(np.vstack(numbers)), axis=0), NOT_FINITE)
    return Groups(*numbers, *variances), reason


def atanh_per_prompt(
    matched: Matched, edges: np.ndarray, *, rank: bool = False
) -> list[np.ndarray]:
    """atanh r plus each prompt's influence on it; float64 [variants × n × edges] a side."""
    codes = triangle.pair_codes(len(matched.components))
    pairs = codes[0][edges], codes[1][edges]
    sides = []
    for side in (matched.a, matched.b):
        values = np.empty((len(side), matched.n, len(edges)))
        for row, x in zip(values, side, strict=True):
            number = np.empty((1, len(edges)))
            scores = standardise(x, matched.scenarios, rank=rank)
            row[:] = _atanh([scores], *pairs, number)
            row += number
        sides.append(values)
    return sides


def _atanh(
    side: Sequence[Scores], first: np.ndarray, second: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Fill ``out`` with each variant's atanh r; return the mean influence [n × pairs]."""
    total = np.zeros((side[0].n, len(first)))
    for row, scores in enumerate(side):
        r = np.clip(
            np.einsum("ij,ij->j", scores.z[:, first], scores.z[:, second]) / scores.n, -1, 1
        )
        r[~(scores.alive[first] & scores.alive[second])] = np.nan
        # A correlation of 1 up to rounding has no finite place on the atanh scale.
        r[np.abs(r) > 1 - 1e-12] = np.nan
        out[row] = np.arctanh(r)
        total += atanh_influence(scores, r, first, second)
    return total / len(side)


def variance_of(influence: np.ndarray, df: int) -> np.ndarray:
    """Variance of a mean from the prompts' influences: mean(u²)/(n − S)."""
    if df <= 0:
        return np.full(influence.shape[1], np.nan)
    return np.mean(influence * influence, axis=0) / df
