"""A diff by components and by layers, and where they stand on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from circuitgraph.base.components import Component, in_order, order_key, parse
from circuitgraph.diff.record import Diff
from circuitgraph.graph.convert import endpoints


def components_of(diff: Diff) -> tuple[list[str], Grid]:
    """All components of a diff in order of computation, and where they stand."""
    names = in_order(endpoints(diff.table))
    return names, grid_of(names)


def strength_by_layer(diff: Diff) -> pd.DataFrame:
    """Sum of |weight| over the edges that leave each layer, in both variants.

    Returns
    -------
    DataFrame
        ``weight_a``, ``weight_b``; a row a layer, ``EMBED`` (what has no layer) first.
    """
    layers = [parse(name).layer for name in diff.table["source"].astype(str)]
    at = [-1 if layer is None else layer for layer in layers]
    sums = diff.table[["weight_a", "weight_b"]].abs().groupby(at).sum()
    return sums.rename(index=lambda layer: "EMBED" if layer < 0 else f"L{layer}")


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
