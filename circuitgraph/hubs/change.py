"""Hubs of change: components with more changed edges than their number and size explain.

The difference degree test: changed edges are counted at each node and compared with null
networks matched to the observed differences. Higgins et al. draw null networks as products
L Lᵀ with the mean and variance of the observed ones; an element then is a part of either node
and a part of its own, and with many factors all are normal. That form is used here, for the
logarithm of the change relative to that of edges of the same size, and a third moment is
matched: the variance between nodes. Fine-tuning changes some components more than others, and
without it nearly every fine-tune would have hubs of change.

References
----------
Higgins, Kundu, Choi, Mayberg, Guo (2019). A difference degree test for comparing brain
networks. Human Brain Mapping 40. Hirschberger, Qi, Steuer (2007). Randomly generating
portfolio-selection covariance matrices. EJOR 177.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betaln, gammaln, logsumexp

from circuitgraph.base.components import in_order
from circuitgraph.base.errors import UsageError
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.record import CLAIMS, Diff
from circuitgraph.diff.stability import resampled_claims
from circuitgraph.graph.convert import node_table
from circuitgraph.graph.resample import rank_intervals
from circuitgraph.lenses.base import Options
from circuitgraph.stats.margins import adjusted

DRAWS = 2_000
WORK = 40_000_000
"""Null networks, fewer where draws × edges would exceed this (200 at least)."""

FEWEST = 3
"""Edges that must differ at a hub of change, as in the paper."""

DIRECTIONS = ("both", "out", "in")
MIN_EDGES = 8
"""Changed edges from which sizes and spreads are learnt; with fewer all edges are alike."""

FLOOR = 1e-6
"""Share of the largest change below which an edge counts as not moved at all."""

IQR = 1.349
MAD = 1.4826


@dataclass(frozen=True)
class Network:
    """The edges of a diff that can be tested, as a network of differences.

    Attributes
    ----------
    ends : int [2 × e]
        Source and target of every edge.
    differs : bool [e]
        The claims.
    excess : float64 [e]
        ln of the change over the usual change of edges of that size; NaN where nothing changed.
    needed : float64 [e]
        The excess from which an edge would be claimed, up to a constant.
    size : float64 [e]
        |change|.
    """

    names: tuple[str, ...]
    ends: np.ndarray
    differs: np.ndarray
    excess: np.ndarray
    needed: np.ndarray
    size: np.ndarray


def hubs_of_change(
    diff: Diff, *, direction: str = "both", seed: int = 0, samples: int = 200
) -> pd.DataFrame:
    """Components with more changed edges than chance explains; see :func:`difference_degrees`.

    Rank intervals come from refits of the diff on resampled prompts; for a lens without refits
    they span all ranks. With insufficient evidence every verdict is ``not_testable``.

    Parameters
    ----------
    direction : {"both", "out", "in"}
        Edges to count; correlations have no direction.
    samples : int
        Resamples of the prompts.

    Raises
    ------
    UsageError
        A direction that does not exist, or one of correlations.
    """
    if direction not in DIRECTIONS:
        raise UsageError(f"direction: {direction!r} is unknown; choose {', '.join(DIRECTIONS)}")
    if not diff.asks.directed and direction != "both":
        raise UsageError(f"direction: {diff.lens}s have none; leave {direction!r} out")
    resampled = None if diff.insufficient else _resampled(diff, samples, seed)
    table = difference_degrees(
        diff.table, margin=diff.margin, alpha=diff.alpha, direction=direction,
        resampled=resampled, seed=seed,
    )  # fmt: skip
    if diff.insufficient:
        table = table.assign(p=np.nan, q=np.nan, verdict="not_testable")
    table.attrs = facts_of(diff, seed)
    return table


def facts_of(diff: Diff, seed: int) -> dict[Hashable, object]:
    """Counts, seed, margin and name of the diff: the ``attrs`` of a table of hubs."""
    counts: dict[Hashable, object] = {k: diff.summary[k] for k in ("n", "n_effective", "evidence")}
    return {**counts, "seed": seed, "margin": diff.margin, "diff": diff.name}


def _resampled(diff: Diff, samples: int, seed: int) -> np.ndarray | None:
    """Claims of every edge in resamples of the prompts, bool [samples × rows]."""
    if diff.asks.needs_models:
        return None
    options = Options(diff.asks, diff.scope, diff.alpha, diff.margin, diff.fdr)
    edges, claims = resampled_claims(
        compare_sides(*as_compared(diff), options), options, samples, seed
    )
    found = np.zeros((samples, len(diff.table)), bool)
    found[:, edges] = claims
    return found


def difference_degrees(
    table: pd.DataFrame,
    *,
    margin: float = 0.0,
    alpha: float = 0.05,
    direction: str = "both",
    resampled: np.ndarray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The difference degree test of every component of a diff's table.

    Parameters
    ----------
    table : DataFrame
        Rows of a diff: ``source, target, weight_a, weight_b, delta, low, high, verdict``.
    margin : float
        The diff's margin, in units of ``delta``.
    alpha : float
        False discovery rate over components.
    resampled : bool [samples × rows], optional
        Claims in resamples of the prompts.

    Returns
    -------
    DataFrame
        One row a component, by p: ``component, kind, layer, head``; ``edges`` (that can be
        tested), ``degree`` (of these, claimed as changed), ``weighted`` (sum of their |delta|),
        ``expected`` (mean degree in null networks with as many changed edges), ``p`` (of a
        degree as high there), ``q``, ``rank`` by degree with its 95% interval ``rank_low``,
        ``rank_high``, and ``verdict``: ``hub_of_change``, ``not_detected``, ``not_testable``.
    """
    names = tuple(in_order({*table["source"].astype(str), *table["target"].astype(str)}))
    rows = np.flatnonzero((table["verdict"] != "not_testable").to_numpy())
    network = network_of(table.iloc[rows], names, margin)
    at = incidence(network, direction)
    degree, edges = at @ network.differs, at.sum(1)
    expected, p = np.zeros(len(names)), np.where(edges > 0, 1.0, np.nan)
    if network.differs.any():
        nulls = null_degrees(network, at, seed)
        expected, p = nulls.mean(0), tail(nulls, degree, edges)
    q = adjusted(p)
    repeats = np.empty((0, len(names)))
    if resampled is not None:
        repeats = resampled[:, rows] @ at.T
    rank, low, high = rank_intervals(degree.astype(float), repeats)
    found = (q <= alpha) & (degree >= FEWEST)
    columns = {
        "edges": edges.astype(int),
        "degree": degree.astype(int),
        "weighted": at @ np.where(network.differs, network.size, 0.0),
        "expected": expected,
        "p": p,
        "q": q,
        "rank": rank,
        "rank_low": low,
        "rank_high": high,
        "verdict": np.select(
            [edges == 0, found], ["not_testable", "hub_of_change"], "not_detected"
        ),
    }
    result = node_table(names).rename(columns={"name": "component"}).assign(**columns)
    order = np.lexsort((-result["weighted"], result["rank"], result["p"].fillna(2)))
    return result.iloc[order].reset_index(drop=True)


