"""The embedded store: one ladybug file in the workspace."""

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import ladybug
import pandas as pd

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS, RUN_EDGES
from circuitgraph.store.embedded_file import (
    Reader,
    has_newest_column,
    opened,
    reason,
    refused,
    schema,
)
from circuitgraph.store.frames import from_arrow, plain_rows, to_arrow
from circuitgraph.store.protocol import Store, check_parameters
from circuitgraph.store.reading import read_all, read_pairs
from circuitgraph.store.statements import reading
from circuitgraph.store.swap import replacing
from circuitgraph.store.tables import GraphTables, merge_tables
from circuitgraph.store.transfers import Transfer, not_there, transfers_in

FILE_NAME = "graph.lbug"

_SLICE = 500_000
"""Rows of one COPY: what a transaction holds must fit the buffer pool."""


class EmbeddedStore(Store):
    """The graph of a workspace in one ladybug file.

    The file is opened for each call and closed straight after; in a ``with`` statement it stays
    open between questions until somebody replaces it. A write copies it, works on the copy, and
    puts it in place when whole, so that a reader sees the graph before or after a write and never
    waits. A file that does not exist is an empty graph.

    Parameters
    ----------
    path : path
        The file.
    timeout : float
        Seconds a write waits for another process that writes.
    """

    dialect: ClassVar[str] = "embedded"

    def __init__(self, path: str | Path, *, timeout: float = 600.0) -> None:
        self.path = Path(path)
        self.timeout = timeout
        self._reader: Reader | None = None

    def __enter__(self) -> Self:
        self._reader = self._reader or Reader(self.path)
        return self

    def close(self) -> None:
        """Close the file."""
        if self._reader:
            self._reader.close()
            self._reader = None

    def write_all(self, parts: Sequence[GraphTables], *, replace: bool = True) -> None:
        """Write several runs and diffs at once.

        ladybug orders relationships by their start, so every load costs time in
        proportion to the whole graph: ten runs at once cost little more than one.

        Parameters
        ----------
        parts : sequence of GraphTables
            In any order.
        replace : bool
            False leaves parts alone all of whose runs, diffs and transfers are there already.

        Raises
        ------
        InputError
            A run, diff or key appears twice; or the file cannot be written.
        UsageError
            A run of a diff or transfer is neither in the graph nor among the parts.
        """
        if not parts:
            return
        tables = merge_tables(parts)
        with self._writing(tables) as connection:
            if not replace:
                tables = merge_tables([part for part in parts if not _there(connection, part)])
            _delete_edges(connection, tables.ids("Run"), tables.ids("Diff"))
            _delete_transfers(connection, transfers_in(tables))
            _load(connection, tables)

    def write_anew(self, parts: Sequence[GraphTables]) -> None:
        """Replace the file and ladybug's side files by a graph of these parts.

        The file may be damaged; it stays as it is until the new one is whole.
        """
        tables = merge_tables(parts) if parts else None
        with self._writing(tables, anew=True) as connection:
            if tables:
                _load(connection, tables)

    def remove_variant(self, name: str) -> int:
        """Remove a variant, its runs, every diff that compares one of them, and transfers.

        Components that no relationship touches afterwards go with them.

        Returns
        -------
        int
            Number of runs removed; 0 where no variant has this name.
        """
        if name not in set(self.query("MATCH (v:Variant) RETURN v.name AS name")["name"]):
            return 0
        with self._writing() as connection:
            runs, diffs = _owned(connection, name)
            _delete_edges(connection, runs, diffs)
            given = "MATCH ()-[e:TRANSFERS]->() WHERE e.source_variant = $name DELETE e"
            _run(connection, given, {"name": name})
            _delete_nodes(connection, name, runs, diffs)
        return len(runs)

    def read_all(self) -> GraphTables:
        """The whole graph as sorted tables, equal for equal graphs."""
        with self._reading() as connection:
            return read_all(functools.partial(_ask, connection))

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
    ) -> pd.DataFrame:
        """Result of one Cypher statement.

        Parameters
        ----------
        cypher : str
            One statement; values that come from users belong into parameters.
        parameters : mapping, optional
            Value of every ``$name`` in the statement.
        read_only : bool
            False lets the statement change the graph.

        Returns
        -------
        DataFrame
            One row a record. Nodes and relationships are dicts.

        Raises
        ------
        UsageError
            The statement may do more than read, ladybug does not accept it, or a parameter
            has no value.
        InputError
            The file cannot be opened.
        """
        given = dict(parameters or {})
        check_parameters(cypher, given)
        if read_only:
            with self._reading() as connection:
                return _ask(connection, reading(cypher), given)
        with self._writing() as connection:
            return _ask(connection, cypher, given)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[ladybug.Connection]:
        if not self.path.exists():
            with opened(":memory:", self.path) as connection:
                connection.execute(schema())
                yield connection
            return
        with self._opened() as connection:
            if has_newest_column(connection):
                yield connection
                return
        with contextlib.suppress(InputError), self._writing():
            pass  # a file made before gains the columns, where it may be written
        with self._opened() as connection:
            yield connection

    def _opened(self) -> contextlib.AbstractContextManager[ladybug.Connection]:
        if self._reader:
            return self._reader.connection()
        return opened(str(self.path), self.path, read_only=True)

    @contextlib.contextmanager
    def _writing(
        self, tables: GraphTables | None = None, *, anew: bool = False
    ) -> Iterator[ladybug.Connection]:
        rows = tables.rows if tables else 0
        with (
            replacing(self.path, self.timeout, anew=anew, rows=rows) as copy,
            opened(str(copy), self.path, rows=rows) as connection,
        ):
            _run(connection, schema())
            yield connection
            _run(connection, "CHECKPOINT")


