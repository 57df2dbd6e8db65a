"""Layout of components: layers from bottom to top in order of computation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from circuitgraph.base.components import Component, order_key, parse

SPACING = 100.0


def positions(names: Sequence[str]) -> list[tuple[float, float]]:
    """Coordinates of every component.

    ``EMBED`` is below layer 0 and ``LOGITS`` above the last one; within a layer
    components stand side by side in order of computation, centred on 0. The positions
    depend on the set of names alone, so that all variants of one architecture are
    drawn alike. Names that say nothing of a layer stand in a square below.

    Parameters
    ----------
    names
        Different from each other.

    Returns
    -------
    list of (float, float)
        In the order of the names; 100 apart, y growing upwards.
    """
    parts = [parse(name) for name in names]
    top = max((part.layer for part in parts if part.layer is not None), default=-1)
    rows: dict[int, list[str]] = {}
    for part in sorted(parts, key=lambda part: order_key(part.name)):
        rows.setdefault(_row(part, top), []).append(part.name)
    rows = _folded(rows)
    places = {
        name: ((i - (len(row) - 1) / 2) * SPACING, y * SPACING)
        for y, row in rows.items()
        for i, name in enumerate(row)
    }
    return [places[name] for name in names]


def _row(part: Component, top: int) -> int:
    if part.layer is not None:
        return part.layer
    return {"embed": -1, "logits": top + 1}.get(part.kind, -2)


def _folded(rows: dict[int, list[str]]) -> dict[int, list[str]]:
    """Break the row of unknown names into a square."""
    unknown = rows.pop(-2, [])
    width = math.ceil(math.sqrt(len(unknown)))
    for i in range(0, len(unknown), width or 1):
        rows[-2 - i // width] = unknown[i : i + width]
    return rows
