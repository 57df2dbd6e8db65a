"""Communities of components by the Leiden algorithm, reproducible by seed.

References
----------
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

from circuitgraph.graph.signed import Weights, WeightView


@dataclass(frozen=True)
class Communities:
    """A partition of the nodes.

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
