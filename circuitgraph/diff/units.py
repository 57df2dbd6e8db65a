"""In which units a diff's numbers are, and what its columns are called where people read them.

Files keep one contract for every lens (``weight_a, weight_b, delta``); a person should not have
to know which lens made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SHARE = "share of the norm of all edge effects"
LOG_ODDS = "log-odds"
"""The decision's units: log p(answer) − log p(wrong answer)."""
CORRELATION = "correlation within scenarios (r)"

EDGE_UNITS: Mapping[str, str] = MappingProxyType({"correlation": CORRELATION, "effect": LOG_ODDS})
"""Of the weights of one variant's edges, by kind."""

EDGE_HEADS: Mapping[str, str] = MappingProxyType({"correlation": "r", "effect": "effect"})

SIZE, RELATIVE = "size of the channel", "relative change of the channel, 0 to 1"
AGAINST_BASE = "relative change of the channel against the base"


def units(lens: str, scope: str, scale: str, *, rank: bool) -> dict[str, str]:
    """Units of the columns ``weight_a``, ``weight_b`` and ``delta`` (and its interval)."""
    if lens == "wiring":
        weight = AGAINST_BASE if scope == "recipe" else SIZE
        delta = f"difference of the {AGAINST_BASE}" if scope == "recipe" else RELATIVE
        return {"weight_a": weight, "weight_b": weight, "delta": delta}
    unit = CORRELATION + (" of normal scores" if rank else "")
    if lens == "effect":
        unit = SHARE if scale == "share" else LOG_ODDS
    return dict.fromkeys(("weight_a", "weight_b", "delta"), unit)


def heads(lens: str, scope: str, scale: str) -> dict[str, str]:
    """What people read above ``weight_a``, ``weight_b`` and ``delta``."""
    name = {"correlation": "r", "effect": "share" if scale == "share" else "effect"}.get(lens)
    if lens == "wiring":
        name = "change" if scope == "recipe" else "size"
    change = "apart" if lens == "wiring" and scope == "recipe" else "change"
    return {"weight_a": f"{name}_a", "weight_b": f"{name}_b", "delta": change}
