"""What every graph store can do, whatever database is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.store.reading import read_pairs
from circuitgraph.store.statements import parameter_names
from circuitgraph.store.tables import GraphTables
from circuitgraph.store.transfers import Transfer


class Store(Protocol):
    """A graph of variants, runs and diffs: write, remove, query.

    A run or diff is there whole or not at all: after an interrupted write ``run_ids``
    and ``diff_ids`` do not know it, and writing it again leaves no trace of the first
    attempt. Writing the same twice is writing it once.

    Attributes
    ----------
    dialect : str
        Its Cypher where stores differ: ``embedded`` or ``neo4j``.
    """

    dialect: ClassVar[str]

    def write_run(self, tables: GraphTables) -> None:
        """Write one run, replacing that of its id."""
        self.write_all([tables])

    def write_diff(self, tables: GraphTables) -> None:
        """Write one diff, in place of what is there under its id; its runs must be there."""
        self.write_all([tables])

    def write_all(self, parts: Sequence[GraphTables], *, replace: bool = True) -> None:
        """Write several runs, diffs and transfers, which is faster than one after another.

        Without ``replace`` parts the graph holds already are left alone: of several
        processes that write the same, one does.
        """

    def remove_variant(self, name: str) -> int:
        """Remove a variant, its runs, their diffs, and what it transfers to other variants.

        Returns the number of runs removed.
        """

    def run_ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        return list(self.query("MATCH (r:Run) RETURN r.id AS id ORDER BY id")["id"])

    def diff_ids(self) -> list[str]:
        """Ids of all diffs, sorted."""
        return list(self.query("MATCH (d:Diff) RETURN d.id AS id ORDER BY id")["id"])

    def transfers(self) -> list[Transfer]:
        """Run and source variant of all transfers, sorted."""
        return read_pairs(self.query)

    def read_all(self) -> GraphTables:
        """The whole graph as sorted tables, equal for equal graphs."""

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
    ) -> pd.DataFrame:
        """Result of one Cypher statement, one row per record."""

    def close(self) -> None:
        """Close the database."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_parameters(cypher: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a query some of whose parameters have no value.

    ladybug would take a missing one as null and answer with no rows.

    Raises
    ------
    UsageError
        Naming the parameters.
    """
    missing = [name for name in parameter_names(cypher) if name not in parameters]
    if missing:
        names = ", ".join(missing)
        raise UsageError(f"the query needs a value for {names}; give ``param={missing[0]}=VALUE``")
