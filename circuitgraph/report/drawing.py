"""Claims as a drawing: components by layer, an arc for every changed edge."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from circuitgraph.base.components import in_order
from circuitgraph.base.quoting import short
from circuitgraph.diff.record import Diff
from circuitgraph.export.colours import OTHER, VERDICTS, as_hex
from circuitgraph.export.layout import positions

MARGIN = 50.0
MOST_EDGES = 150
MOST_NODES = 400


@dataclass(frozen=True)
class Node:
    """A component's position, in pixels from the top left."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Arc:
    """A claim: a curve from sender to receiver.

    Attributes
    ----------
    path
        SVG path data.
    colour
        By the verdict, ``#RRGGBB``.
    width
        Of the line, by |delta|.
    title
        What hovering says.
    """

    path: str
    colour: str
    width: float
    title: str


@dataclass(frozen=True)
class Drawing:
    """Content of the SVG; empty without claims.

    Attributes
    ----------
    width, height
        In pixels.
    nodes, arcs
        What to draw.
    left
        Claims that are not drawn.
    """

    width: float
    height: float
    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    left: int = 0


def draw(diff: Diff) -> Drawing:
    """Draw the strongest claims of a diff over all its components."""
    ends = pd.unique(pd.concat([diff.table["source"], diff.table["target"]]).astype(str))
    names = in_order(ends)
    claims = diff.claims
    strongest = claims.loc[claims["delta"].abs().sort_values(ascending=False).index[:MOST_EDGES]]
    if len(names) > MOST_NODES:
        names = in_order({*strongest["source"].astype(str), *strongest["target"].astype(str)})
    if not names:
        return Drawing(0, 0, (), ())
    places = positions(names)
    left, top = min(x for x, _ in places), max(y for _, y in places)
    nodes = [
        Node(n, x - left + MARGIN, top - y + MARGIN)
        for n, (x, y) in zip(names, places, strict=True)
    ]
    by_name = {node.name: node for node in nodes}
    largest = float(strongest["delta"].abs().max()) if len(strongest) else 1.0
    arcs = [_arc(row, by_name, largest) for row in strongest.to_dict("records")]
    width = max(node.x for node in nodes) + MARGIN
    height = max(node.y for node in nodes) + MARGIN
    return Drawing(width, height, tuple(nodes), tuple(arcs), len(claims) - len(strongest))


def _arc(row: dict, nodes: dict[str, Node], largest: float) -> Arc:
    a, b = nodes[str(row["source"])], nodes[str(row["target"])]
    # Bent sideways, so that edges over several layers do not hide behind each other.
    bend = 0.18 * (a.y - b.y) + 18
    mid_x, mid_y = (a.x + b.x) / 2 + bend, (a.y + b.y) / 2
    delta = float(row["delta"])
    into = f" ({row['input']})" if row["input"] else ""
    change = f"{row['weight_a']:.3f} to {row['weight_b']:.3f}, {row['verdict']}"
    title = f"{short(a.name)} → {short(b.name)}{into}: {change}"
    path = f"M{a.x:.1f} {a.y:.1f} Q{mid_x:.1f} {mid_y:.1f} {b.x:.1f} {b.y:.1f}"
    colour = as_hex(VERDICTS.get(str(row["verdict"]), OTHER))
    return Arc(path, colour, 1 + 5 * abs(delta) / largest, title)
