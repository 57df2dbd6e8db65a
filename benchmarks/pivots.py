"""Seconds a named query takes on two variants of many edges: Neo4j beside the embedded store.

    NEO4J_URI=... NEO4J_PASSWORD=... python benchmarks/pivots.py [EDGES]

Every query of the catalogue is asked bare, of two runs of EDGES correlations each and a diff
of theirs that claims one edge in fifty. Two calls warm the server up; printed is the median
of the next three, and whether both stores gave the same rows. The database must be empty;
what is written is removed at the end.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import neo4j_push
import numpy as np
import pandas as pd
import store_load

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError
from circuitgraph.queries import list_queries, run_query
from circuitgraph.store import EmbeddedStore, GraphTables, Store, run_tables
from circuitgraph.store.connection import Address
from circuitgraph.store.neo4j import Neo4jStore
from circuitgraph.store.tables import node_table, rel_table

VERDICTS = np.array(["rewired", "sign_flip", "gained", "lost"])
CLAIMED = 50


def diff_of(runs: Sequence[GraphTables]) -> GraphTables:
    """A diff of two runs that claims every fiftieth edge."""
    first, second = (tables.rels["CORRELATES"] for tables in runs)
    ids = [tables.ids("Run")[0] for tables in runs]
    key = digest("pivots", *ids)
    chosen = slice(None, None, CLAIMED)
    count = len(first[chosen])
    columns = {
        "key": [digest(key, edge) for edge in first["key"][chosen]],
        "diff": key,
        "a": "a",
        "b": "b",
        "lens": "correlation",
        "scope": "checkpoint",
        "input": "",
        "weight_a": first["weight"][chosen],
        "weight_b": second["weight"][chosen],
        "delta": second["weight"][chosen] - first["weight"][chosen],
        "q": 0.01,
        "verdict": VERDICTS[np.arange(count) % len(VERDICTS)].tolist(),
    }
    row = {"id": key, "name": "a → b", "a": "a", "b": "b", "lens": "correlation", "created": "2026"}
    sides = rel_table("COMPARES", [key, key], ids, {"side": ["a", "b"]})
    start, end = first["start"][chosen].tolist(), first["end"][chosen].tolist()
    return GraphTables(
        {"Diff": node_table("Diff", [row])},
        {"COMPARES": sides, "REWIRED": rel_table("REWIRED", start, end, columns)},
    )


def planted(n_edges: int) -> list[GraphTables]:
    """Two runs whose weights differ, and their diff."""
    parts = []
    for seed, name in enumerate("ab"):
        run, edges = store_load.correlation_run(name, n_edges)
        weight = np.random.default_rng(seed).uniform(-1, 1, n_edges)
        q = np.random.default_rng(seed + 2).uniform(0, 1, n_edges)
        parts.append(run_tables(run, edges.assign(weight=weight, q=q)))
    return [*parts, diff_of(parts)]


def asked(store: Store, name: str) -> tuple[float, pd.DataFrame]:
    """Median seconds of three answers after two, and the answer."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        answer = run_query(store, name)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:]), answer


def same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Equal rows, sums up to the order in which they were added."""
    first, second = (f.astype(object).where(f.notna(), None) for f in (first, second))
    try:
        pd.testing.assert_frame_equal(first, second, rtol=1e-9)
    except AssertionError:
        return False
    return True


def main(n_edges: int) -> None:
    """Print one line a query."""
    with (
        Neo4jStore(Address.from_environment("neo4j")) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        if len(server.query("MATCH (n) RETURN 1 AS one LIMIT 1")):
            raise UsageError("the database is not empty; this benchmark wants one of its own")
        embedded = EmbeddedStore(Path(folder) / "graph.lbug")
        parts = planted(n_edges)
        for store in (embedded, server):
            store.write_all(parts)
        print(f"{'query':<28}{'neo4j':>9}{'embedded':>10}  rows")
        for query in list_queries():
            slow, theirs = asked(server, query.name)
            fast, ours = asked(embedded, query.name)
            verdict = f"{len(ours)} alike" if same(ours, theirs) else "DIFFERENT"
            print(f"{query.name:<28}{slow:7.2f} s{fast:8.2f} s  {verdict}", flush=True)
        neo4j_push.clear(server)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
