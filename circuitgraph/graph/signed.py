"""Views of signed graphs for algorithms that need non-negative weights.

igraph's PageRank and Leiden and networkx's Louvain accept negative weights silently and return
meaningless numbers. So every algorithm of this package takes a :class:`WeightView`, which
cannot be built with a negative or missing weight.

References
----------
Rubinov, Sporns (2011). Weight-conserving characterization of complex functional brain
networks. NeuroImage 56. (Positive and negative weights kept apart.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import igraph as ig
import numpy as np
import pandas as pd

from circuitgraph.base.errors import InputError
from circuitgraph.graph.convert import is_directed, node_index

Weights = Literal["positive", "negative", "absolute"]


def require_non_negative(weights: np.ndarray) -> None:
    """Raise ``InputError`` for a negative, NaN or infinite weight."""
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise InputError(
            f"weight {weights[bad[0]]!r} of edge {bad[0] + 1}: this algorithm needs weights of "
            "0 or more; choose positive(), negative() or absolute()"
        )


@dataclass(frozen=True)
class WeightView:
    """A graph with weights above 0; ``InputError`` for a negative, NaN or infinite one.

    Attributes
    ----------
    source, target : int [edges]
        Indices in ``names`` of each edge's ends.
    weight : float [edges]
        Parallel edges (the q, k and v inputs of one head) are added up.
    weights : {"positive", "negative", "absolute"}
        Which weights these are.
    """

    names: tuple[str, ...]
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    directed: bool
    weights: Weights

    def __post_init__(self) -> None:
        require_non_negative(self.weight)

    def igraph(self) -> ig.Graph:
        """The graph without weights, which are passed explicitly."""
        ends = np.column_stack([self.source, self.target])
        return ig.Graph(n=len(self.names), edges=ends, directed=self.directed)


@dataclass(frozen=True)
class SignedGraph:
    """A graph with signed, finite weights, for one of three views.

    Attributes are as of :class:`WeightView`; effects are directed, correlations are not.

    Examples
    --------
    >>> edges = pd.DataFrame({"source": ["a"], "target": ["b"], "kind": ["effect"],
    ...                       "weight": [-2.0]})
    >>> SignedGraph.from_edges(edges).absolute().weight
    array([2.])
    """

    names: tuple[str, ...]
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    directed: bool

    @classmethod
    def from_edges(
        cls, edges: pd.DataFrame, nodes: Iterable[str] | None = None, weight: str = "weight"
    ) -> SignedGraph:
        """Read a table of edges; ``weight`` is a column such as ``weight``, or ``delta`` of a diff.

        Raises
        ------
        InputError
            A weight is missing or infinite; the message names the edge.
        """
        index = node_index(edges, nodes)
        values = edges[weight].to_numpy(dtype=float)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            source, target = edges["source"].iloc[bad[0]], edges["target"].iloc[bad[0]]
            raise InputError(
                f"the {weight} of {source!r} → {target!r} is {values[bad[0]]}; "
                "leave out the edges that have none"
            )
        source, target = (
            np.array([index[name] for name in edges[end]], dtype=np.int64)
            for end in ("source", "target")
        )
        return cls(tuple(index), source, target, values, is_directed(edges))

    def positive(self) -> WeightView:
        """The edges above 0."""
        return self._view(np.maximum(self.weight, 0), "positive")

    def negative(self) -> WeightView:
        """The edges below 0, by their size."""
        return self._view(np.maximum(-self.weight, 0), "negative")

    def absolute(self) -> WeightView:
        """All edges, by their size."""
        return self._view(np.abs(self.weight), "absolute")

    def _view(self, weight: np.ndarray, weights: Weights) -> WeightView:
        """Add up parallel edges and leave out those of weight 0."""
        source, target = self.source, self.target
        if not self.directed:
            source, target = np.minimum(source, target), np.maximum(source, target)
        n = len(self.names)
        keys, place = np.unique(source * n + target, return_inverse=True)
        summed = np.bincount(place, weight, minlength=len(keys))
        keys, summed = keys[summed > 0], summed[summed > 0]
        return WeightView(
            self.names, keys // max(n, 1), keys % max(n, 1), summed, self.directed, weights
        )
