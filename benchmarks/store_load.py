"""Edges a second into the embedded graph: bulk copy beside UNWIND … MERGE.

    python benchmarks/store_load.py [EDGES]

Prints one line a way of loading and one a query, measured on this machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.queries import run_query
from circuitgraph.runs.record import Method, Run, Variant
from circuitgraph.store import EmbeddedStore, GraphTables, run_tables

MERGE = """
UNWIND $rows AS row
MATCH (a:Component {id: row.a}), (b:Component {id: row.b})
MERGE (a)-[e:CORRELATES {key: row.key}]->(b)
SET e.run = row.run, e.weight = row.weight, e.n = row.n
"""


def correlation_run(name: str, n_edges: int) -> tuple[Run, pd.DataFrame]:
    """A run with about ``n_edges`` correlations between heads of a large model."""
    size = int(np.ceil((1 + np.sqrt(1 + 8 * n_edges)) / 2))
    names = np.array([f"L{i // 32}H{i % 32}" for i in range(size)])
    source, target = (index[:n_edges] for index in np.triu_indices(size, 1))
    weight = np.random.default_rng(0).uniform(-1, 1, n_edges)
    numbers = dict.fromkeys(["weight", "pooled", "low", "high", "p", "q"], weight)
    edges = pd.DataFrame({"source": names[source], "target": names[target], **numbers})
    edges = edges.assign(kind="correlation", input="", estimator="", n=100)
    variant = Variant(name, "", "", "", "bench", "bench", 1, 32, 32, 0, name)
    activity = np.random.default_rng(1).normal(size=(8, size)).astype(np.float32)
    run = Run(
        id=digest(name),
        variant=variant,
        method=Method("correlation", activity="norm"),
        prompts=tuple(RunPrompt(str(i), "A") for i in range(8)),
        prompts_fingerprint="",
        duplicates=0,
        components=tuple(names.tolist()),
        edges=(),
        self_check={},
        versions={},
        seed=0,
        created="2026-01-01T00:00:00Z",
        _arrays={"activity": activity},
    )
    return run, edges


def timed(what: str, edges: int, act: Callable[[], object]) -> None:
    """Run and print seconds, and edges a second where edges are loaded."""
    start = time.perf_counter()
    act()
    seconds = time.perf_counter() - start
    rate = f"{edges / seconds:12,.0f} edges/s" if edges else ""
    print(f"{what:<44}{seconds:9.2f} s{rate}")


def merge_edges(store: EmbeddedStore, tables: GraphTables) -> None:
    """The way that works on every Cypher store, in batches of 5,000 rows."""
    frame = tables.rels["CORRELATES"][["start", "end", "key", "run", "weight", "n"]]
    frame = frame.rename(columns={"start": "a", "end": "b"}).astype({"n": int})
    rows = frame.to_dict("records")
    for begin in range(0, len(rows), 5000):
        store.query(MERGE, {"rows": rows[begin : begin + 5000]}, read_only=False)


def main(n_edges: int) -> None:
    """Load two variants by COPY, one again, a part by MERGE, then ask."""
    parts = [correlation_run(name, n_edges) for name in ("a", "b")]
    timed("tables of one run, with keys", n_edges, lambda: run_tables(*parts[0]))
    first, second = (run_tables(run, edges) for run, edges in parts)
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "graph.lbug")
        timed("COPY, empty graph", n_edges, lambda: store.write_run(first))
        timed("COPY, one variant there", n_edges, lambda: store.write_run(second))
        timed("COPY, in place of the same run", n_edges, lambda: store.write_run(first))
        print(f"{'size of the file':<44}{store.path.stat().st_size / 1e6:9.0f} MB")
        given = {"first": "a", "second": "b"}
        timed("differences-of-runs", 0, lambda: run_query(store, "differences-of-runs", given))
        timed("hubs", 0, lambda: run_query(store, "hubs", {"run": "a"}))
        few = min(n_edges, 10_000)
        part = run_tables(*correlation_run("c", few))
        slow = EmbeddedStore(Path(folder) / "slow.lbug")
        slow.write_all([GraphTables({"Component": part.nodes["Component"]}, {})])
        timed("UNWIND MERGE, empty graph", few, lambda: merge_edges(slow, part))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
