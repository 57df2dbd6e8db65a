"""How components are drawn: colour by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuitgraph.export.colours import OTHER, Colour
from circuitgraph.export.model import ExportGraph

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
