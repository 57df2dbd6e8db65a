"""Fewer edges of a graph: one kind, the strongest, those of some size."""

from __future__ import annotations

from dataclasses import replace

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.export.model import ExportGraph


def strongest(
    graph: ExportGraph, *, kind: str | None = None, top: int | None = None, least: float = 0.0
) -> ExportGraph:
    """The graph with some of its edges; all components stay.

    Parameters
    ----------
    graph : ExportGraph
    kind : str, optional
        Kind of edges of a variant: ``correlation`` or ``effect``.
    top : int, optional
        So many of the largest size.
    least : float
        Smallest size, in the unit of the edges.

    Raises
    ------
    UsageError
        The graph has no edges of that kind.
    """
    edges = graph.edges
    if kind is not None:
        if "kind" not in edges or kind not in set(edges["kind"]):
            raise UsageError(f"``kind``: {quoted(graph.name, 80)} has no edges of kind {kind}")
        edges = edges[edges["kind"] == kind]
    edges = edges[edges["weight"] >= least]
    if top is not None:
        order = edges["weight"].sort_values(ascending=False, kind="stable").index[:top]
        edges = edges.loc[sorted(order)]
    return replace(graph, edges=edges.reset_index(drop=True))
