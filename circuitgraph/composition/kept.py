"""Composition scores measured once a variant, kept beside its runs, and in the graph."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from circuitgraph.base.progress import Reporter
from circuitgraph.runs.artefacts import get, put
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import GraphTables, components, edge_rels, merge_tables

FILE_NAME = "composition.parquet"
COLUMNS = ("source", "target", "input", "weight")


def keep_composition(run: Run, table: pd.DataFrame) -> None:
    """Write a variant's scores, columns :data:`COLUMNS`, into a run's folder."""
    if file := run.beside(FILE_NAME):
        put(file, table[list(COLUMNS)])


def has_composition(run: Run) -> bool:
    file = run.beside(FILE_NAME)
    return file is not None and file.is_file()


def read_composition(run: Run) -> pd.DataFrame:
    """The scores kept beside a run (maybe no rows); ``InputError`` for a damaged file."""
    kept = get(run.beside(FILE_NAME), lambda table: table[list(COLUMNS)], "compose again")
    return pd.DataFrame(columns=list(COLUMNS)) if kept is None else kept


def with_composition(tables: GraphTables, run: Run) -> GraphTables:
    """The graph of a run with its kept ``COMPOSES`` relationships."""
    table = read_composition(run)
    if table.empty:
        return tables
    ids, nodes = components(run.variant.architecture, [*table["source"], *table["target"]])
    own = {"run": run.id, "variant": run.variant.name}
    composes = edge_rels("COMPOSES", run.id, table, ids, own)
    return merge_tables([tables, GraphTables({"Component": nodes}, {"COMPOSES": composes})])


def lacking_composition(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Runs with kept scores that the graph does not hold."""
    kept = [run for run in runs if has_composition(run)]
    if not kept:
        return []
    rows = store.query("MATCH ()-[e:COMPOSES]->() RETURN DISTINCT e.run AS run")
    there = set(rows["run"])
    return [run for run in kept if run.id not in there]


def composition(
    catalogue: RunCatalogue, name: str, other: str | None, *, shared_basis: bool, reporter: Reporter
) -> pd.DataFrame:
    """Scores of a variant, or of two with the relative change of their virtual weights.

    Kept beside the newest run of each variant that has heads.
    """
    first = _keeper(catalogue, name)
    if other is None:
        if has_composition(first):
            return read_composition(first)
        from circuitgraph.composition.measure import compose

        table = compose(first, reporter)
        keep_composition(first, table)
        return table
    second = _keeper(catalogue, other)
    from circuitgraph.composition.measure import compose_pair

    table = compose_pair(first, second, shared_basis, reporter)
    for run, side in ((first, "a"), (second, "b")):
        keep_composition(run, table.rename(columns={f"weight_{side}": "weight"}))
    return table


def _keeper(catalogue: RunCatalogue, name: str) -> Run:
    """The run that keeps the scores, else the newest that could."""
    from circuitgraph.composition.measure import require_composable

    runs = catalogue.of(name)
    kept = [run for run in runs if has_composition(run)]
    able = [run for run in runs if run.method.granularity == "head"]
    run = (kept or able or runs)[-1]
    require_composable(run)
    return run
