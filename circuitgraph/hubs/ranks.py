"""Hubs: the strongest components of a variant with rank intervals, and changes of rank.

A hub's rank is an estimate: with ten prompts the 95% interval of the top rank spans half the
components. So ranks come with intervals, and a change of hubs is claimed only where the
intervals of two variants do not overlap. Any update changes every effect a little and
neighbours trade ranks, so the component's share of all strength must have changed beyond a
margin too.

References
----------
Rubinov, Sporns (2011). Weight-conserving characterization of complex functional brain
networks. NeuroImage 56. (Strength as two numbers.)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.special import ndtri

from circuitgraph.base.components import in_order
from circuitgraph.graph.centrality import betweenness, leiden, pagerank, strengths
from circuitgraph.graph.convert import node_table
from circuitgraph.graph.resample import (
    LEVEL,
    correlation_strengths,
    effect_strengths,
    rank_intervals,
    weighted_sums,
)
from circuitgraph.graph.signed import SignedGraph, Weights
from circuitgraph.lenses.edge_tests import DEGENERATE, INSUFFICIENT, MISSING, REASONS
from circuitgraph.lenses.match import Matched, match_runs
from circuitgraph.runs.record import Run
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import standardise
from circuitgraph.stats.draws import pooled_weights
from circuitgraph.stats.evidence import degenerate, distinct_rows, evidence
from circuitgraph.stats.scenarios import balanced_weights

BETWEENNESS_LIMIT = 200_000_000
"""Nodes × edges above which betweenness would take minutes and is left out (NaN)."""


MARGINS = MappingProxyType({"correlation": 0.0, "effect": 0.01})
"""Changes of a share of all strength that are too small to matter."""


@dataclass(frozen=True)
class _Side:
    """One variant: its graph, its strengths in resamples, and reasons of nodes."""

    graph: SignedGraph
    resampled: np.ndarray
    reason: np.ndarray


def hubs(
    run: Run, *, seed: int = 0, samples: int = 200, weights: Weights = "absolute"
) -> pd.DataFrame:
    """Strengths, ranks with intervals, centralities and communities of one variant.

    Parameters
    ----------
    samples : int
        Resamples of the prompts (within scenarios) behind each rank interval.
    weights : {"absolute", "positive", "negative"}
        Weights of betweenness, PageRank and communities.

    Returns
    -------
    DataFrame
        One row a component, strongest first: ``component, kind, layer, head``; ``positive`` and
        ``negative`` (sizes of the sums of its weights above and below 0) and their sum
        ``strength``, in units of correlation or of the decision; ``rank`` by strength with its
        95% interval ``rank_low``, ``rank_high``; ``betweenness`` (distance 1/weight),
        ``pagerank``, ``community`` (0 the largest), ``weights``; for effects also the three
        strengths with ``out_`` and ``in_``. ``attrs``: ``n``, ``n_effective``, ``evidence``,
        ``estimator`` ("" of correlations), ``seed``.

    Notes
    -----
    Strengths are biased upwards by noise (a correlation of 0 never measures 0), so ranks of
    different prompt sets compare and strengths do not.
    """
    run = _without_duplicates(run)
    matched = match_runs([run], [run], run.kind)
    side = _sides(matched, [matched.a[0]], samples, seed)[0]
    table = node_table(side.graph.names).rename(columns={"name": "component"})
    strong = strengths(side.graph).reset_index(drop=True)
    rank, low, high = rank_intervals(strong["strength"].to_numpy(), side.resampled)
    both = ["positive", "negative", "strength"]
    table = pd.concat([table, strong[both]], axis=1)
    table = table.assign(rank=rank, rank_low=low, rank_high=high)
    table = table.assign(**_centralities(side.graph, weights, seed), weights=weights)
    table = pd.concat([table, strong.drop(columns=both)], axis=1)
    table = table.sort_values("rank", kind="stable").reset_index(drop=True)
    table.attrs = {**_attributes(matched), "seed": seed}
    return table


def _without_duplicates(run: Run) -> Run:
    """Tables keep repeated rows; of one run's rows the first one counts."""
    if run.kind != "correlation" or run.method.granularity != "table":
        return run
    keep = np.unique(distinct_rows(run.activity))
    prompts = tuple(run.prompts[i] for i in keep)
    return replace(run, prompts=prompts, _arrays={"activity": run.activity[keep]})


def _centralities(graph: SignedGraph, weights: Weights, seed: int) -> dict[str, np.ndarray]:
    view = getattr(graph, weights)()
    cheap = len(view.names) * len(view.weight) <= BETWEENNESS_LIMIT
    return {
        "betweenness": betweenness(view) if cheap else np.full(len(view.names), np.nan),
        "pagerank": pagerank(view),
        "community": leiden(view, seed).membership,
    }


