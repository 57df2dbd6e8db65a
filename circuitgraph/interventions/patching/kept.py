"""Cross-model patches on disk, from which the graph's ``TRANSFERS`` are made.

A patch is ``transfers/<id>.json`` and one parquet file per table. A later patch of the same runs
replaces its tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.interventions.patching.record import PARTS, CrossPatch
from circuitgraph.runs.artefacts import get, put, records, resting_on
from circuitgraph.store import GraphTables, Store, transfer_tables

FOLDER = "transfers"
AGAIN = "patch again"


def table_path(folder: Path, patch: str, part: str) -> Path:
    """File of one table of a patch."""
    return folder / f"{patch}.{part}.parquet"


def keep(patch: CrossPatch, folder: Path) -> None:
    """Write the tables of a patch, and its record last."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        table = getattr(patch, part)
        if len(table):
            put(table_path(folder, patch.id, part), table)
    names = ("id", "name", "runs", "variants", "architecture", "summary", "created")
    put(folder / f"{patch.id}.json", {name: getattr(patch, name) for name in names})


def kept_of(folder: Path, runs: Iterable[str]) -> list[Path]:
    """Files of every patch of these runs; raises InputError where one is damaged."""
    return resting_on({*runs}, folder, lambda record: record["runs"], AGAIN)


def load_transfers(store: Store, folder: Path) -> int:
    """Load transfers that a store lacks, for runs that it has; returns their number."""
    kept = [record for _, record in records(folder, _needed, AGAIN)]
    if not kept:
        return 0
    runs, there = set(store.run_ids()), set(store.transfers())
    missing = []
    for record in kept:
        ways = zip(record["runs"], reversed(record["variants"]), strict=True)
        if set(record["runs"]) <= runs and not set(ways) <= there:
            missing += _parts(record, _components(folder, record))
    if missing:
        store.write_all(missing)
    return len(missing)


def graph_parts(patch: CrossPatch) -> list[GraphTables]:
    """Graph tables of a patch, one per direction."""
    record = {name: getattr(patch, name) for name in ("runs", "variants", "architecture")}
    return _parts(record, patch.components)


def _parts(record: dict[str, Any], components: pd.DataFrame) -> list[GraphTables]:
    runs = dict(zip(record["variants"], record["runs"], strict=True))
    ways = components.groupby(["source_variant", "variant"], sort=True)
    return [
        transfer_tables(record["architecture"], runs[into], runs[source], rows)
        for (source, into), rows in ways
    ]


def _components(folder: Path, record: dict[str, Any]) -> pd.DataFrame:
    found = get(table_path(folder, record["id"], "components"), pd.DataFrame, AGAIN)
    if found is None:  # only edges, sets or routes were patched
        return pd.DataFrame(columns=["source_variant", "variant"])
    return found


def _needed(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("id", "runs", "variants", "architecture")}
