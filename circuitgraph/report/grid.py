"""Where components stand on the page: a row a layer, a column a head, an MLP or an expert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuitgraph.base.components import Component, order_key, parse


@dataclass(frozen=True)
class Grid:
    """Columns and rows of a drawing of components.

    Attributes
    ----------
    columns, rows : tuple of str
        Labels; rows from the first layer to the last.
    places : tuple of (float, int)
        Column and row of every component.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    places: tuple[tuple[float, int], ...]


def grid_of(names: Sequence[str]) -> Grid:
    """Place components by layer and position; those without a layer stand in a square.

    ``EMBED`` is centred below the first layer and ``LOGITS`` above the last one.
    """
    parts = [parse(name) for name in names]
    layered = [part for part in parts if part.layer is not None]
    if not layered:
        return _square(names)
    slots = sorted({_slot(part) for part in layered})
    layers = sorted({part.layer for part in layered if part.layer is not None})
    rows = ["EMBED", *(f"L{layer}" for layer in layers), "LOGITS"]
    middle = (len(slots) - 1) / 2
    places = []
    for part in parts:
        if part.layer is not None:
            places.append((float(slots.index(_slot(part))), 1 + layers.index(part.layer)))
        else:
            places.append((middle, len(rows) - 1 if part.kind == "logits" else 0))
    return Grid(tuple(label for _, _, label in slots), tuple(rows), tuple(places))


def _slot(part: Component) -> tuple[int, int, str]:
    """What components of all layers share that stand in one column, in order of computation."""
    _, ((_, rank, _),), (index, _) = order_key(part.name)
    return rank, index, part.name.removeprefix(f"L{part.layer}").removeprefix("_")


def _square(names: Sequence[str]) -> Grid:
    width = max(1, math.ceil(math.sqrt(len(names))))
    rows = math.ceil(len(names) / width)
    places = tuple((float(i % width), i // width) for i in range(len(names)))
    return Grid(("",) * width, ("",) * rows, places)
