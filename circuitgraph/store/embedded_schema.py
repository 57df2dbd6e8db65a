"""The schema of the embedded store, and whether a file has all of it."""

from __future__ import annotations

from importlib import resources

import ladybug

NEWEST = ("TRANSFERS", "method")
"""The column that was added last: a file with it has all others, too."""


def schema() -> str:
    """The statements that make what a file lacks."""
    return resources.files("circuitgraph.store.schema").joinpath("embedded.cypher").read_text()


def has_newest_column(connection: ladybug.Connection) -> bool:
    """Whether a graph file was made, or written to, by this version."""
    table, column = NEWEST
    found = connection.execute(f"CALL table_info('{table}') RETURN name")
    assert not isinstance(found, list)
    return [column] in found.get_all()
