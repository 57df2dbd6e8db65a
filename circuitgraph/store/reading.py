"""Read graphs from any store as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS, RUN_EDGES
from circuitgraph.store.frames import from_arrow, to_arrow
from circuitgraph.store.tables import GraphTables
from circuitgraph.store.transfers import Transfer

Ask = Callable[[str, Mapping[str, Any]], pd.DataFrame]
"""Answers a Cypher statement with its parameters."""


def read_all(ask: Ask) -> GraphTables:
    """The whole graph as sorted tables, equal for equal graphs.

    What belongs to no whole run or diff is left out: relationships of unfinished ones,
    variants without a run, components and scenarios without a relationship.
    """
    nodes = {label: _nodes(ask, label, "") for label in NODES}
    rels = {kind: _rels(ask, kind, "") for kind in ENDS}
    for kind in RUN_EDGES:
        rels[kind] = _only(rels[kind], "run", nodes["Run"])
    rels["REWIRED"] = _only(rels["REWIRED"], "diff", nodes["Diff"])
    for label in ("Variant", "Component", "Scenario"):
        known = nodes[label]["id"].isin(_touched(rels, label))
        nodes[label] = nodes[label][known].reset_index(drop=True)
    return GraphTables(nodes, rels)


def read_run(ask: Ask, run: str) -> GraphTables:
    """One run with its variant, components and measurements.

    Raises
    ------
    UsageError
        The graph does not hold it.
    """
    key = {"id": run}
    nodes = {"Run": _nodes(ask, "Run", " WHERE x.id = $id", key)}
    if nodes["Run"].empty:
        raise UsageError(f"run {run[:12]} is not in the graph")
    rels = {kind: _rels(ask, kind, " WHERE a.id = $id", key) for kind in ("OF", "MEASURES")}
    rels |= {kind: _rels(ask, kind, " WHERE e.run = $id", key) for kind in RUN_EDGES}
    nodes |= {label: _ends(ask, rels, label) for label in ("Variant", "Component", "Scenario")}
    return GraphTables({k: v for k, v in nodes.items() if len(v)}, _filled(rels))


def read_diff(ask: Ask, diff: str) -> GraphTables:
    """One diff with its claims, their components, and the runs it compares by id.

    Raises
    ------
    UsageError
        The graph does not hold it.
    """
    key = {"id": diff}
    nodes = {"Diff": _nodes(ask, "Diff", " WHERE x.id = $id", key)}
    if nodes["Diff"].empty:
        raise UsageError(f"diff {diff[:12]} is not in the graph")
    rels = {
        "COMPARES": _rels(ask, "COMPARES", " WHERE a.id = $id", key),
        "REWIRED": _rels(ask, "REWIRED", " WHERE e.diff = $id", key),
        "CHANGED": _rels(ask, "CHANGED", " WHERE a.id = $id", key),
    }
    nodes["Component"] = _ends(ask, rels, "Component")
    return GraphTables(nodes, _filled(rels))


def read_pairs(ask: Ask) -> list[Transfer]:
    """Run and source variant of all transfers of whole runs, sorted."""
    rows = ask(
        "MATCH ()-[e:TRANSFERS]->() MATCH (r:Run) WHERE r.id = e.run"
        " RETURN DISTINCT e.run AS run, e.source_variant AS source",
        {},
    )
    return sorted(zip(rows["run"], rows["source"], strict=True))


def count_transfers(ask: Ask) -> dict[Transfer, int]:
    """How many transfers there are by run and source variant."""
    rows = ask(
        "MATCH ()-[e:TRANSFERS]->()"
        " RETURN e.run AS run, e.source_variant AS source, count(e) AS n ORDER BY run, source",
        {},
    )
    return dict(zip(zip(rows["run"], rows["source"], strict=True), rows["n"], strict=True))


def read_transfers(ask: Ask, transfer: Transfer) -> GraphTables:
    """Transfers into one run from one source variant, with components."""
    run, source = transfer
    where = " WHERE e.run = $run AND e.source_variant = $source"
    rels = {"TRANSFERS": _rels(ask, "TRANSFERS", where, {"run": run, "source": source})}
    return GraphTables({"Component": _ends(ask, rels, "Component")}, rels)


def _touched(rels: Mapping[str, pd.DataFrame], label: str) -> set[str]:
    """Ids of the nodes with a label at which a relationship begins or ends."""
    ids: set[str] = set()
    for kind, frame in rels.items():
        for column, end in zip(("start", "end"), ENDS[kind], strict=True):
            ids |= set(frame[column]) if end == label else set()
    return ids


def _ends(ask: Ask, rels: Mapping[str, pd.DataFrame], label: str) -> pd.DataFrame:
    ids = sorted(_touched(rels, label))
    # ladybug gives an empty list no type, so an impossible id stands in for none.
    return _nodes(ask, label, " WHERE x.id IN $ids", {"ids": ids or [""]})


def _filled(rels: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {kind: frame for kind, frame in rels.items() if len(frame)}


def _only(rels: pd.DataFrame, owner: str, nodes: pd.DataFrame) -> pd.DataFrame:
    return rels[rels[owner].isin(set(nodes["id"]))].reset_index(drop=True)


def _nodes(
    ask: Ask, label: str, where: str, parameters: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    columns = NODES[label]
    wanted = ", ".join(f"x.`{name}` AS `{name}`" for name in columns)
    rows = ask(f"MATCH (x:{label}){where} RETURN {wanted}", parameters or {})
    return _sorted(rows, columns, ["id"])


def _rels(
    ask: Ask, kind: str, where: str, parameters: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    start, end = ENDS[kind]
    columns = {"start": "string", "end": "string", **RELATIONSHIPS[kind]}
    wanted = ", ".join(
        ["a.id AS `start`", "b.id AS `end`"]
        + [f"e.`{name}` AS `{name}`" for name in RELATIONSHIPS[kind]]
    )
    rows = ask(f"MATCH (a:{start})-[e:{kind}]->(b:{end}){where} RETURN {wanted}", parameters or {})
    return _sorted(rows, columns, ["start", "end", *({"key", "side"} & columns.keys())])


def _sorted(rows: pd.DataFrame, columns: Mapping[str, str], by: list[str]) -> pd.DataFrame:
    """Sort rows and convert them to the types of the schema."""
    typed = from_arrow(to_arrow(rows, columns))
    return typed.sort_values(by, ignore_index=True)
