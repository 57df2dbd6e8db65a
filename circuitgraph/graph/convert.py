"""Tables of edges as igraph and networkx graphs, with plain Python values as attributes.

Graph libraries and file formats know ``bool``, ``int``, ``float`` and ``str`` only, no numpy
scalars, pandas missing values or categories.

``source`` and ``target`` are the ends; all other columns of ``edges`` or ``diff`` become
attributes. ``weight`` (of a run) and ``delta`` (of a diff) are signed: pass them to algorithms
through :class:`circuitgraph.graph.signed.SignedGraph` only, because igraph's PageRank and
Leiden and networkx's Louvain accept negative weights silently and return nonsense.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.lenses.registry import undirected_lenses

if TYPE_CHECKING:  # each takes half a second to import
    import igraph as ig
    import networkx as nx

SHARED_INPUTS = ("", "all", "in")
"""Inputs of receivers that read all they read together."""
LIBRARIES = ("networkx", "igraph")

Scalar = bool | int | float | str | None


def plain_values(column: pd.Series) -> list[Scalar]:
    """Values of a column as ``bool``, ``int``, ``float``, ``str``; missing ones (NaN too) are None.

    Raises
    ------
    InputError
        A value is something else, such as a list.

    Examples
    --------
    >>> plain_values(pd.Series([1.5, float("nan")]))
    [1.5, None]
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = plain_values(column.cat.categories.to_series())
        return [None if code < 0 else texts[code] for code in column.cat.codes.tolist()]
    missing = column.isna().tolist()
    rows = zip(column.tolist(), missing, strict=True)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return [None if gone else value for value, gone in rows]
    name = column.name
    return [None if gone else _scalar(v, name, i) for i, (v, gone) in enumerate(rows)]


def _scalar(value: object, column: Hashable, row: int) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    raise InputError(
        f"column {column!r}, row {row + 1}: a {type(value).__name__} cannot be an attribute of "
        "a graph; give text, numbers or booleans"
    )


def endpoints(edges: pd.DataFrame) -> list[str]:
    """Every name that occurs as source or target, in order of first appearance."""
    both = pd.concat([edges["source"].astype(object), edges["target"].astype(object)])
    return [str(name) for name in pd.unique(both)]


def node_table(names: Iterable[str]) -> pd.DataFrame:
    """One row a component: ``name``, ``kind`` (``head``, ``mlp`` …), ``layer``, ``head``."""
    parts = [parse(name) for name in names]
    return pd.DataFrame(
        {
            # Plain objects: pandas' own strings cannot hold lone surrogates.
            "name": pd.Series([part.name for part in parts], dtype=object),
            "kind": pd.Series([part.kind for part in parts], dtype=object),
            "layer": pd.Series([part.layer for part in parts], dtype="Int64"),
            "head": pd.Series([part.head for part in parts], dtype="Int64"),
        }
    )


def graph_of(edges: pd.DataFrame, library: str, nodes: Iterable[str] | None = None) -> Any:
    """A table of edges as a graph of either library; ``UsageError`` for another."""
    if library not in LIBRARIES:
        raise UsageError(
            f"library: {quoted(library, 40)} is unknown; choose {' or '.join(LIBRARIES)}"
        )
    maker = to_networkx if library == "networkx" else to_igraph
    return maker(edges, nodes)


def is_directed(edges: pd.DataFrame) -> bool:
    """Whether a table of edges makes a directed graph: any effect does.

    In a graph of both kinds, correlations run from the earlier component to the later. Of a table
    without rows the categories of its column tell.
    """
    column = edges["lens" if "lens" in edges else "kind"]
    kinds = set(column.astype(object)) or set(getattr(column.dtype, "categories", ()))
    return not undirected_lenses().issuperset(kinds)


def edge_kinds(edges: pd.DataFrame) -> list[str]:
    """A name for every edge that distinguishes it from others between the same nodes.

    ``correlation``, ``effect`` or ``rewired``; with ``:q``, ``:k`` or ``:v`` for one input, and
    with the estimator or lens where edges would still share source, target and name (Gephi merges
    such edges, networkx overwrites).

    Raises
    ------
    InputError
        The table holds the same edge twice.
    """
    base = edges["kind"].astype(object) if "kind" in edges else ["rewired"] * len(edges)
    inputs = edges["input"].astype(object) if "input" in edges else [""] * len(edges)
    kinds = [k if i in SHARED_INPUTS else f"{k}:{i}" for k, i in zip(base, inputs, strict=True)]
    for column in ("estimator", "lens"):
        if column in edges and _repeated(edges, kinds) is not None:
            more = edges[column].astype(object)
            kinds = [f"{k}:{m}" if m else k for k, m in zip(kinds, more, strict=True)]
    row = _repeated(edges, kinds)
    if row is not None:
        source, target = edges["source"].iloc[row], edges["target"].iloc[row]
        raise InputError(
            f"the edge {source!r} → {target!r} ({kinds[row]}) is in the table twice; "
            "give the edges of one variant, or of one diff"
        )
    return kinds


