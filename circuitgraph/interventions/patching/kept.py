"""Patches, transplants and steering on disk, from which the graph's ``TRANSFERS`` are made.

A patch is ``transfers/<id>.json`` and one parquet file per table. A later patch of the same runs
replaces its tables. Of a transplant or of steering only the table of single components is kept,
those measured before included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.interventions.patching.record import PARTS, CrossPatch, Options, patch_id
from circuitgraph.runs.artefacts import get, put, records, resting_on
from circuitgraph.runs.record import Run, now
from circuitgraph.store import GraphTables, Store, transfer_tables
from circuitgraph.store.transfers import PATCH, PROPERTIES

FOLDER = "transfers"
AGAIN = "patch again"
FORMAT = 1
"""Of what is kept, and of how it is measured."""


def table_path(folder: Path, patch: str, part: str) -> Path:
    """File of one table of a patch."""
    return folder / f"{patch}.{part}.parquet"


def keep(patch: CrossPatch, folder: Path, options: Options) -> None:
    """Write the tables of a patch, and its record last.

    While tables are replaced, an earlier record answers no question; a table that was asked for
    and is empty leaves none of an earlier patch behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("id", "name", "runs", "variants", "architecture", "summary", "created")
    record, file = {name: getattr(patch, name) for name in names}, folder / f"{patch.id}.json"
    if file.is_file():
        put(file, record)
    for part in PARTS:
        table, place = getattr(patch, part), table_path(folder, patch.id, part)
        if len(table):
            put(place, table)
        elif part in options.parts:
            place.unlink(missing_ok=True)
    put(file, record | _asked(options))


def kept_patch(folder: Path, source: Run, into: Run, options: Options) -> CrossPatch | None:
    """The same patch with the same options as it was kept; raises InputError for damaged files."""
    name = patch_id(source, into)
    record = get(folder / f"{name}.json", dict, AGAIN)
    asked = {"runs": [source.id, into.id], **_asked(options)}
    if record is None or not asked.items() <= record.items():
        return None
    tables: dict[str, pd.DataFrame] = {}
    for part in options.parts:
        table = get(table_path(folder, name, part), lambda found: found, AGAIN)
        tables |= {} if table is None else {part: table}
    return CrossPatch(
        name, record["name"], (source.id, into.id), tuple(record["variants"]),
        record["architecture"], record["summary"], record["created"], **tables,
    )  # fmt: skip


def _asked(options: Options) -> dict[str, Any]:
    """The question, as a record holds it."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(options).items()}
    return {"format": FORMAT, **plain}


def kept_of(folder: Path, runs: Iterable[str]) -> list[Path]:
    """Files of every patch of these runs; raises InputError where one is damaged."""
    return resting_on({*runs}, folder, lambda record: record["runs"], AGAIN)


def keep_moved(method: str, runs: tuple[Run, Run], table: pd.DataFrame, folder: Path) -> None:
    """Write what single components do in another variant's run by a method other than patching.

    Parameters
    ----------
    method
        ``transplant`` or ``steer``.
    runs
        Of the variant they come from, and of the one that ran.
    table
        A row a component and direction: ``source_variant, variant, component, effect, flips, n``.
    folder
        Of all transfers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = [run.id for run in runs]
    name = digest(method, *sorted(ids))
    known = get(table_path(folder, name, "components"), pd.DataFrame, AGAIN)
    place = ["source_variant", "variant", "component"]
    whole = table if known is None else pd.concat([known, table], ignore_index=True)
    whole = whole.drop_duplicates(place, keep="last", ignore_index=True)
    put(table_path(folder, name, "components"), whole)
    variants = [run.variant.name for run in runs]
    put(folder / f"{name}.json", {
        "id": name, "name": " → ".join(variants), "method": method, "runs": ids,
        "variants": variants, "architecture": runs[0].variant.architecture, "created": now(),
    })  # fmt: skip


def load_transfers(store: Store, folder: Path, new: Collection[str] = ()) -> int:
    """Load transfers that a store lacks, for runs that it has; returns the number of directions.

    Those between the two runs ``new`` are written again, whatever the store has of them.
    """
    kept = list(_by_runs(folder))
    if not kept:
        return 0
    runs, there = set(store.run_ids()), _methods(store)
    missing: list[GraphTables] = []
    for alike in kept:
        if not set(alike[0]["runs"]) <= runs:
            continue
        wanted = {(*way, how) for record in alike for way, how in _ways(folder, record)}
        if not wanted <= there or set(alike[0]["runs"]) == {*new}:
            missing += _parts(folder, alike)
    if missing:
        store.write_all(missing)
    return len(missing)


def _by_runs(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Kept records of the same two runs together."""
    kept = [record for _, record in records(folder, _needed, AGAIN)]
    kept.sort(key=lambda record: sorted(record["runs"]))
    for _, alike in groupby(kept, key=lambda record: sorted(record["runs"])):
        yield list(alike)


def _methods(store: Store) -> set[tuple[str, str, str]]:
    """Run, source variant and method of all transfers that a store holds."""
    rows = store.query(
        "MATCH ()-[e:TRANSFERS]->() MATCH (r:Run) WHERE r.id = e.run"
        " RETURN DISTINCT e.run AS run, e.source_variant AS source, e.method AS method"
    )
    return set(rows[["run", "source", "method"]].itertuples(index=False, name=None))


def _ways(folder: Path, record: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Run and source variant of each direction that a record holds, and its method."""
    runs = dict(zip(record["variants"], record["runs"], strict=True))
    table = _components(folder, record)
    for source, into in {*zip(table["source_variant"], table["variant"], strict=True)}:
        yield (runs[into], source), record["method"]


def _parts(folder: Path, alike: list[dict[str, Any]]) -> list[GraphTables]:
    """The graph of all records of two runs, one part a direction."""
    first = alike[0]
    runs = dict(zip(first["variants"], first["runs"], strict=True))
    columns = ["component", *PROPERTIES]
    whole = [_components(folder, record).assign(method=record["method"]) for record in alike]
    found = [table[columns] for table in whole if len(table)]
    if not found:
        return []
    ways = pd.concat(found, ignore_index=True).groupby(["source_variant", "variant"], sort=True)
    return [
        transfer_tables(first["architecture"], runs[into], runs[source], rows)
        for (source, into), rows in ways
    ]


def _components(folder: Path, record: dict[str, Any]) -> pd.DataFrame:
    found = get(table_path(folder, record["id"], "components"), pd.DataFrame, AGAIN)
    if found is None:  # only edges, sets or routes were patched
        return pd.DataFrame(columns=["source_variant", "variant", "component"])
    return found


def _needed(record: dict[str, Any]) -> dict[str, Any]:
    found = {name: record[name] for name in ("id", "runs", "variants", "architecture")}
    return {**found, "method": record.get("method", PATCH)}
