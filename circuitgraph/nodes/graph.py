"""Measures of components as relationships: ``MEASURES`` of a run, ``CHANGED`` of a diff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.nodes.compare import NodeDiff
from circuitgraph.nodes.entry import table_of
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.values import LABELLED, kept_labels, kept_values
from circuitgraph.runs.record import Run
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import (
    GraphTables,
    compares,
    components,
    merge_tables,
    node_table,
    rel_table,
)

IN_GRAPH = tuple(name for name in MEASURES if name != "activity")
"""Measures in a run's graph once measured. Activity is stored with the run itself."""


def with_measures(tables: GraphTables, run: Run) -> GraphTables:
    """The graph of a run, with the measures of its components kept beside it."""
    parts = [tables, *_parts(run)]
    return merge_tables(parts) if len(parts) > 1 else tables


def _parts(run: Run) -> Iterator[GraphTables]:
    for name in IN_GRAPH:
        for label, found in kept_values(run, name).items():
            table = table_of(run, MEASURES[name], found)
            yield _measured(run, name, _labelled(table, label))


def _labelled(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Prefix categories of a probe with the label it predicts: ``label``, ``label shuffled`` …"""
    if not label:
        return table
    names = [f"{label} {category}".rstrip() for category in table["category"]]
    return table.assign(category=names)


def _measured(run: Run, measure: str, table: pd.DataFrame) -> GraphTables:
    names = table["component"].tolist()
    ids, nodes = components(run.variant.architecture, names)
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
        nodes={"Component": nodes},
        rels={"MEASURES": rel_table("MEASURES", [run.id] * len(ends), ends, columns)},
    )


def lacking_measures(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Runs with kept measures that are missing in the graph."""
    wanted = {}
    for run in runs:
        kept = {(name, label) for name in IN_GRAPH for label in kept_labels(run, name)}
        if kept:
            wanted[run.id] = run, kept
    if not wanted:
        return []
    rows = store.query(
        "MATCH (r:Run)-[e:MEASURES]->() RETURN DISTINCT r.id AS run, e.measure AS measure,"
        " CASE WHEN e.measure IN $labelled THEN e.category ELSE '' END AS label",
        {"labelled": list(LABELLED)},
    )
    there = {
        run: set(zip(own["measure"], own["label"], strict=True)) for run, own in rows.groupby("run")
    }
    return [run for key, (run, kept) in wanted.items() if not kept <= there.get(key, set())]


def changed_tables(diff: NodeDiff) -> GraphTables:
    """Graph tables of a comparison's claims; its runs must be in the graph already."""
    runs_a, runs_b = diff.runs
    label = str(diff.summary.get("facts", {}).get("label", ""))
    claims = _labelled(diff.claims.drop_duplicates(["component", "category"]), label)
    names = claims["component"].tolist()
    ids, nodes = components(runs_a[0].variant.architecture, names)
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
            "Component": nodes,
        },
        rels={
            "COMPARES": compares(diff.id, runs_a, runs_b),
            "CHANGED": rel_table(
                "CHANGED", [diff.id] * len(names), [ids[name] for name in names], columns
            ),
        },
    ).checked()
