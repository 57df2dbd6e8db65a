"""The table of levels: how alike two variants are, beside what null pairs and two seeds give."""

from __future__ import annotations

from math import isfinite
from typing import Any

from circuitgraph.levels.record import Levels, percent


def rows_shown(found: Levels) -> list[dict[str, str]]:
    """A row a measure, as text: ``level``, ``measure``, ``alike``, ``interval``, ``claims``,
    ``nulls``, ``seeds`` and ``verdict``; where nothing was measured, ``verdict`` is the reason.
    """
    return [_row(row) for row in found.table.to_dict("records")]


def _row(row: dict[Any, Any]) -> dict[str, str]:
    known, claims = isfinite(row["alike"]), row["claims"]
    return {
        "level": str(row["level"]),
        "measure": str(row["measure"]),
        "alike": percent(row["alike"]) if known else "",
        "interval": _range(row["low"], row["high"]),
        "claims": f"{claims:.0f} of {row['testable']:.0f}" if isfinite(claims) else "",
        "nulls": _beside(row, "null"),
        "seeds": _beside(row, "seeds"),
        "verdict": str(row["verdict"] if known else row["reason"]),
    }


def _beside(row: dict[Any, Any], which: str) -> str:
    """From the least to the most alike of other pairs, and the most claims there."""
    told = _range(row[f"{which}_least"], row[f"{which}_most"])
    claims = row[f"{which}_claims"]
    return f"{told}, {claims:.0f} claimed" if told and isfinite(claims) else told


def _range(low: float, high: float) -> str:
    if not isfinite(low):
        return ""
    return " to ".join(dict.fromkeys((percent(low), percent(high))))
