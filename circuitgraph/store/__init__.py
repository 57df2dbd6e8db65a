"""Graph stores behind one protocol: the embedded file, and later Neo4j."""

from circuitgraph.store.embedded import EmbeddedStore
from circuitgraph.store.opening import open_store
from circuitgraph.store.protocol import Store
from circuitgraph.store.tables import GraphTables, diff_tables, merge_tables, run_tables

__all__ = [
    "EmbeddedStore",
    "GraphTables",
    "Store",
    "diff_tables",
    "merge_tables",
    "open_store",
    "run_tables",
]