def _ask(
    connection: ladybug.Connection, cypher: str, parameters: Mapping[str, Any]
) -> pd.DataFrame:
    try:
        result = connection.execute(cypher, dict(parameters))
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, UnicodeDecodeError) or "Storage exception" in str(error):
            raise  # the file is at fault, whatever is asked of it
        why = refused(connection, cypher, error)
        raise UsageError(f"the graph does not accept this query: {why}") from error
    if isinstance(result, list):
        raise UsageError("give one statement at a time: the query holds several")
    if not result.get_column_names():
        return pd.DataFrame()
    return from_arrow(result.get_as_arrow())


def _run(
    connection: ladybug.Connection, cypher: str, parameters: Mapping[str, Any] | None = None
) -> None:
    """Run an internal statement; a failure means a damaged file."""
    try:
        connection.execute(cypher, dict(parameters or {}))
    except RuntimeError as error:
        if "IO exception: Cannot" in str(error):  # ladybug blames whatever went wrong before
            raise OSError(errno.ENOSPC, "no space left, or files may not grow") from error
        raise InputError(f"the graph cannot be written: {reason(error)}") from error


def _existing(connection: ladybug.Connection, label: str, ids: Iterable[str]) -> set[str]:
    """Ids that exist among nodes of the graph."""
    wanted = sorted(set(ids))
    if not wanted:  # ladybug gives an empty list no type
        return set()
    cypher = f"MATCH (x:{label}) WHERE x.id IN $ids RETURN x.id AS id"
    return set(_ask(connection, cypher, {"ids": wanted})["id"])


def _there(connection: ladybug.Connection, part: GraphTables) -> bool:
    nodes = all(
        _existing(connection, label, part.ids(label)) == set(part.ids(label))
        for label in ("Run", "Diff")
    )
    wanted = transfers_in(part)
    return nodes and (not wanted or wanted <= set(read_pairs(functools.partial(_ask, connection))))


def _owned(connection: ladybug.Connection, variant: str) -> tuple[list[str], list[str]]:
    """Ids of a variant's runs, and of the diffs that compare one of them."""
    rows = _ask(
        connection,
        "MATCH (r:Run)-[:OF]->(v:Variant) WHERE v.name = $name"
        " OPTIONAL MATCH (d:Diff)-[:COMPARES]->(r) RETURN r.id AS run, d.id AS diff",
        {"name": variant},
    )
    return sorted(set(rows["run"])), sorted(set(rows["diff"].dropna()))


