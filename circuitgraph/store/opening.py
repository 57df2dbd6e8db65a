"""Which store a ``--store`` value means."""

from __future__ import annotations

from pathlib import Path

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.store.address import SCHEMES, Address, is_neo4j
from circuitgraph.store.embedded import FILE_NAME, EmbeddedStore
from circuitgraph.store.protocol import Store


def open_store(uri: str | None, workspace_path: str | Path) -> Store:
    """Open the graph store of a workspace.

    Parameters
    ----------
    uri : str or None
        None, "" or ``embedded`` for the file in the workspace; ``neo4j://host:port`` (or
        ``bolt``, either with ``+s`` or ``+ssc``) for a server; ``neo4j`` for ``NEO4J_URI``.
    workspace_path : path
        Folder of the workspace; need not exist.

    Raises
    ------
    UsageError
        No store is known by this name.
    StoreUnreachable
        The server does not answer within five seconds, or refuses the credentials.
    """
    if not uri or uri == "embedded":
        return EmbeddedStore(Path(workspace_path) / FILE_NAME)
    if is_neo4j(uri):
        from circuitgraph.store.neo4j import Neo4jStore  # and the driver

        return Neo4jStore(Address.from_environment(uri))
    if "@" in uri:
        raise UsageError("no such store; write it as neo4j://host:7687, without user or password")
    raise UsageError(
        f"no store is known as {quoted(uri, 80)}; leave ``store`` out for the embedded graph, or "
        f"give neo4j://host:7687 ({', '.join(SCHEMES)})"
    )
