"""What the Neo4j store writes: the statements, the batches, and their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Protocol

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS, RUN_EDGES
from circuitgraph.store.frames import plain_rows
from circuitgraph.store.tables import GraphTables
from circuitgraph.store.transfers import not_there, transfers_in

BATCH = 10_000
"""Rows of one transaction: enough to pay for it, and well within a small server's memory."""

_OWNED = ("Run", "Diff")
"""Labels that are whole or not there; until then they are called ``Unfinished…``."""


class Write(Protocol):
    """Runs a statement in a transaction of its own and returns the values it answers."""

    def __call__(self, cypher: str, **parameters: Any) -> list[list[Any]]: ...


def schema() -> dict[str, str]:
    """Statements of the schema file by the name of the constraint or index they make."""
    text = resources.files("circuitgraph.store.schema").joinpath("neo4j.cypher").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    statements = [part.strip() for part in code.split(";") if part.strip()]
    return {statement.split()[2]: statement for statement in statements}


def write_part(write: Write, tables: GraphTables, replace: bool) -> None:
    """Write the runs and diffs of one part.

    Parameters
    ----------
    write : Write
        Of the store, with the lock held.
    tables : GraphTables
        Checked for repeated keys.
    replace : bool
        False does nothing where all runs and diffs of the part are there.

    Raises
    ------
    UsageError
        A relationship refers to a node that is neither in the graph nor in the part.
    """
    lacking = (_missing(write, label, set(tables.ids(label))) for label in _OWNED)
    if not replace and not any(lacking) and not transfers_in(tables):
        return
    _refuse_dangling(write, tables)
    for label in _OWNED:
        _begin(write, label, tables.ids(label))
    for label in ("Variant", "Component", "Scenario"):
        if label in tables.nodes:
            _merge_nodes(write, label, tables.nodes[label])
    for kind in (kind for kind in ENDS if kind != "COMPARES" and kind in tables.rels):
        _merge_rels(write, kind, tables.rels[kind])
    if "Run" in tables.nodes:
        _finish(write, "Run", tables.nodes["Run"])
    if "COMPARES" in tables.rels:
        _merge_rels(write, "COMPARES", tables.rels["COMPARES"])
    if "Diff" in tables.nodes:
        _finish(write, "Diff", tables.nodes["Diff"])


def remove_variant(write: Write, name: str) -> int:
    """Remove a variant with its runs and their diffs; returns the number of runs.

    The variant's own node goes last, so that the same call again finishes the work.
    """
    rows = write(
        "MATCH (r:Run|UnfinishedRun)-[:OF]->(:Variant {name: $name})"
        " OPTIONAL MATCH (d:Diff|UnfinishedDiff)-[:COMPARES]->(r) RETURN r.id, d.id",
        name=name,
    )
    owned = {
        "Diff": sorted({diff for _, diff in rows if diff is not None}),
        "Run": sorted({run for run, _ in rows}),
    }
    for label, ids in owned.items():
        _begin(write, label, ids)
        write(f"UNWIND $ids AS id MATCH (x:Unfinished{label} {{id: id}}) DETACH DELETE x", ids=ids)
    _delete(write, "()-[e:TRANSFERS]->() WHERE e.source_variant = $id", name)
    write("MATCH (v:Variant {name: $name})-[e:DECIDES]->() DELETE e", name=name)
    write("MATCH (c:Component|Scenario) WHERE NOT EXISTS { (c)--() } DELETE c")
    write("MATCH (v:Variant {name: $name}) DETACH DELETE v", name=name)
    return len(owned["Run"])


def _missing(write: Write, label: str, ids: set[str]) -> set[str]:
    """Those of the ids that no node of the graph has."""
    lacking = set(ids)
    for some in _batches(sorted(ids)):
        cypher = f"UNWIND $ids AS id MATCH (x:{label} {{id: id}}) RETURN x.id"
        lacking -= {found for (found,) in write(cypher, ids=some)}
    return lacking


def _refuse_dangling(write: Write, tables: GraphTables) -> None:
    """A row whose end does not exist would be left out without a word."""
    lacking = _missing(write, "Run", {run for run, _ in transfers_in(tables)})
    if lacking:
        raise UsageError(not_there("run", lacking))
    for kind, frame in tables.rels.items():
        for column, label in zip(("start", "end"), ENDS[kind], strict=True):
            wanted = set(frame[column]) - set(tables.ids(label))
            lacking = _missing(write, label, wanted)
            if lacking:
                raise UsageError(not_there(label, lacking))


