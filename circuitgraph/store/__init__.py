"""Graph stores behind one protocol: embedded file and Neo4j."""

from circuitgraph.store.copying import Copied, copy_graph
from circuitgraph.store.embedded import FILE_NAME, EmbeddedStore
from circuitgraph.store.kept import (
    graph_file,
    keep_tables,
    kept_tables,
    read_tables,
    salvaged,
    tables_of,
)
from circuitgraph.store.opening import open_store
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import GraphTables, diff_tables, merge_tables, run_tables
from circuitgraph.store.transfers import transfer_tables

__all__ = [
    "FILE_NAME",
    "Copied",
    "EmbeddedStore",
    "GraphTables",
    "Store",
    "copy_graph",
    "diff_tables",
    "graph_file",
    "keep_tables",
    "kept_tables",
    "merge_tables",
    "open_store",
    "read_tables",
    "run_tables",
    "salvaged",
    "tables_of",
    "transfer_tables",
]
