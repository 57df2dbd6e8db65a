"""A pair of models with known changed edges, and its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from circuitgraph.base.components import Edge, order_key

TRUTH = "truth.csv"
SPLIT = "truth-split.csv"


class Change(NamedTuple):
    """One edge that differs, and how: ``off``, ``on`` or ``flip``."""

    edge: Edge
    change: str


@dataclass(frozen=True, eq=False)
class Planted:
    """Two model folders and their known differences.

    Attributes
    ----------
    folder_a, folder_b
        Hugging Face folders.
    truth
        Edges that differ, one row each: source, target, input, change. Named as in
        ``components.effect_edges`` with joint inputs (``all`` for heads). Empty for a null.
    split
        The same with q, k and v told apart.
    """

    folder_a: Path
    folder_b: Path
    truth: pd.DataFrame
    split: pd.DataFrame


def table(changes: Iterable[Change]) -> pd.DataFrame:
    """Table of changes in order of computation, each edge once."""
    rows = {(*change.edge, change.change) for change in changes}
    rows_in_order = sorted(rows, key=lambda row: (order_key(row[1]), order_key(row[0]), row[2]))
    return pd.DataFrame(rows_in_order, columns=["source", "target", "input", "change"], dtype=str)


def keep(planted: Planted, folder: Path) -> Planted:
    """Write the ground truth as CSV."""
    planted.truth.to_csv(folder / TRUTH, index=False)
    planted.split.to_csv(folder / SPLIT, index=False)
    return planted
