"""The mechanism of a diff's claims: signal, edge or downstream, filled into its table.

Each of three factors is taken from either variant, and the change of the signed effect is
split over them (``lenses.mechanism``). The part of a share's change that comes from the norm
of all effects (gain) is reported apart, because it belongs to no edge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.errors import CircuitGraphError
from circuitgraph.base.frames import coded
from circuitgraph.base.resources import TooLittle
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import MECHANISMS, NO_MECHANISM, Diff
from circuitgraph.lenses.base import Models
from circuitgraph.lenses.edge_tests import Split
from circuitgraph.lenses.mechanism.split import UNKNOWN, labels

MOST = 500
"""Claims whose mechanism is measured, the strongest first; a claim takes about a second."""

NAMES = ("signal", "edge", "downstream")
"""What the three shares are called in every table."""


def with_mechanism(diff: Diff, models: Models, most: int = MOST) -> Diff:
    """The same diff, with the mechanism of its (at most ``most``) strongest claims measured.

    Fills the column ``mechanism`` of the table and, in ``details``, ``signal``, ``edge`` and
    ``downstream`` (shares of the scenario-balanced change of the signed effect, in the decision's
    units; they add up to it), ``gain`` (the part of ``delta`` from the change of the norm of all
    effects) and ``same`` (factors equal bit for bit). What cannot be measured stays ``unknown``,
    with a remark.
    """
    rows = _asked(diff, most)
    if not len(rows):
        return diff
    try:
        found = diff.asks.mechanism(as_compared(diff), (diff.runs_a, diff.runs_b), rows, models)
    except TooLittle:
        raise
    except CircuitGraphError as error:
        return _remarked(diff, f"{NO_MECHANISM}{error}")
    result, left = _filled(diff, rows, found), len(diff.claims) - len(rows)
    if left:
        remark = (
            f"the mechanism of {left} claims is unknown: the {len(rows)} strongest were measured"
        )
        result = _remarked(result, remark)
    return result


def _asked(diff: Diff, most: int) -> np.ndarray:
    """Rows of the claims whose mechanism is measured, int."""
    if not diff.asks.has_mechanism or diff.details.empty:
        return np.empty(0, int)
    size = diff.table["delta"].abs().loc[diff.details.index]
    return np.sort(size.sort_values(ascending=False, kind="stable").index[:most].to_numpy(int))


def _remarked(diff: Diff, remark: str) -> Diff:
    remarks = [*diff.summary["remarks"], remark]
    return replace(diff, summary={**diff.summary, "remarks": remarks})


def _filled(diff: Diff, rows: np.ndarray, found: Split) -> Diff:
    named = labels(found.parts)
    codes = np.zeros(len(diff.table), np.int8)
    codes[diff.claims.index.to_numpy(int)] = MECHANISMS.index(UNKNOWN)
    codes[rows] = [MECHANISMS.index(name) for name in named]
    table = diff.table.assign(mechanism=coded(codes, MECHANISMS))
    same = [", ".join(np.array(NAMES)[flags]) for flags in found.same.T]
    columns = {**dict(zip(NAMES, found.parts, strict=True)), "gain": found.gain, "same": same}
    details = diff.details.join(pd.DataFrame(columns, index=pd.Index(rows)))
    summary = {**diff.summary, "mechanism": _summary(table, found, rows)}
    return replace(diff, table=table, details=details, summary=summary)


def _summary(table: pd.DataFrame, found: Split, rows: np.ndarray) -> dict[str, Any]:
    """Claims by mechanism, claims that are mostly gain, and the error of the parts' sum."""
    left = table["delta"].to_numpy()[rows] - found.gain
    counts = table["mechanism"].value_counts()
    largest = np.abs(found.change).max(initial=0.0)
    apart = np.abs(found.parts.sum(0) - found.change).max(initial=0.0)
    return {
        "claims": {name: int(counts[name]) for name in MECHANISMS if name and counts[name]},
        "gain": int((np.abs(found.gain) > np.abs(left)).sum()),
        "apart": float(apart / largest) if largest > 0 else 0.0,
    }
