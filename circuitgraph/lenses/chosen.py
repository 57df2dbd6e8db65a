"""Experts that no router chose: nothing is measured of them, which is no finding about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitgraph.base.components import Edge, parse


def not_chosen(names: Sequence[str], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Which columns are experts that hold exactly 0 for every prompt in every variant.

    Parameters
    ----------
    names
        Components, one a column [c].
    arrays
        Of every variant [n × c].

    Returns
    -------
    ndarray
        bool [c].
    """
    found = np.array([parse(name).kind == "expert" for name in names], bool)
    if found.any():
        found[found] = _silent([array[:, found] for array in arrays])
    return found


def not_chosen_edges(edges: Sequence[Edge], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Which edges begin or end at an expert all of whose edges are exactly 0; see ``not_chosen``.

    An expert that is chosen somewhere reads or says something there.
    """
    experts = {name for name in _ends(edges) if parse(name).kind == "expert"}
    if not experts:
        return np.zeros(len(edges), bool)
    loud = np.flatnonzero(~_silent(arrays)).tolist()
    experts -= _ends([edges[i] for i in loud])
    return np.array([edge.source in experts or edge.target in experts for edge in edges], bool)


def _ends(edges: Sequence[Edge]) -> set[str]:
    return {edge.source for edge in edges} | {edge.target for edge in edges}


def _silent(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.all([~array.any(0) for array in arrays], axis=0)
