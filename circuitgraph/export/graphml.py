"""GraphML, which networkx, igraph, yEd and Cytoscape read.

GraphML has no kinds of edges: Gephi merges parallel edges of a GraphML file, and
should be given GEXF.

References
----------
Brandes, Eiglsperger, Herman, Himsolt, Marshall (2002). GraphML progress report.
http://graphml.graphdrawing.org
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from circuitgraph.export.files import write_lines
from circuitgraph.export.model import ExportGraph
from circuitgraph.export.text import (
    NOT_XML,
    Column,
    distinct,
    in_attribute,
    in_element,
    spelled,
    typed_columns,
)
from circuitgraph.graph.convert import Scalar

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
RESERVED = ("id", "source", "target")


def write_graphml(graph: ExportGraph, path: Path) -> Path:
    """Write one GraphML file, as ``write_lines`` does; returns ``path``.

    ``x``, ``y`` and ``label`` are plain attributes of the nodes, ``weight`` one of the edges.
    """
    return write_lines(path, _lines(graph))


def _lines(graph: ExportGraph) -> Iterator[str]:
    ids = distinct(graph.nodes["name"].tolist(), NOT_XML)
    labels = pd.Series([ids[name] for name in graph.nodes["name"]], dtype=object)
    described = graph.nodes.assign(name=labels).rename(columns={"name": "label"})
    nodes = typed_columns(described, RESERVED)
    edges = _readable(typed_columns(graph.edges.drop(columns=["source", "target"]), RESERVED))
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<graphml xmlns="{NAMESPACE}">\n'
    yield f"<desc>{in_element(graph.description)}</desc>\n"
    for owner, columns in (("node", nodes), ("edge", edges)):
        for i, column in enumerate(columns):
            yield f'<key id="{owner[0]}{i}" for="{owner}" '
            yield f'attr.name="{in_attribute(column.title)}" attr.type="{column.type}"/>\n'
    yield f'<graph id="G" edgedefault="{"directed" if graph.directed else "undirected"}">\n'
    yield from _nodes(graph.nodes, ids, nodes)
    yield from _edges(graph.edges, ids, edges)
    yield "</graph>\n</graphml>\n"


def _nodes(table: pd.DataFrame, ids: dict[str, str], columns: list[Column]) -> Iterator[str]:
    for name, values in zip(table["name"].tolist(), spelled(columns, in_element), strict=False):
        yield f'<node id="{in_attribute(ids[name])}">{_values("n", values)}</node>\n'


def _edges(table: pd.DataFrame, ids: dict[str, str], columns: list[Column]) -> Iterator[str]:
    texts = {name: in_attribute(text) for name, text in ids.items()}
    ends = (table["source"].tolist(), table["target"].tolist())
    rows = zip(*ends, spelled(columns, in_element), strict=False)
    for row, (source, target, values) in enumerate(rows):
        yield f'<edge id="e{row}" source="{texts[source]}" target="{texts[target]}">'
        yield f"{_values('e', values)}</edge>\n"


def _values(letter: str, values: Sequence[str | None]) -> str:
    return "".join(
        f'<data key="{letter}{i}">{value}</data>'
        for i, value in enumerate(values)
        if value is not None
    )


def _readable(columns: list[Column]) -> list[Column]:
    """Replace subnormal numbers, for which igraph refuses a file."""
    return [
        replace(column, values=[_normal(value) for value in column.values])
        if column.type == "double"
        else column
        for column in columns
    ]


def _normal(value: Scalar) -> Scalar:
    tiny = isinstance(value, float) and abs(value) < sys.float_info.min
    return 0.0 if tiny else value
