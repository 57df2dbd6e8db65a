"""Measures of components as relationships: ``MEASURES`` of a run, ``CHANGED`` of a diff."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.nodes.compare import NodeDiff
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.single import table_of
from circuitgraph.nodes.values import has_values, kept_values
from circuitgraph.runs.record import Run
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import (
    GraphTables,
    compares,
    component_id,
    component_rows,
    merge_tables,
    node_table,
    rel_table,
)

IN_GRAPH = tuple(name for name in MEASURES if name not in ("activity", "probe"))
"""Measures in a run's graph once measured. Activity is stored with the run itself; a probe
depends on a label that the graph does not hold."""


def with_measures(tables: GraphTables, run: Run) -> GraphTables:
    """The graph of a run, with the measures of its components kept beside it."""
    found = {name: values for name in IN_GRAPH if (values := kept_values(run, name)) is not None}
    parts = [_measured(run, n, table_of(run, MEASURES[n], values)) for n, values in found.items()]
    return merge_tables([tables, *parts]) if parts else tables


def _measured(run: Run, measure: str, table: pd.DataFrame) -> GraphTables:
    names = table["component"].tolist()
    ids = {name: component_id(run.variant.architecture, name) for name in dict.fromkeys(names)}
    columns = {
        "key": [
            digest("measures", run.id, measure, name, category)
            for name, category in zip(names, table["category"], strict=True)
        ],
        "mean": table["value"],
        **{name: table[name] for name in ("measure", "category", "low", "high", "n")},
    }
    ends = [ids[name] for name in names]
    return GraphTables(
        nodes={"Component": node_table("Component", component_rows(run.variant.architecture, ids))},
        rels={"MEASURES": rel_table("MEASURES", [run.id] * len(ends), ends, columns)},
    )


def lacking_measures(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Runs with kept measures that are missing in the graph."""
    kept = {run.id: (run, {name for name in IN_GRAPH if has_values(run, name)}) for run in runs}
    wanted = {key: own for key, own in kept.items() if own[1]}
    if not wanted:
        return []
    rows = store.query(
        "MATCH (r:Run)-[e:MEASURES]->() RETURN DISTINCT r.id AS run, e.measure AS measure"
    )
    there = {run: set(own["measure"]) for run, own in rows.groupby("run")}
    return [run for key, (run, names) in wanted.items() if not names <= there.get(key, set())]


def changed_tables(diff: NodeDiff) -> GraphTables:
    """Graph tables of a comparison's claims; its runs must be in the graph already."""
    runs_a, runs_b = diff.runs
    architecture = runs_a[0].variant.architecture
    claims = diff.claims.drop_duplicates(["component", "category"])
    names = claims["component"].tolist()
    ids = {name: component_id(architecture, name) for name in dict.fromkeys(names)}
    columns = {
        "key": [
            digest("changed", diff.id, name, category)
            for name, category in zip(names, claims["category"], strict=True)
        ],
        **{name: claims[name] for name in ("measure", "category", "value_a", "value_b", "change")},
        **{name: claims[name] for name in ("low", "high", "p", "q", "verdict")},
    }
    return GraphTables(
        nodes={
            "Diff": node_table("Diff", [diff.row]),
            "Component": node_table("Component", component_rows(architecture, ids)),
        },
        rels={
            "COMPARES": compares(diff.id, runs_a, runs_b),
            "CHANGED": rel_table(
                "CHANGED", [diff.id] * len(names), [ids[name] for name in names], columns
            ),
        },
    ).checked()
