"""Strength, betweenness, PageRank and communities of components.

References
----------
Barrat, Barthélemy, Pastor-Satorras, Vespignani (2004). The architecture of complex
weighted networks. PNAS 101. (Strength.)
Brandes (2001). A faster algorithm for betweenness centrality. J. Math. Sociology 25.
Brin, Page (1998). The anatomy of a large-scale hypertextual web search engine.
Traag, Waltman, van Eck (2019). From Louvain to Leiden: guaranteeing well-connected
communities. Scientific Reports 9.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import igraph as ig
import numpy as np
import pandas as pd

from circuitgraph.graph.signed import SignedGraph, Weights, WeightView


def strengths(graph: SignedGraph) -> pd.DataFrame:
    """Strength of every node as two numbers, and their sum.

    Returns
    -------
    DataFrame
        Indexed by node: ``positive`` (sum of the node's weights above 0), ``negative`` (size of
        the sum of those below 0), ``strength`` = both; for a directed graph also each of the
        three for one direction, ``out_`` and ``in_``.
    """
    out = _one_end(graph, graph.source)
    into = _one_end(graph, graph.target)
    columns = {name: out[name] + into[name] for name in out}
    if graph.directed:
        columns |= {f"out_{name}": values for name, values in out.items()}
        columns |= {f"in_{name}": values for name, values in into.items()}
    return pd.DataFrame(columns, index=pd.Index(graph.names, name="component", dtype=object))


def _one_end(graph: SignedGraph, end: np.ndarray) -> dict[str, np.ndarray]:
    n = len(graph.names)
    positive = np.bincount(end, np.maximum(graph.weight, 0), minlength=n)
    negative = np.bincount(end, np.maximum(-graph.weight, 0), minlength=n)
    return {"positive": positive, "negative": negative, "strength": positive + negative}


def betweenness(view: WeightView) -> np.ndarray:
    """Share of shortest paths of other nodes through each node, 0 to 1; distance 1 / weight."""
    n = len(view.names)
    if n < 3 or len(view.weight) == 0:
        return np.zeros(n)
    # Only ratios of distances count; the floor keeps 1 / weight finite.
    distances = (1 / np.maximum(view.weight / view.weight.max(), 1e-300)).tolist()
    counts = view.igraph().betweenness(directed=view.directed, weights=distances)
    pairs = (n - 1) * (n - 2) / (1 if view.directed else 2)
    return np.asarray(counts, dtype=float) / pairs


def pagerank(view: WeightView, damping: float = 0.85) -> np.ndarray:
    """PageRank by weight, float [nodes] of sum 1; equal in a graph without edges.

    On a directed graph the walk goes from sender to receiver: receivers of strong components
    rank high.
    """
    n = len(view.names)
    if len(view.weight) == 0:
        return np.full(n, 1 / max(n, 1))
    # Only ratios count; scaled so that sums neither overflow nor vanish.
    scaled = (view.weight / view.weight.max()).tolist()
    ranks = view.igraph().pagerank(directed=view.directed, damping=damping, weights=scaled)
    return np.asarray(ranks, dtype=float)


@dataclass(frozen=True)
class Communities:
    """A partition of the nodes by the Leiden algorithm, reproducible by seed.

    Attributes
    ----------
    membership : int [nodes]
        0 is the largest community, ties go to the one whose first member comes first.
    modularity : float
        At the resolution asked for; 0 without edges.
    weights, seed
        The weights used, and the seed that gives the same partition again.
    """

    membership: np.ndarray
    modularity: float
    weights: Weights
    seed: int


def leiden(view: WeightView, seed: int = 0, resolution: float = 1.0) -> Communities:
    """Communities by modularity; direction is ignored (both directions add up).

    There is no signed modularity here: strong negative and strong positive edges both bind
    components together in ``absolute()``. A ``resolution`` above 1 finds smaller communities.
    """
    n = len(view.names)
    if len(view.weight) == 0:
        return Communities(np.arange(n), 0.0, view.weights, seed)
    graph = view.igraph()
    graph.es["weight"] = (view.weight / view.weight.max()).tolist()
    graph = graph.as_undirected(mode="collapse", combine_edges="sum")
    with _seeded(seed):
        found = graph.community_leiden(
            objective_function="modularity",
            weights="weight",
            resolution=resolution,
            n_iterations=-1,
        )
    quality = graph.modularity(found.membership, weights="weight", resolution=resolution)
    return Communities(_by_size(found.membership), float(quality), view.weights, seed)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed igraph's one generator for a while, then restore its default, the ``random`` module."""
    ig.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        ig.set_random_number_generator(random)


def _by_size(membership: list[int]) -> np.ndarray:
    labels, first, place, sizes = np.unique(
        membership, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(labels), dtype=int)
    rank[np.lexsort((first, -sizes))] = np.arange(len(labels))
    return rank[place]