def network_of(table: pd.DataFrame, names: tuple[str, ...], margin: float) -> Network:
    """Changes relative to the usual change of edges of that size.

    The usual ln |delta| is a quadratic in ln of the edge's size, the root mean square of
    both weights; fitted by least squares over the edges.
    """
    place = {name: i for i, name in enumerate(names)}
    ends = np.array(
        [[place[str(name)] for name in table[end]] for end in ("source", "target")], dtype=int
    ).reshape(2, -1)
    change = np.abs(table["delta"].to_numpy(float))
    weight = np.sqrt((table["weight_a"] ** 2 + table["weight_b"] ** 2) / 2).to_numpy(float)
    half = ((table["high"] - table["low"]) / 2).to_numpy(float)
    reach = margin + np.where(np.isfinite(half), half, 0.0)
    moved = change > FLOOR * change.max(initial=0.0)
    usual = _trend(_log(weight), _log(change), moved)
    needed = _log(reach) if (reach > 0).any() else np.zeros(len(change))
    return Network(
        names,
        ends,
        table["verdict"].isin(CLAIMS).to_numpy(),
        np.where(moved, _log(change) - usual, np.nan),
        needed - usual,
        change,
    )


def _log(values: np.ndarray) -> np.ndarray:
    """ln, with a floor for values at or near 0."""
    floor = FLOOR * np.max(values, initial=0.0)
    return np.log(np.maximum(values, floor if floor > 0 else 1.0))