def _delete_nodes(
    connection: ladybug.Connection, variant: str, runs: list[str], diffs: list[str]
) -> None:
    """Delete a variant, runs and diffs, then unconnected components and scenarios."""
    for label, ids in (("Diff", diffs), ("Run", runs)):
        if ids:
            _run(connection, f"MATCH (x:{label}) WHERE x.id IN $ids DELETE x", {"ids": ids})
    _run(connection, "MATCH (v:Variant) WHERE v.name = $name DELETE v", {"name": variant})
    orphan = "NOT EXISTS { MATCH (c)-[]-() }"
    for label in ("Component", "Scenario"):
        _run(connection, f"MATCH (c:{label}) WHERE {orphan} DELETE c")


def _delete_edges(connection: ladybug.Connection, runs: list[str], diffs: list[str]) -> None:
    """Delete all relationships that belong to runs and diffs; their nodes stay."""
    runs = sorted(_existing(connection, "Run", runs))
    diffs = sorted(_existing(connection, "Diff", diffs))
    owned = [(f"()-[e:{kind}]->()", "e.run", runs) for kind in RUN_EDGES]
    owned += [(f"(r:Run)-[e:{kind}]->()", "r.id", runs) for kind in ("OF", "MEASURES")]
    owned += [("()-[e:REWIRED]->()", "e.diff", diffs)]
    owned += [(f"(d:Diff)-[e:{kind}]->()", "d.id", diffs) for kind in ("COMPARES", "CHANGED")]
    for pattern, owner, ids in owned:
        if ids:
            _run(connection, f"MATCH {pattern} WHERE {owner} IN $ids DELETE e", {"ids": ids})


def _delete_transfers(connection: ladybug.Connection, transfers: Iterable[Transfer]) -> None:
    """Delete transfers between existing runs and their sources."""
    wanted = sorted(transfers)
    lacking = {run for run, _ in wanted} - _existing(connection, "Run", [run for run, _ in wanted])
    if lacking:
        raise UsageError(not_there("run", lacking))
    for run, source in wanted:
        cypher = "MATCH ()-[e:TRANSFERS]->() WHERE e.run = $run AND e.source_variant = $source"
        _run(connection, f"{cypher} DELETE e", {"run": run, "source": source})


def _load(connection: ladybug.Connection, tables: GraphTables) -> None:
    for label in NODES:
        if label in tables.nodes:
            _load_nodes(connection, label, tables.nodes[label])
    for kind in ENDS:
        if kind in tables.rels:
            _load_rels(connection, kind, tables.rels[kind])


def _load_nodes(connection: ladybug.Connection, label: str, frame: pd.DataFrame) -> None:
    """Load missing nodes, and update properties of existing ones.

    A component's properties follow from its id, so there is nothing to set.
    """
    there = frame["id"].isin(_existing(connection, label, frame["id"]))
    _copy(connection, label, frame[~there], NODES[label])
    if label == "Component":
        return
    assign = ", ".join(f"x.{name} = ${name}" for name in NODES[label] if name != "id")
    for row in plain_rows(frame[there], list(NODES[label])):
        values = dict(zip(NODES[label], row, strict=True))
        _run(connection, f"MATCH (x:{label} {{id: $id}}) SET {assign}", values)


def _load_rels(connection: ladybug.Connection, kind: str, frame: pd.DataFrame) -> None:
    for column, label in zip(("start", "end"), ENDS[kind], strict=True):
        wanted = set(frame[column])
        lacking = wanted - _existing(connection, label, wanted)
        if lacking:
            raise UsageError(not_there(label, lacking))
    columns = {"start": "string", "end": "string", **RELATIONSHIPS[kind]}
    _copy(connection, kind, frame, columns)


def _copy(
    connection: ladybug.Connection, table: str, frame: pd.DataFrame, columns: Mapping[str, str]
) -> None:
    for begin in range(0, len(frame), _SLICE):
        rows = to_arrow(frame.iloc[begin : begin + _SLICE], columns)
        _run(connection, f"COPY {table} FROM $rows", {"rows": rows})