def hubs_compare(
    run_a: Run, run_b: Run, *, seed: int = 0, samples: int = 200, margin: float | None = None
) -> pd.DataFrame:
    """Ranks of every component in two variants, and which changed.

    Parameters
    ----------
    run_a, run_b : Run
        Of one method on the same prompts; both use the same resamples.
    margin : float, optional
        Change of a component's share of all strength that is too small to matter; default 0.01
        for effects, as for edges, and 0 for correlations.

    Returns
    -------
    DataFrame
        One row a component, claimed and largest changes first: ``component, kind, layer, head``;
        ``positive``, ``negative``, ``strength``, ``rank``, ``rank_low``, ``rank_high`` of each
        side with ``_a`` and ``_b``; ``share_a``, ``share_b`` (of the sum of all strengths),
        their difference ``delta`` and its 95% interval ``low``, ``high``; ``changed`` (the 95%
        rank intervals do not overlap and the interval of ``delta`` lies beyond the margin);
        ``reason`` why a component cannot be tested; ``evidence``. ``attrs``: ``n``,
        ``n_effective``, ``evidence``, ``estimator``, ``margin``, ``seed``. Insufficient evidence
        gives no claim, which means "cannot tell", not "unchanged".

    Raises
    ------
    UsageError
        A method key or the prompts differ; the message names which.
    """
    matched = match_runs([run_a], [run_b], run_a.kind)
    sides = _sides(matched, [matched.a[0], matched.b[0]], samples, seed)
    table = node_table(sides[0].graph.names).rename(columns={"name": "component"})
    for letter, side in zip("ab", sides, strict=True):
        strong = strengths(side.graph)[["positive", "negative", "strength"]].reset_index(drop=True)
        ranks = rank_intervals(strong["strength"].to_numpy(), side.resampled)
        strong = strong.assign(**dict(zip(("rank", "rank_low", "rank_high"), ranks, strict=True)))
        table = pd.concat([table, strong.add_suffix(f"_{letter}")], axis=1)
    table = table.assign(**_change_of_share(table, sides))
    attributes = _attributes(matched)
    reason = np.where(sides[0].reason == "", sides[1].reason, sides[0].reason)
    if attributes["evidence"] == "insufficient":
        reason = np.full(len(table), REASONS[INSUFFICIENT], dtype=object)
    margin = MARGINS[run_a.kind] if margin is None else margin
    changed = _apart(table) & _beyond(table, margin) & (reason == "")
    table = table.assign(changed=changed, reason=reason, evidence=attributes["evidence"])
    table = _most_moved_first(table)
    table.attrs = {**attributes, "seed": seed, "margin": margin}
    return table


def _change_of_share(table: pd.DataFrame, sides: list[_Side]) -> dict[str, np.ndarray]:
    """Shares of all strength, their difference and its 95% interval, prompts paired."""
    a, b = (_shares(table[f"strength_{letter}"].to_numpy()[None, :])[0] for letter in "ab")
    spread = (_shares(sides[1].resampled) - _shares(sides[0].resampled)).std(0)
    half = ndtri((1 + LEVEL) / 2) * spread
    return {"share_a": a, "share_b": b, "delta": b - a, "low": b - a - half, "high": b - a + half}


def _shares(strengths: np.ndarray) -> np.ndarray:
    totals = strengths.sum(1, keepdims=True)
    return strengths / np.where(totals > 0, totals, 1.0)


def _apart(table: pd.DataFrame) -> pd.Series:
    """Rank intervals that do not overlap."""
    return (table["rank_high_a"] < table["rank_low_b"]) | (
        table["rank_high_b"] < table["rank_low_a"]
    )


def _beyond(table: pd.DataFrame, margin: float) -> pd.Series:
    """Changes of share whose interval lies outside ± margin."""
    return (table["low"] > margin) | (table["high"] < -margin)


def _most_moved_first(table: pd.DataFrame) -> pd.DataFrame:
    moved = (table["rank_a"] - table["rank_b"]).abs()
    best = table[["rank_a", "rank_b"]].min(axis=1)
    order = np.lexsort((best, -moved, ~table["changed"]))
    return table.iloc[order].reset_index(drop=True)


def _attributes(matched: Matched) -> dict[Hashable, int | str]:
    kind, method = matched.runs[0].kind, matched.runs[0].method
    return {
        "estimator": method.estimator,
        "n": matched.n,
        "n_effective": matched.n_effective,
        "evidence": evidence(kind, matched.n_effective),
    }


def _sides(matched: Matched, arrays: Sequence[np.ndarray], samples: int, seed: int) -> list[_Side]:
    measure = _correlations if matched.runs[0].kind == "correlation" else _effects
    return [measure(matched, array, samples, seed) for array in arrays]


def _correlations(matched: Matched, activity: np.ndarray, samples: int, seed: int) -> _Side:
    scores = standardise(activity, matched.scenarios)
    first, second = triangle.pair_codes(len(matched.components))
    r = triangle.upper(np.clip(scores.z.T @ scores.z / max(scores.n, 1), -1, 1))
    reason = np.full(len(matched.components), "", dtype=object)
    reason[degenerate(activity, matched.scenarios)] = REASONS[DEGENERATE]
    reason[matched.missing] = REASONS[MISSING]
    resampled = correlation_strengths(scores.z, scores.df, samples, seed)
    graph = SignedGraph(matched.components, first, second, r, directed=False)
    return _Side(graph, resampled, reason)


def _effects(matched: Matched, effects: np.ndarray, samples: int, seed: int) -> _Side:
    names = in_order({name for edge in matched.edges for name in edge[:2]})
    place = {name: i for i, name in enumerate(names)}
    ends = np.array([[place[edge[i]] for edge in matched.edges] for i in (0, 1)], dtype=int)
    seen = matched.observations
    signs = seen.signs[seen.first]
    weight = weighted_sums(effects, (balanced_weights(matched.scenarios) * signs)[None])[0]
    draws = pooled_weights(matched.scenarios, samples, seed) * signs
    resampled = effect_strengths(effects, draws, ends, len(names))
    graph = SignedGraph(tuple(names), ends[0], ends[1], weight, directed=True)
    return _Side(graph, resampled, np.full(len(names), "", dtype=object))
