"""How graphs are drawn: colours of edges and nodes, places of components.

The palette of Okabe & Ito, which people who confuse red and green can tell apart. A change has
no good and bad direction, and an edge that is lost may well have risen from below 0: so the
verdict is shown, not the sign of the change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from circuitgraph.base.components import Component, order_key, parse

Colour = tuple[int, int, int]

POSITIVE, NEGATIVE = (33, 102, 172), (178, 24, 43)
OTHER: Colour = (153, 153, 153)
VERDICTS: Mapping[str, Colour] = MappingProxyType(
    {
        "gained": (0, 114, 178),
        "lost": (213, 94, 0),
        "sign_flip": (204, 121, 167),
        "rewired": (0, 158, 115),
    }
)
_NAMES = {"gained": "blue", "lost": "orange", "sign_flip": "pink", "rewired": "green"}


def colours(edges: pd.DataFrame) -> list[Colour]:
    """One colour per edge."""
    if "verdict" in edges:
        return [VERDICTS.get(str(verdict), OTHER) for verdict in edges["verdict"]]
    return [NEGATIVE if sign < 0 else POSITIVE for sign in edges["sign"]]


def legend(edges: pd.DataFrame) -> str:
    """Legend of the colours."""
    if "verdict" in edges:
        told = [f"{name} {verdict.replace('_', ' ')}" for verdict, name in _NAMES.items()]
        return f"colours: {', '.join(told)}, grey no claim"
    return "colours: blue above 0, red below"


def as_hex(colour: Colour) -> str:
    """``#RRGGBB``."""
    return "#{:02X}{:02X}{:02X}".format(*colour)


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
