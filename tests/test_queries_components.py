"""Queries about components, on both stores: a planted diff of nodes beside one of edges.

Attribution changed at L0H0, all of whose edges are as before, and at L1H0, which gained an edge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import store_graphs as planted

from circuitgraph.nodes.compare import COLUMNS, NodeDiff
from circuitgraph.nodes.graph import changed_tables
from circuitgraph.queries import run_query
from circuitgraph.store import EmbeddedStore, Store, diff_tables, run_tables, transfer_tables

EDGES = [("L1H0", "LOGITS", "in", 0.0, 1.0, 0.001, "gained", "edge")]
CHANGES = {
    "attribution": [
        ("L0H0", "", 1.0, 3.0, "changed"),
        ("L1H0", "", 1.0, -4.0, "sign_flip"),
        ("L1_MLP", "", 1.0, 1.0, "unchanged"),
    ],
    "attention": [
        ("L0H0", "other_move", 0.1, 0.4, "changed"),
        ("L0H0", "other_move by value", 0.1, 0.6, "changed"),
        ("L1H0", "rest", 0.9, 0.2, "changed"),
    ],
    "logit-lens": [
        ("L1_RESID", "", 0.0, 5.0, "gained"),
        ("L0_RESID", "", 0.0, 2.0, "gained"),
        ("EMBED", "", 1.0, 1.0, "unchanged"),
    ],
}
MOVED = [
    ("L0H0", 0.5, 0.3), ("L1H0", -0.4, -0.6), ("L0_MLP", 0.2, -0.7), ("L1_MLP", 0.001, 0.9),
]  # fmt: skip


def node_diff(measure: str, runs: list, rows: list[tuple]) -> NodeDiff:
    table = pd.DataFrame(rows, columns=["component", "category", "value_a", "value_b", "verdict"])
    table = table.assign(measure=measure, change=table["value_b"] - table["value_a"], reason="")
    table = table.assign(low=table["change"] - 1, high=table["change"] + 1, p=0.001, q=0.002)
    table = table.assign(n=4, n_scenarios=2, n_effective=2)[list(COLUMNS)]
    summary = {
        "a": "a", "b": "b", "measure": measure, "scope": "checkpoint", "n_nodes": 3,
        "n_testable": 3, "n_claims": 2, "evidence": "low",
    }  # fmt: skip
    return NodeDiff(table, summary, ((runs[0],), (runs[1],)))


@pytest.fixture(scope="module")
def store(any_store: Store) -> Store:
    runs = [planted.run(planted.variant(name), "effect") for name in "ab"]
    edges = planted.edge_frame("effect", [(*EDGES[0][:3], 1.0, 0.001)])
    diff = planted.PlantedDiff("a", "b", (runs[0],), (runs[1],), planted.diff_frame(EDGES))
    any_store.write_all([*(run_tables(run, edges) for run in runs), diff_tables(diff)])
    for measure, rows in CHANGES.items():
        any_store.write_diff(changed_tables(node_diff(measure, runs, rows)))
    any_store.write_all([transfer_tables("arch", runs[0].id, runs[1].id, moved())])
    return any_store


def moved() -> pd.DataFrame:
    rows = [
        (component, method, effect)
        for component, *both in MOVED
        for method, effect in zip(("patch", "steer"), both, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["component", "method", "effect"])
    return table.assign(variant="a", source_variant="b", flips=0, n=4)


def rows(store: Store, name: str, columns: str, **params: Any) -> list[list[Any]]:
    return run_query(store, name, params)[columns.split()].values.tolist()


def test_attribution_that_changed_at_components_whose_edges_did_not(store: Store) -> None:
    columns = "component value_a value_b change verdict a b"
    assert rows(store, "attribution-without-edges", columns) == [
        ["L0H0", 1.0, 3.0, 2.0, "changed", "a", "b"]
    ]


def test_heads_that_look_elsewhere(store: Store) -> None:
    columns = "component category value_a value_b"
    assert rows(store, "heads-that-look-elsewhere", columns) == [
        ["L1H0", "rest", 0.9, 0.2],
        ["L0H0", "other_move", 0.1, 0.4],
    ]
    by_value = rows(store, "heads-that-look-elsewhere", columns, category="other_move by value")
    assert by_value == [["L0H0", "other_move by value", 0.1, 0.6]]


def test_layers_where_variants_part_the_first_one_first(store: Store) -> None:
    assert rows(store, "layers-where-variants-part", "component change") == [
        ["L0_RESID", 2.0],
        ["L1_RESID", 5.0],
    ]


def test_what_steering_and_patching_agree_on(store: Store) -> None:
    columns = "component patched steered moved"
    assert rows(store, "steering-and-patching", columns) == [
        ["L1H0", -0.4, -0.6, "same"],
        ["L0H0", 0.5, 0.3, "same"],
    ]  # patching L1_MLP does next to nothing
    assert rows(store, "steering-and-patching", columns, way="opposite") == [
        ["L0_MLP", 0.2, -0.7, "opposite"]
    ]
    assert rows(store, "transfers", "component effect", method="steer", limit=1) == [
        ["L1_MLP", 0.9]
    ]


def test_the_newest_diff_of_edges_is_none_of_nodes(store: Store) -> None:
    assert rows(store, "rewired", "source target") == [["L1H0", "LOGITS"]]
    assert len(rows(store, "diffs", "id")) == 4
    assert len(rows(store, "diffs", "id", of="components")) == 3


def test_a_graph_file_without_the_newest_column_gains_it_when_read(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "graph.lbug")
    store.write_all(planted.planted())
    store.query("ALTER TABLE TRANSFERS DROP method", read_only=False)
    import ladybug

    with (
        ladybug.Database(str(store.path)) as database,
        ladybug.Connection(database) as connection,
    ):
        connection.execute("ALTER TABLE TRANSFERS DROP IF EXISTS method")
    assert run_query(store, "transfers").empty
    assert "method" in store.query("CALL table_info('TRANSFERS') RETURN name")["name"].tolist()
