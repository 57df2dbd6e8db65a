"""GEXF 1.3, the format of Gephi.

Every edge carries ``kind``: Gephi merges edges of one kind between the same nodes and
keeps those of different kinds. ``weight`` is above 0 (layouts fail on negative ones,
the import on 0), the signed value is the attribute ``signed`` in full precision in units that
``unit`` names, and colour shows the verdict of a change, else the sign.

References
----------
The GEXF file format, https://gexf.net (version 1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from circuitgraph.export.drawing import OTHER, Colour, colours, legend
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

_FIRST, _LAST = np.array([253, 231, 37]), np.array([68, 1, 84])
"""From the first layer to the last, from light to dark."""


def layer_colours(graph: ExportGraph) -> list[Colour]:
    """Colour of every node, in their order.

    What has no layer (``EMBED``, ``LOGITS``, names of other people) is grey. Sizes are left to
    Gephi: its import stretches the positions of a file that gives sizes.
    """
    layers = [None if pd.isna(layer) else int(layer) for layer in graph.nodes["layer"]]
    top = max((layer for layer in layers if layer is not None), default=0) or 1
    return [_colour(layer, top) for layer in layers]


def _colour(layer: int | None, top: int) -> Colour:
    if layer is None:
        return OTHER
    red, green, blue = np.round(_FIRST + (_LAST - _FIRST) * layer / top).astype(int)
    return int(red), int(green), int(blue)


NAMESPACE = "http://gexf.net/1.3"
VIZ = "http://gexf.net/1.3/viz"
THINNEST, THICKEST = 0.5, 5.0

# Gephi reads weights in single precision; beyond it they would become 0 or infinite.
SMALLEST, LARGEST = 1e-30, 1e30

# Titles that Gephi has columns of its own for, in any case.
RESERVED = ("id", "label", "weight", "source", "target", "type", "interval", "timeset")


def write_gexf(graph: ExportGraph, path: Path) -> Path:
    """Write one GEXF file, as ``write_lines`` does; returns ``path``."""
    return write_lines(path, _lines(graph))


def _lines(graph: ExportGraph) -> Iterator[str]:
    nodes = typed_columns(graph.nodes.drop(columns=["name", "x", "y"]), RESERVED)
    edges = typed_columns(graph.edges.drop(columns=["source", "target", "weight"]), RESERVED)
    ids = distinct(graph.nodes["name"].tolist(), NOT_XML)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<gexf xmlns="{NAMESPACE}" xmlns:viz="{VIZ}" version="1.3">\n'
    yield "<meta>\n<creator>circuitgraph</creator>\n<description>"
    yield in_element(f"{graph.description}; {legend(graph.edges)}")
    yield "</description>\n</meta>\n"
    default = "directed" if graph.directed else "undirected"
    yield f'<graph defaultedgetype="{default}" mode="static" idtype="string">\n'
    yield from _declarations("node", nodes)
    yield from _declarations("edge", edges)
    yield from _nodes(graph, ids, nodes)
    yield from _edges(graph, ids, edges)
    yield "</graph>\n</gexf>\n"


def _declarations(owner: str, columns: Sequence[Column]) -> Iterator[str]:
    yield f'<attributes class="{owner}">\n'
    for i, column in enumerate(columns):
        title = in_attribute(column.title)
        yield f'<attribute id="{owner[0]}{i}" title="{title}" type="{column.type}"/>\n'
    yield "</attributes>\n"


def _nodes(graph: ExportGraph, ids: dict[str, str], columns: list[Column]) -> Iterator[str]:
    yield f'<nodes count="{len(graph.nodes)}">\n'
    places = (graph.nodes[c].tolist() for c in ("name", "x", "y"))
    spelt = spelled(columns, in_attribute)
    for colour, name, x, y, values in zip(layer_colours(graph), *places, spelt, strict=False):
        text = in_attribute(ids[name])
        yield f'<node id="{text}" label="{text}">'
        yield _values("n", values)
        yield '<viz:color r="{}" g="{}" b="{}"/>'.format(*colour)
        yield f'<viz:position x="{x!r}" y="{y!r}" z="0.0"/></node>\n'
    yield "</nodes>\n"


def _edges(graph: ExportGraph, ids: dict[str, str], columns: list[Column]) -> Iterator[str]:
    texts = {name: in_attribute(text) for name, text in ids.items()}
    table = graph.edges
    largest = table["weight"].max() if len(table) else 1.0
    yield f'<edges count="{len(table)}">\n'
    own = (table[c].tolist() for c in ("source", "target", "relation", "weight"))
    labels = table["verdict" if "verdict" in table else "relation"].astype(str).tolist()
    rows = zip(*own, labels, colours(table), spelled(columns, in_attribute), strict=False)
    for row, (source, target, relation, weight, label, colour, values) in enumerate(rows):
        kind = in_attribute(relation)
        drawn = min(max(weight, SMALLEST), LARGEST)
        yield (
            f'<edge id="e{row}" source="{texts[source]}" target="{texts[target]}" '
            f'kind="{kind}" label="{in_attribute(label)}" weight="{drawn!r}">'
        )
        yield _values("e", values)
        red, green, blue = colour
        thickness = THINNEST + (THICKEST - THINNEST) * (weight / largest)
        yield f'<viz:color r="{red}" g="{green}" b="{blue}"/>'
        yield f'<viz:thickness value="{thickness:.3f}"/></edge>\n'
    yield "</edges>\n"


def _values(letter: str, values: Sequence[str | None]) -> str:
    parts = [
        f'<attvalue for="{letter}{i}" value="{value}"/>'
        for i, value in enumerate(values)
        if value is not None
    ]
    return f"<attvalues>{''.join(parts)}</attvalues>" if parts else ""
