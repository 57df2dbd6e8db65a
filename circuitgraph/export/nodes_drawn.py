"""How components are drawn: colour by layer, size by the weight of their edges."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuitgraph.export.colours import OTHER, Colour
from circuitgraph.export.model import ExportGraph

SMALLEST, LARGEST = 8.0, 32.0
"""Sizes of a component without edges, and of the one whose edges weigh most."""
_FIRST, _LAST = np.array([253, 231, 37]), np.array([68, 1, 84])
"""From the first layer to the last, of one hue to another and from light to dark."""


def node_looks(graph: ExportGraph) -> list[tuple[Colour, float]]:
    """Colour and size of every node, in their order.

    The area grows with the sum of |weight| over a component's edges. What has no layer
    (``EMBED``, ``LOGITS``, names of other people) is grey.
    """
    sums = dict.fromkeys(graph.nodes["name"], 0.0)
    ends = (graph.edges[column].tolist() for column in ("source", "target", "weight"))
    for source, target, weight in zip(*ends, strict=True):
        sums[source] += weight
        sums[target] += weight
    most = max(sums.values(), default=0.0) or 1.0
    layers = [None if pd.isna(layer) else int(layer) for layer in graph.nodes["layer"]]
    top = max((layer for layer in layers if layer is not None), default=0) or 1
    return [
        (_colour(layer, top), SMALLEST + (LARGEST - SMALLEST) * (sums[name] / most) ** 0.5)
        for name, layer in zip(graph.nodes["name"], layers, strict=True)
    ]


def _colour(layer: int | None, top: int) -> Colour:
    if layer is None:
        return OTHER
    red, green, blue = np.round(_FIRST + (_LAST - _FIRST) * layer / top).astype(int)
    return int(red), int(green), int(blue)
