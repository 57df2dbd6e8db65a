"""Cross-model patches on disk: what the graph's transfers are made from.

A patch is ``transfers/<id>.json`` and beside it one parquet file a table. Tables that a
later patch of the same runs makes anew take the place of the older ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import InputError
from circuitgraph.base.frames import write_parquet
from circuitgraph.interventions.patching.record import PARTS, CrossPatch
from circuitgraph.store import GraphTables, Store, transfer_tables

FOLDER = "transfers"


def table_path(folder: Path, patch: str, part: str) -> Path:
    """Where one table of a patch lies."""
    return folder / f"{patch}.{part}.parquet"


def keep(patch: CrossPatch, folder: Path) -> None:
    """Write the tables that were made, and last what names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        table = getattr(patch, part)
        if len(table):
            write_parquet(table, table_path(folder, patch.id, part))
    names = ("id", "name", "runs", "variants", "architecture", "summary", "created")
    record = {name: getattr(patch, name) for name in names}
    data = json.dumps(record, ensure_ascii=True, indent=1).encode("ascii")
    write_atomic(folder / f"{patch.id}.json", data)


def kept_of(folder: Path, runs: Iterable[str]) -> list[Path]:
    """The files of every patch of one of these runs; ``InputError`` where one is damaged."""
    found: list[Path] = []
    for file, record in _records(folder):
        if set(runs) & {*record["runs"]}:
            found += [file, *(table_path(folder, record["id"], part) for part in PARTS)]
    return found


def load_transfers(store: Store, folder: Path) -> int:
    """Put the transfers of kept patches into a store that lacks them; returns how many.

    Those whose runs the store does not hold are left out.
    """
    records = [record for _, record in _records(folder)]
    if not records:
        return 0
    runs, there = set(store.run_ids()), set(store.transfers())
    missing = []
    for record in records:
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
    file = table_path(folder, record["id"], "components")
    if not file.is_file():  # only edges, sets or routes were patched
        return pd.DataFrame(columns=["source_variant", "variant"])
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); remove it and patch again") from error


def _records(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text("ascii"))
            found.append((file, {name: record[name] for name in ("id", *_NEEDED)}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{file}: this patch cannot be read ({error!r}); remove the file and patch again"
            ) from error
    return found


_NEEDED = ("runs", "variants", "architecture")
