"""Colours of edges: by verdict in a diff, by sign in the graph of one variant.

The palette of Okabe & Ito, which people who confuse red and green can tell apart. A change has
no good and bad direction, and an edge that is lost may well have risen from below 0: so the
verdict is shown, not the sign of the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

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
