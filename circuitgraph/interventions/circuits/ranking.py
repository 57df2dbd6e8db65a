"""Faithfulness of circuits by size: f, CPR and CMD.

f(C) = (m(C) − m(∅)) / (m(N) − m(∅)), where m is the mean decision in a circuit C, in the
empty circuit ∅ and in the whole network N. CPR (circuit performance ratio) is the area
under f over the share of edges in C, CMD (circuit-model distance) that between f and 1.

References
----------
Mueller et al. (2025). MIB: a mechanistic interpretability benchmark. arXiv:2504.13151.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from circuitgraph.base.components import EMBED, LOGITS, Edge, parse

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of all edges at which MIB measures f."""


def edge_counts(shares: Sequence[float], edges: int) -> np.ndarray:
    """Number of edges of each share, rounded up, at least one; int [sizes]."""
    # 0.1 × 30 is 3.0000000000000004 and still means three edges
    return np.array([min(edges, max(1, math.ceil(s * edges - 1e-9))) for s in shares], dtype=int)


def top_edges(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Edges with the highest scores, ties in order, NaN last; bool [sizes × edges]."""
    order = np.argsort(np.where(np.isnan(scores), np.inf, -scores), kind="stable")
    rank = np.empty(len(scores), dtype=int)
    rank[order] = np.arange(len(scores))
    return rank[None, :] < np.asarray(counts)[:, None]


def random_circuits(edges: int, counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Random edge sets of the same sizes, bool [draws × sizes × edges].

    A draw ranks all edges at random, so its sets are nested and it has its own CPR and CMD.
    """
    rng = np.random.default_rng(seed)
    found = [top_edges(rng.random(edges), counts) for _ in range(draws)]
    return np.array(found, dtype=bool).reshape(draws, len(counts), edges)


def reached(edges: Sequence[Edge], circuits: np.ndarray, heads: int, kv_heads: int) -> np.ndarray:
    """Edges whose sender is reached from ``EMBED`` through the circuit; bool [C × edges].

    MIB leaves the other edges out: their senders do not depend on the prompt. With corrupt runs
    that changes nothing; with mean and zero ablation such a sender has its ablated contribution
    instead of what it would compute from ablated inputs.
    """
    live: dict[str, np.ndarray] = {EMBED: np.ones(len(circuits), dtype=bool)}
    none = np.zeros(len(circuits), dtype=bool)
    found = np.zeros_like(circuits)
    for i, edge in enumerate(edges):
        found[:, i] = circuits[:, i] & live.get(edge.source, none)
        for name in senders_after(edge.target, heads, kv_heads):
            live[name] = live.get(name, none) | found[:, i]
    return found


def connected(edges: Sequence[Edge], circuits: np.ndarray, heads: int, kv_heads: int) -> np.ndarray:
    """Edges on a path from ``EMBED`` to ``LOGITS`` through the circuit; bool [C × edges]."""
    found = reached(edges, circuits, heads, kv_heads)
    none = np.zeros(len(circuits), dtype=bool)
    useful: dict[str, np.ndarray] = {LOGITS: np.ones(len(circuits), dtype=bool)}
    for i in range(len(edges) - 1, -1, -1):
        edge = edges[i]
        through = senders_after(edge.target, heads, kv_heads)
        found[:, i] &= np.any([useful.get(name, none) for name in through], axis=0)
        useful[edge.source] = useful.get(edge.source, none) | found[:, i]
    return found


def senders_after(target: str, heads: int, kv_heads: int) -> list[str]:
    """Senders whose output depends on a receiver: itself, or for a KV group its query heads."""
    component = parse(target)
    if component.kind != "kv" or component.head is None:
        return [target]
    size = heads // kv_heads
    first = component.head * size
    return [f"L{component.layer}H{h}" for h in range(first, first + size)]


def recovered(
    decisions: np.ndarray, clean: np.ndarray, empty: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """f of every circuit, float64 [samples × …].

    Parameters
    ----------
    decisions : float [… × n]
    clean, empty : float [n]
        Decisions in the whole network, and in the empty circuit.
    weights : float [samples × n]
        Weights of prompts, times the sign of alignment.
    """
    gained = (np.asarray(decisions, np.float64) - empty) @ weights.T
    whole = (np.asarray(clean, np.float64) - empty) @ weights.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.moveaxis(gained / whole, -1, 0) + 0.0  # no −0


def areas(shares: Sequence[float], f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CPR and CMD: areas under f and under |1 − f|, by trapezoids between the sizes.

    As in MIB's code: over the nominal shares on a linear axis, from the smallest share on, not
    divided by the width. A circuit as good as the network at every size has CPR 0.999 and CMD 0.
    f, and so CPR, may exceed 1 where edges against the answer are left out.

    Parameters
    ----------
    shares : float [sizes]
        Ascending.
    f : float [… × sizes]

    Returns
    -------
    float64 [… × sizes] each
        Areas up to each size, NaN for the first; the last are CPR and CMD.
    """
    return _up_to_each(shares, f), _up_to_each(shares, np.abs(1 - f))


def _up_to_each(shares: Sequence[float], y: np.ndarray) -> np.ndarray:
    parts = np.diff(shares) * (y[..., 1:] + y[..., :-1]) / 2
    return np.concatenate([np.full_like(y[..., :1], np.nan), parts.cumsum(-1)], axis=-1)
