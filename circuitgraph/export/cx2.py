"""CX2, the JSON of Cytoscape and NDEx.

References
----------
Cytoscape Exchange Format specification, version 2, https://cytoscape.org/cx
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.export.drawing import (
    NEGATIVE,
    OTHER,
    POSITIVE,
    VERDICTS,
    Colour,
    as_hex,
    legend,
)
from circuitgraph.export.files import write_lines
from circuitgraph.export.model import ExportGraph
from circuitgraph.export.text import Column, typed_columns


def write_cx2(graph: ExportGraph, path: Path) -> Path:
    """Write one CX2 file, as ``write_lines`` does; returns ``path``.

    The relation of an edge is its ``interaction``, as Cytoscape calls it; y grows downwards there
    and is turned over. JSON knows no infinity, so an infinite value is left out like a missing one.
    """
    return write_lines(path, _lines(graph))


def _lines(graph: ExportGraph) -> Iterator[str]:
    nodes = typed_columns(graph.nodes.drop(columns=["x", "y"]))
    table = graph.edges.drop(columns=["source", "target"])
    edges = typed_columns(table.rename(columns={"relation": "interaction"}))
    described = f"{graph.description}; {legend(graph.edges)}"
    own = {"name": graph.name, "description": described, "directed": graph.directed}
    kinds = {"name": "string", "description": "string", "directed": "boolean"}
    declared = {
        "networkAttributes": {name: {"d": kind} for name, kind in kinds.items()},
        "nodes": {column.title: {"d": column.type} for column in nodes},
        "edges": {column.title: {"d": column.type} for column in edges},
    }
    counts = {
        "attributeDeclarations": 1,
        "networkAttributes": 1,
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "visualProperties": 1,
    }
    yield '[{"CXVersion":"2.0","hasFragments":false},\n'
    yield from _aspect("metaData", ({"name": k, "elementCount": n} for k, n in counts.items()))
    yield from _aspect("attributeDeclarations", [declared])
    yield from _aspect("networkAttributes", [own])
    yield from _aspect("nodes", _nodes(graph.nodes, nodes))
    yield from _aspect("edges", _edges(graph, edges))
    yield from _aspect("visualProperties", [_style(graph)])
    yield '{"status":[{"success":true,"error":""}]}]\n'


def _aspect(name: str, elements: Iterable[dict]) -> Iterator[str]:
    yield f'{{"{name}":['
    between = "\n"
    for element in elements:
        yield between + json.dumps(element, allow_nan=False, separators=(",", ":"))
        between = ",\n"
    yield "]},\n"


def _nodes(table: pd.DataFrame, columns: list[Column]) -> Iterator[dict]:
    for row, (x, y) in enumerate(zip(table["x"].tolist(), table["y"].tolist(), strict=True)):
        yield {"id": row, "x": x, "y": 0.0 - y, "v": _values(columns, row)}


def _edges(graph: ExportGraph, columns: list[Column]) -> Iterator[dict]:
    place = {name: i for i, name in enumerate(graph.nodes["name"])}
    ends = zip(graph.edges["source"].tolist(), graph.edges["target"].tolist(), strict=True)
    for row, (source, target) in enumerate(ends):
        v = _values(columns, row)
        yield {"id": row, "s": place[source], "t": place[target], "v": v}


def _values(columns: list[Column], row: int) -> dict:
    values = {column.title: column.values[row] for column in columns}
    return {
        title: value
        for title, value in values.items()
        if value is not None and not (isinstance(value, float) and math.isinf(value))
    }


def _style(graph: ExportGraph) -> dict:
    """Visual style: labels, colours by verdict or sign, arrows for directed edges."""
    told = "verdict" in graph.edges
    by_value: Mapping[Any, Colour] = VERDICTS if told else {1: POSITIVE, -1: NEGATIVE}
    drawn = [{"v": value, "vp": as_hex(colour)} for value, colour in by_value.items()]
    by = "verdict" if told else "sign"
    colour = {"type": "DISCRETE", "definition": {"attribute": by, "map": drawn}}
    label = {"type": "PASSTHROUGH", "definition": {"attribute": "name", "type": "string"}}
    text = {"type": "PASSTHROUGH", "definition": {"attribute": by, "type": "string"}}
    arrow = "triangle" if graph.directed else "none"
    edge = {"EDGE_TARGET_ARROW_SHAPE": arrow, "EDGE_LINE_COLOR": as_hex(OTHER)}
    return {
        "default": {"edge": edge, "node": {}, "network": {}},
        "nodeMapping": {"NODE_LABEL": label},
        "edgeMapping": {"EDGE_LINE_COLOR": colour} | ({"EDGE_LABEL": text} if told else {}),
    }