def _trend(x: np.ndarray, y: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Quadratic fit of y in x over some edges; a constant where these are few."""
    if not fitted.any():
        return np.zeros(len(x))
    known = x[fitted]
    x = np.clip(x, known.min(), known.max())  # no extrapolation
    degree = 2 if np.ptp(known) > 0 and len(known) > MIN_EDGES else 0
    design = np.vander((x - known.mean()) / (known.std() or 1.0), degree + 1)
    return design @ np.linalg.lstsq(design[fitted], y[fitted], rcond=None)[0]


def incidence(network: Network, direction: str) -> np.ndarray:
    """1 where an edge counts at a component, float32 [c × e]."""
    nodes = np.arange(len(network.names))[:, None]
    out, into = network.ends[0] == nodes, network.ends[1] == nodes
    return {"both": out | into, "out": out, "in": into}[direction].astype(np.float32)


def null_degrees(network: Network, at: np.ndarray, seed: int) -> np.ndarray:
    """Degrees in null networks with, on average, as many changed edges; int [draws × c]."""
    total, nodes = len(network.excess), len(network.names)
    own, between = spreads(network)
    rng = np.random.default_rng(seed)
    draws = int(np.clip(WORK // total, 200, DRAWS))
    node = between * rng.normal(size=(draws, nodes))
    beyond = own * rng.normal(size=(draws, total))
    beyond += node[:, network.ends[0]] + node[:, network.ends[1]] - network.needed
    threshold = np.quantile(beyond, 1 - network.differs.mean())
    return (beyond > threshold) @ at.T


def spreads(network: Network) -> tuple[float, float]:
    """Standard deviation of an edge's own part, and of the part of a node.

    Robust (median and quartiles), so that a few hubs do not widen the null.
    """
    moved = np.isfinite(network.excess)
    if moved.sum() <= MIN_EDGES:
        return 1.0, 0.0
    (source, target), y = network.ends[:, moved], network.excess[moved]
    effect, count = node_effects(source, target, y - np.median(y), len(network.names))
    left = y - effect[source] - effect[target]
    own = float(np.subtract(*np.quantile(left, [0.75, 0.25])) / IQR)
    used = effect[count > 0]
    spread = (MAD * np.median(np.abs(used - np.median(used)))) ** 2
    noise = float(np.mean(own**2 / count[count > 0]))
    return own or 1.0, float(np.sqrt(max(spread - noise, 0.0)))


def node_effects(
    source: np.ndarray, target: np.ndarray, y: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares parts of the nodes in y = part of source + part of target; and degrees."""
    count = np.bincount(source, minlength=nodes) + np.bincount(target, minlength=nodes)
    both = np.zeros((nodes, nodes))
    np.add.at(both, (source, target), 1.0)
    sums = np.bincount(source, y, nodes) + np.bincount(target, y, nodes)
    return np.linalg.solve(both + both.T + np.diag(count + 1e-6), sums), count


def tail(nulls: np.ndarray, degree: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """P(null degree ≥ degree) of every node, float64 [c]; NaN for a node without edges.

    The share of null networks; where fewer than ten reach the degree, the tail of the
    beta-binomial distribution with their mean and variance (binomial as in the paper
    where edges of a node are independent), but no less than that share.
    """
    p = np.full(len(degree), np.nan)
    for node in np.flatnonzero(edges > 0):
        reach = int((nulls[:, node] >= degree[node]).sum())
        p[node] = (reach + 1) / (len(nulls) + 1)
        if reach < 10:
            mean, variance = nulls[:, node].mean(), nulls[:, node].var()
            fitted = beta_binomial_tail(int(degree[node]), int(edges[node]), mean, variance)
            p[node] = min(p[node], max(fitted, reach / len(nulls)))
    return p


def beta_binomial_tail(least: int, n: int, mean: float, variance: float) -> float:
    """P(X ≥ least) of the beta-binomial on 0 … n with this mean and variance."""
    if least <= 0:
        return 1.0
    share = min(max(mean / n, 1e-9), 1 - 1e-9)
    plain = n * share * (1 - share)
    together = min(max((variance / plain - 1) / max(n - 1, 1), 1e-6), 0.999)
    total = 1 / together - 1
    a, b = share * total, (1 - share) * total
    k = np.arange(least, n + 1)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return float(min(1.0, np.exp(logsumexp(choose + betaln(k + a, n - k + b) - betaln(a, b)))))
