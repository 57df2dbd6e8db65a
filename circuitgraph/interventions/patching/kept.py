"""Cross-model patches on disk: what the graph's transfers are made from.

A patch is ``transfers/<id>.json`` and beside it one parquet file a table. Tables that a
later patch of the same runs makes anew take the place of the older ones.
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
    """Where one table of a patch lies."""
    return folder / f"{patch}.{part}.parquet"


def keep(patch: CrossPatch, folder: Path) -> None:
    """Write the tables that were made, and last what names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        table = getattr(patch, part)
        if len(table):
            put(table_path(folder, patch.id, part), table)
    names = ("id", "name", "runs", "variants", "architecture", "summary", "created")
    put(folder / f"{patch.id}.json", {name: getattr(patch, name) for name in names})


def kept_of(folder: Path, runs: Iterable[str]) -> list[Path]:
    """The files of every patch of one of these runs; ``InputError`` where one is damaged."""
    return resting_on({*runs}, folder, lambda record: record["runs"], AGAIN)


def load_transfers(store: Store, folder: Path) -> int:
    """Put the transfers of kept patches into a store that lacks them; returns how many.

    Those whose runs the store does not hold are left out.
    """
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
    """The transfers of a patch, one part a direction."""
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