def _repeated(edges: pd.DataFrame, kinds: list[str]) -> int | None:
    """The first row that repeats an earlier one, or None."""
    both = pd.concat([edges["source"].astype(object), edges["target"].astype(object)])
    ends = pd.factorize(both)[0].reshape(2, -1)
    if not is_directed(edges):
        ends = np.sort(ends, axis=0)
    keys = pd.DataFrame(
        {
            "source": ends[0],
            "target": ends[1],
            "kind": pd.factorize(pd.Series(kinds, dtype=object))[0],
        }
    )
    rows = np.flatnonzero(keys.duplicated().to_numpy())
    return int(rows[0]) if len(rows) else None


def node_index(edges: pd.DataFrame, nodes: Iterable[str] | None) -> dict[str, int]:
    """Index of every node: the names given, or else the ends of the edges.

    Raises
    ------
    InputError
        A name is given twice, or an edge ends at a name that is not given.
    """
    found = endpoints(edges)
    names = found if nodes is None else list(nodes)
    index = {name: i for i, name in enumerate(names)}
    if len(index) < len(names):
        raise InputError("the list of nodes names one of them twice; name each once")
    for name in found:
        if name not in index:
            raise InputError(f"an edge ends at {name!r}, which is not among the nodes given")
    return index


def to_igraph(edges: pd.DataFrame, nodes: Iterable[str] | None = None) -> ig.Graph:
    """An igraph graph of a table of edges.

    Vertices have ``name``, ``kind``, ``layer``, ``head``; edges every other column and
    ``relation`` (see :func:`edge_kinds`). Missing numbers are NaN in columns of floats and None
    elsewhere.

    Parameters
    ----------
    edges : DataFrame
        Columns of ``edges`` or of a diff (or a part of its rows).
    nodes : iterable of str, optional
        All components, so that those without edges are kept; default: the edges' ends.

    Raises
    ------
    InputError
        An edge twice, or an end that is not among the nodes.
    """
    import igraph as ig

    index = node_index(edges, nodes)
    table = node_table(index)
    ends = [[index[name] for name in edges[end]] for end in ("source", "target")]
    return ig.Graph(
        n=len(index),
        edges=list(zip(*ends, strict=True)),
        directed=is_directed(edges),
        vertex_attrs={column: plain_values(table[column]) for column in table},
        edge_attrs=_edge_columns(edges),
    )


def _edge_columns(edges: pd.DataFrame) -> dict[str, list]:
    columns: dict[str, list] = {"relation": edge_kinds(edges)}
    for name in edges.columns.drop(["source", "target"]):
        column = edges[name]
        numeric = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
        columns[name] = column.tolist() if numeric else plain_values(column)
    return columns


def to_networkx(
    edges: pd.DataFrame, nodes: Iterable[str] | None = None
) -> nx.MultiGraph | nx.MultiDiGraph:
    """A networkx graph of a table of edges, as :func:`to_igraph`.

    Edges have the key of :func:`edge_kinds` and every other column as an attribute. Missing
    values give no attribute: networkx' writers fail on None.
    """
    import networkx as nx

    graph: nx.MultiGraph = nx.MultiDiGraph() if is_directed(edges) else nx.MultiGraph()
    table = node_table(node_index(edges, nodes))
    for name, attributes in zip(table["name"], _records(table.drop(columns="name")), strict=True):
        graph.add_node(name, **attributes)
    rest = _records(edges.drop(columns=["source", "target"]))
    ends = zip(edges["source"], edges["target"], edge_kinds(edges), rest, strict=True)
    for source, target, kind, attributes in ends:
        graph.add_edge(source, target, kind)
        graph.edges[source, target, kind].update(attributes)
    return graph


def _records(table: pd.DataFrame) -> list[dict]:
    columns = [plain_values(table[name]) for name in table]
    rows = zip(*columns, strict=True) if columns else [()] * len(table)
    names = list(table.columns)
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in rows
    ]
