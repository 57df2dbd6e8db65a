"""Levels beside the runs of a workspace: the newest table of every pair, for the report page."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.frames import records as plain
from circuitgraph.levels.record import PAIR_COLUMNS, Levels
from circuitgraph.runs.artefacts import put, records, resting_on
from circuitgraph.runs.record import now

FOLDER = "levels"
AGAIN = "ask for the levels again"
_TEXTS = ("role", "a", "b", "level", "measure", "reason")


def keep(found: Levels, folder: Path) -> Path:
    """Write the levels of a pair, in place of what was kept of the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest('levels', found.summary['own'])}.json"
    put(file, {**found.summary, "created": now(), "pairs": plain(found.pairs)})
    return file


def levels_of(folder: Path, runs: Collection[str]) -> Levels | None:
    """The newest that is kept of a pair among whose runs are these.

    Raises
    ------
    InputError
        A file is damaged.
    """
    found = [
        record for _, record in records(folder, _checked, AGAIN) if {*runs} <= {*record["own"]}
    ]
    if not found:
        return None
    newest = max(found, key=lambda record: str(record["created"]))
    pairs = pd.DataFrame(newest.pop("pairs"), columns=list(PAIR_COLUMNS))
    numbers = {name: float for name in PAIR_COLUMNS if name not in (*_TEXTS, "n")}
    return Levels(pairs.astype(numbers), newest)


def files_of(folder: Path, runs: Collection[str]) -> list[Path]:
    """What is kept of levels that rest on any of these runs; raises as :func:`levels_of`."""
    return resting_on(runs, folder, lambda record: record["runs"], AGAIN)


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("a", "b", "runs", "own", "created", "pairs")}
