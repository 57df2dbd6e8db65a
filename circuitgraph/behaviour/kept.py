"""Decisions kept beside a run of the variant, and as ``DECIDES`` in the graph."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.behaviour.tables import COLUMNS, scenario_table
from circuitgraph.runs.artefacts import get, put
from circuitgraph.runs.record import Run
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import GraphTables, merge_tables
from circuitgraph.store.transfers import decision_tables

FILE_NAME = "decisions.parquet"


def keep_decisions(run: Run, decisions: pd.DataFrame) -> None:
    """Add decisions to those kept beside a run; a prompt measured again is replaced."""
    file = run.beside(FILE_NAME)
    if file is None:
        return
    known = read_decisions(run)
    parts = [part for part in (known, decisions[list(COLUMNS)]) if len(part)]
    put(file, pd.concat(parts).drop_duplicates("key", keep="last", ignore_index=True))


def read_decisions(run: Run) -> pd.DataFrame:
    """The decisions kept beside a run; empty without any.

    Raises
    ------
    InputError
        The file is damaged.
    """
    kept = get(run.beside(FILE_NAME), lambda table: table[list(COLUMNS)], "behave again")
    return pd.DataFrame(columns=list(COLUMNS)) if kept is None else kept


def with_decisions(tables: GraphTables, run: Run) -> GraphTables:
    """The graph of a run, with the ``DECIDES`` kept beside it."""
    kept = read_decisions(run)
    if kept.empty:
        return tables
    return merge_tables([tables, decision_tables(run, scenario_table(kept))])


def lacking_decisions(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Runs whose kept decisions differ from those in the graph."""
    kept = [(run, read_decisions(run)) for run in runs if _has(run)]
    if not kept:
        return []
    try:
        rows = store.query(
            "MATCH (v:Variant)-[e:DECIDES]->(s:Scenario)"
            " RETURN e.run AS run, s.name AS name, e.n AS n, e.p AS p"
        )
    except UsageError:  # a graph file made before there were scenarios
        return [run for run, _ in kept]
    there = {
        run: {*zip(own["name"], own["n"], own["p"], strict=True)}
        for run, own in rows.groupby("run")
    }
    return [run for run, table in kept if there.get(run.id) != _held(table)]


def _has(run: Run) -> bool:
    file = run.beside(FILE_NAME)
    return file is not None and file.is_file()


def _held(kept: pd.DataFrame) -> set[tuple]:
    table = scenario_table(kept)
    return {*zip(table["scenario"], table["n"], table["p"], strict=True)}
