"""Composition scores of a variant: kept beside one of its runs, and as relationships of it.

They need no prompts, but everything in a graph belongs to a run: with it they are pushed,
pulled and removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError
from circuitgraph.base.frames import write_parquet
from circuitgraph.runs.record import Run
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import (
    GraphTables,
    component_id,
    component_rows,
    merge_tables,
    node_table,
    rel_table,
)

FILE_NAME = "composition.parquet"
COLUMNS = ("source", "target", "input", "weight")


def keep_composition(run: Run, table: pd.DataFrame) -> None:
    """Write a variant's scores, columns :data:`COLUMNS`, into a run's folder."""
    if run.path is not None:
        write_parquet(table[list(COLUMNS)], run.path / FILE_NAME)


def has_composition(run: Run) -> bool:
    """Whether scores are kept beside a run."""
    return run.path is not None and (run.path / FILE_NAME).is_file()


def read_composition(run: Run) -> pd.DataFrame:
    """The scores kept beside a run; no rows where there are none.

    Raises
    ------
    InputError
        The file is damaged.
    """
    if not has_composition(run):
        return pd.DataFrame(columns=list(COLUMNS))
    file = (run.path or Path()) / FILE_NAME
    try:
        return pd.read_parquet(file, columns=list(COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); remove it and compose again"
        ) from error


def with_composition(tables: GraphTables, run: Run) -> GraphTables:
    """The graph of a run, with the ``COMPOSES`` kept beside it."""
    table = read_composition(run)
    if table.empty:
        return tables
    source, target, inputs = (table[name].tolist() for name in COLUMNS[:3])
    architecture = run.variant.architecture
    ids = {name: component_id(architecture, name) for name in dict.fromkeys(source + target)}
    columns = {
        "key": [
            digest("composes", run.id, s, t, i)
            for s, t, i in zip(source, target, inputs, strict=True)
        ],
        "run": run.id,
        "variant": run.variant.name,
        "input": inputs,
        "weight": table["weight"],
    }
    ends = [ids[name] for name in source], [ids[name] for name in target]
    composes = GraphTables(
        nodes={"Component": node_table("Component", component_rows(architecture, ids))},
        rels={"COMPOSES": rel_table("COMPOSES", *ends, columns)},
    )
    return merge_tables([tables, composes])


def lacking_composition(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Those of the runs whose kept scores the graph does not hold."""
    kept = [run for run in runs if has_composition(run)]
    if not kept:
        return []
    rows = store.query("MATCH ()-[e:COMPOSES]->() RETURN DISTINCT e.run AS run")
    there = set(rows["run"])
    return [run for run in kept if run.id not in there]
