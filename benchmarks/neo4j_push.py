"""Edges a second into Neo4j: a push beside a bare UNWIND … MERGE loop, and a second push.

    NEO4J_URI=... NEO4J_PASSWORD=... python benchmarks/neo4j_push.py [EDGES]

The bare loop is what one writes with the official driver: the same rows as dicts, the
same batches, the same constraints. The two take turns, three times each, on variants of
their own, after one of each has warmed the server up. The database must be empty; what
is written is removed at the end.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import neo4j
import store_load

from circuitgraph.base.errors import UsageError
from circuitgraph.store import EmbeddedStore, GraphTables, copy_graph, run_tables
from circuitgraph.store.connection import Address, connect
from circuitgraph.store.neo4j import Neo4jStore

BATCH = 10_000
PROPERTIES = ("run", "variant", "weight", "pooled", "low", "high", "p", "q", "n")
NODES = "UNWIND $rows AS row MERGE (c:Component {id: row.id}) SET c.name = row.name"
EDGES = f"""
UNWIND $rows AS row
MATCH (a:Component {{id: row.start}}) MATCH (b:Component {{id: row.end}})
MERGE (a)-[e:CORRELATES {{key: row.key}}]->(b)
SET {", ".join(f"e.{name} = row.{name}" for name in PROPERTIES)}
"""


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def bare(driver: neo4j.Driver, address: Address, tables: GraphTables) -> None:
    """Nodes, then edges, in batches of rows as dicts, each in a managed transaction."""
    frame = tables.rels["CORRELATES"].astype({"n": int})
    steps = [(NODES, tables.nodes["Component"][["id", "name"]]), (EDGES, frame)]
    with driver.session(database=address.database) as session:
        for cypher, part in steps:
            rows = part.to_dict("records")
            for begin in range(0, len(rows), BATCH):
                batch = rows[begin : begin + BATCH]
                session.execute_write(lambda tx, c=cypher, b=batch: tx.run(c, rows=b).consume())


def push(store: Neo4jStore, source: EmbeddedStore) -> None:
    """All of it, reading from the embedded file included."""
    copy_graph(source, store)


def main(n_edges: int) -> None:
    """Print one line a push and one a loop, then their ratio and the second push."""
    address = Address.from_environment("neo4j")
    with (
        connect(address) as driver,
        Neo4jStore(address) as store,
        tempfile.TemporaryDirectory() as folder,
    ):
        if len(store.query("MATCH (n) RETURN 1 LIMIT 1")):
            raise UsageError("the database is not empty; this benchmark wants one of its own")
        taken: dict[str, list[float]] = {"bare loop": [], "push": []}
        for turn in range(4):
            name = f"push {turn}"
            source = EmbeddedStore(Path(folder) / f"{turn}.lbug")
            source.write_run(run_tables(*store_load.correlation_run(name, n_edges)))
            other = run_tables(*store_load.correlation_run(f"bare {turn}", n_edges))
            pushed = seconds(lambda s=source: push(store, s))
            looped = seconds(lambda t=other: bare(driver, address, t))
            if turn:
                taken["push"].append(pushed)
                taken["bare loop"].append(looped)
                for what, took in (("push", pushed), ("bare loop", looped)):
                    print(f"{what:<12}{took:8.2f} s{n_edges / took:12,.0f} edges/s", flush=True)
        again = seconds(lambda: push(store, source))
        middle = {what: statistics.median(values) for what, values in taken.items()}
        print(f"second push {again:8.2f} s, {middle['push'] / again:,.0f} times as fast")
        print(f"rate of a push / rate of the bare loop: {middle['bare loop'] / middle['push']:.2f}")
        clear(store)


def clear(store: Neo4jStore) -> None:
    """Remove everything, a little at a time: the server's memory is small."""
    for pattern, removal in (("()-[x]->()", "DELETE x"), ("(x)", "DETACH DELETE x")):
        cypher = f"MATCH {pattern} WITH x LIMIT {BATCH} {removal} RETURN count(x) AS n"
        while store.query(cypher, read_only=False)["n"].iloc[0]:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
