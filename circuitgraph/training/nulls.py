"""A trained variant beside the null variants in the same folder: is it nearer to the target?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any

from circuitgraph.games.rewards import NULLS

Rows = Sequence[Mapping[str, Any]]


def distance(rows: Rows, targets: Mapping[tuple[str, str], float]) -> float:
    """Mean over games and states of |P(C) − target|."""
    apart = [abs(row["p"] - targets[row["game"], row["state"]]) for row in rows]
    return sum(apart) / len(apart)


def nulls_beside(folder: Path, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Records of null variants of the same base, tested on the same texts."""
    found = []
    for name in NULLS:
        for file in sorted(folder.glob(f"{name}-*/train.json")):
            told = json.loads(file.read_text("utf-8"))
            if told.get("recipe") == name and all(
                told.get(key) == record[key] for key in ("data", "base")
            ):
                found.append(told)
    return found


def beside_nulls(records: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """How the seeds of one recipe stand to the null variants in a folder; "" where none are.

    The p is that of a rank test: the chance that all seeds are nearer to the target than all
    nulls if neither were nearer, 1 over the ways to choose the seeds among both.
    """
    rows = records[0]["held_out"]
    if any(row["target"] is None for row in rows):
        return ""
    nulls = nulls_beside(folder, records[0])
    if not nulls:
        return ""
    targets = {(row["game"], row["state"]): float(row["target"]) for row in rows}
    best = min(distance(null["held_out"], targets) for null in nulls)
    near = sum(distance(record["held_out"], targets) < best for record in records)
    told = f"{near} of {len(records)} seeds nearer to the target than each of {len(nulls)} nulls"
    if near < len(records):
        return told
    return f"{told} (p = {1 / comb(len(records) + len(nulls), len(nulls)):.2g})"