def _begin(write: Write, label: str, ids: Sequence[str]) -> None:
    """Take runs or diffs out of sight, and remove the relationships they own."""
    relabelled = write(
        f"UNWIND $ids AS id OPTIONAL MATCH (x:{label} {{id: id}})"
        f" FOREACH (y IN CASE WHEN x IS NULL THEN [] ELSE [x] END |"
        f" SET y:Unfinished{label} REMOVE y:{label})"
        f" MERGE (z:Unfinished{label} {{id: id}})"
        f" ON CREATE SET z.name = 'unfinished', z.fresh = true"
        f" WITH id, z, z.fresh AS fresh SET z.fresh = null RETURN id, fresh",
        ids=list(ids),
    )
    for owner, fresh in relabelled:
        if not fresh:
            for pattern in _owned_by(label):
                _delete(write, pattern, owner)


def _owned_by(label: str) -> list[str]:
    """Patterns of the relationships ``e`` that belong to the run or diff ``$id``."""
    if label == "Diff":
        return [
            "()-[e:REWIRED]->() WHERE e.diff = $id",
            "(x:UnfinishedDiff)-[e:COMPARES|CHANGED]->() WHERE x.id = $id",
        ]
    owned = [f"()-[e:{kind}]->() WHERE e.run = $id" for kind in RUN_EDGES]
    return [*owned, "(x:UnfinishedRun)-[e:OF|MEASURES]->() WHERE x.id = $id"]


def _delete(write: Write, pattern: str, owner: str) -> None:
    cypher = f"MATCH {pattern} WITH e LIMIT $batch DELETE e RETURN count(e)"
    while write(cypher, id=owner, batch=BATCH) != [[0]]:
        pass


def _merge_nodes(write: Write, label: str, frame: pd.DataFrame) -> None:
    names = list(NODES[label])
    cypher = (
        f"UNWIND $rows AS row MERGE (x:{label} {{id: row[0]}}) SET {_assigned('x', names[1:], 1)}"
    )
    for rows in _row_batches(frame.sort_values("id"), names):
        write(cypher, rows=rows)


def _merge_rels(write: Write, kind: str, frame: pd.DataFrame) -> None:
    """Relationships in order of their ends: the server finds its pages in its cache."""
    properties = RELATIONSHIPS[kind]
    identity = [name for name in ("key", "side") if name in properties]
    constant = {
        name: frame[name].iloc[0]
        for name in ("run", "variant", "source_variant", "diff", "a", "b", "lens", "scope")
        if len(frame) and name in properties and frame[name].nunique(dropna=False) == 1
    }
    rest = [name for name in properties if name not in identity and name not in constant]
    names = ["start", "end", *identity, *rest]
    cypher = _merge_statement(kind, identity, constant, rest)
    for rows in _row_batches(frame.sort_values(names[: 2 + len(identity)]), names):
        write(cypher, rows=rows, **constant)


def _merge_statement(
    kind: str, identity: Sequence[str], constant: Mapping[str, Any], rest: Sequence[str]
) -> str:
    start, end = (_while_writing(kind, label) for label in ENDS[kind])
    known = ", ".join(f"{name}: row[2]" for name in identity)
    assigned = [f"e.`{name}` = ${name}" for name in constant]
    if rest:
        assigned.append(_assigned("e", rest, 2 + len(identity)))
    return (
        f"UNWIND $rows AS row MATCH (s:{start} {{id: row[0]}}) MATCH (t:{end} {{id: row[1]}})"
        f" MERGE (s)-[e:{kind}{' {' + known + '}' if known else ''}]->(t)"
        + (f" SET {', '.join(assigned)}" if assigned else "")
    )


def _while_writing(kind: str, label: str) -> str:
    """The label an end wears at that time: runs are whole before diffs compare them."""
    own = label in _OWNED and not (kind == "COMPARES" and label == "Run")
    return f"Unfinished{label}" if own else label


def _finish(write: Write, label: str, frame: pd.DataFrame) -> None:
    """Give runs or diffs their properties and their own label, all at once."""
    names = list(NODES[label])
    write(
        f"UNWIND $rows AS row MATCH (x:Unfinished{label} {{id: row[0]}})"
        f" SET x:{label}, {_assigned('x', names[1:], 1)} REMOVE x:Unfinished{label}",
        rows=plain_rows(frame, names),
    )


def _assigned(variable: str, names: Sequence[str], first: int) -> str:
    """Assignments of properties from the cells of ``row``, counted from ``first``."""
    return ", ".join(f"{variable}.`{name}` = row[{i}]" for i, name in enumerate(names, first))


def _row_batches(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[list[list[Any]]]:
    for begin in range(0, len(frame), BATCH):
        yield plain_rows(frame.iloc[begin : begin + BATCH], names)


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), BATCH):
        yield items[begin : begin + BATCH]
