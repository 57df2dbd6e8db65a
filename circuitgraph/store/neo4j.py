"""The graph in a Neo4j server, for graphs that many people browse.

A run or diff being written wears the label ``UnfinishedRun`` or ``UnfinishedDiff``; one
transaction at the end turns it into ``Run`` or ``Diff``. So every query sees whole runs
only, whenever a client or the server is killed, and the next write of the same run
removes what the first attempt left. Writers take turns by a lock that the server
releases when its holder's connection ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

import neo4j
import pandas as pd
from neo4j.exceptions import ClientError, DriverError, IncompleteCommit, Neo4jError

from circuitgraph.base.errors import StoreUnreachable
from circuitgraph.store import neo4j_write
from circuitgraph.store.address import Address
from circuitgraph.store.connection import connect, told
from circuitgraph.store.frames import from_records
from circuitgraph.store.protocol import Store, check_parameters
from circuitgraph.store.reading import read_all
from circuitgraph.store.statements import reading
from circuitgraph.store.tables import GraphTables, merge_tables
from circuitgraph.store.transfers import transfers_in

T = TypeVar("T")

_TRIES = 3
_LOCK = "MERGE (w:Writer {id: 'circuitgraph'})"
_WAITED_TOO_LONG = ("Terminated", "TimedOut", "LockClientStopped")


class _LostTurn(Exception):
    """The connection that holds the lock is gone: somebody else may be writing."""


class Neo4jStore(Store):
    """The graph in a database of a Neo4j server, version 5 or later, any edition.

    Parameters
    ----------
    address : Address
        Server, database and credentials.
    timeout : float
        Seconds one run or diff may take to write, waiting for other writers included.

    Raises
    ------
    StoreUnreachable
        Nobody answers within five seconds, or the credentials are refused.
    """

    dialect: ClassVar[str] = "neo4j"

    def __init__(self, address: Address, *, timeout: float = 3600.0) -> None:
        self.address = address
        self.timeout = timeout
        self._driver = connect(address)

    def close(self) -> None:
        """Let go of the server."""
        self._driver.close()

    def write_all(self, parts: Sequence[GraphTables], *, replace: bool = True) -> None:
        """Write several runs and diffs, one part after the other; each is whole or not there.

        Parameters
        ----------
        parts : sequence of GraphTables
            Runs before the diffs that compare them.
        replace : bool
            False leaves runs, diffs and transfers alone that the graph holds already.

        Raises
        ------
        InputError
            A run, diff or key appears twice.
        UsageError
            A run of a diff or transfer is neither in the graph nor in an earlier part.
        """
        merge_tables([GraphTables(part.nodes, {}) for part in parts])
        self._schema  # noqa: B018 also where nothing is left to write
        there = set() if replace else {*self.run_ids(), *self.diff_ids(), *self.transfers()}
        for part in parts:
            part.checked()
            owned = {*part.ids("Run"), *part.ids("Diff"), *transfers_in(part)}
            if replace or not there >= owned:
                self._in_turn(partial(neo4j_write.write_part, tables=part, replace=replace))

    def remove_variant(self, name: str) -> int:
        """Remove a variant; see :meth:`EmbeddedStore.remove_variant`."""
        if not len(self.query("MATCH (v:Variant {name: $name}) RETURN v.id", {"name": name})):
            return 0
        return self._in_turn(partial(neo4j_write.remove_variant, name=name))

    def read_all(self) -> GraphTables:
        """The whole graph as sorted tables, equal for equal graphs."""
        return read_all(self.query)

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
    ) -> pd.DataFrame:
        """Answer of one Cypher statement; see :meth:`EmbeddedStore.query`.

        Raises
        ------
        UsageError
            The statement may do more than read, Neo4j does not accept it, or a parameter has
            no value.
        StoreUnreachable
            The server does not answer.
        """
        given = dict(parameters or {})
        check_parameters(cypher, given)
        if read_only:
            return from_records(*self._read(reading(cypher), given))
        with told(self.address, asked=True), self._session() as session:
            return from_records(*session.execute_write(_answer, cypher, given))

    def _session(self, **options: Any) -> neo4j.Session:
        return self._driver.session(database=self.address.database, fetch_size=10_000, **options)

    def _read(self, cypher: str, parameters: Mapping[str, Any]) -> tuple[list[str], list[list]]:
        with (
            told(self.address, asked=True),
            self._session(default_access_mode=neo4j.READ_ACCESS) as session,
        ):
            return session.execute_read(_answer, cypher, parameters)

    def _in_turn(self, act: Callable[[neo4j_write.Write], T]) -> T:
        """Do something alone; from the start again if the lock was lost on the way.

        Everything a writer does may be done twice: rows are keyed, deletions find nothing.
        """
        self._schema  # noqa: B018 constraints must exist before the lock, which is one
        for _ in range(_TRIES):
            with contextlib.suppress(_LostTurn), told(self.address), self._lock() as write:
                return act(write)
        raise StoreUnreachable(
            f"{self.address.uri} lost the connection {_TRIES} times while it was written to; "
            "the same command again goes on where this one stopped"
        )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[neo4j_write.Write]:
        """The right to write, held by a transaction that is never committed."""
        with (
            self._session() as holder,
            contextlib.closing(holder.begin_transaction(timeout=self.timeout)) as turn,
            self._session() as session,
        ):
            self._wait_for(turn)

            def write(cypher: str, **parameters: Any) -> list[list[Any]]:
                try:
                    turn.run("RETURN 1").consume()
                except (DriverError, Neo4jError) as error:
                    raise _LostTurn from error
                return _written(session, cypher, parameters)

            yield write

    def _wait_for(self, turn: neo4j.Transaction) -> None:
        try:
            turn.run(_LOCK).consume()
        except Neo4jError as error:
            if not any(word in (error.code or "") for word in _WAITED_TOO_LONG):
                raise
            raise StoreUnreachable(
                f"{self.address.uri}: another process has been writing this graph for "
                f"{self.timeout:g} s; try again when it is done"
            ) from error

    @cached_property
    def _schema(self) -> None:
        """Constraints and indexes, made once a store and only where they are missing."""
        with told(self.address), self._session() as session:
            names = session.execute_read(_answer, "SHOW INDEXES YIELD name", {})[1]
            for name, statement in neo4j_write.schema().items():
                if [name] not in names:
                    _made(session, statement)
            session.execute_read(_answer, "CALL db.awaitIndexes(300)", {})


def _made(session: neo4j.Session, statement: str) -> None:
    """Run a statement of the schema; ``IF NOT EXISTS`` does not hold where two run it at once."""
    try:
        session.execute_write(_answer, statement, {})
    except ClientError as error:
        if "AlreadyExists" not in (error.code or ""):
            raise


def _answer(
    tx: neo4j.ManagedTransaction, cypher: str, parameters: Mapping[str, Any]
) -> tuple[list[str], list[list[Any]]]:
    result = tx.run(cypher, dict(parameters))
    return list(result.keys()), result.values()


def _written(session: neo4j.Session, cypher: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
    """One statement in one transaction, again where nobody knows whether it was committed."""
    for _ in range(_TRIES):
        with contextlib.suppress(IncompleteCommit):
            return session.execute_write(_answer, cypher, parameters)[1]
    raise _LostTurn
