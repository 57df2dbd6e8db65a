"""Queries that follow a mechanism from claim to claim, on both stores.

EMBED → L0H0 (downstream) → L1H0 (edge) → LOGITS (upstream), and EMBED → L0_MLP (unknown) →
L1_MLP (upstream) → LOGITS (mixed). Another diff claims L1H0 → L1_MLP, which would join the two.
"""

from __future__ import annotations

from typing import Any

import pytest
import store_graphs as planted

from circuitgraph.queries import run_query
from circuitgraph.store import Store, diff_tables, run_tables

CLAIMS = [
    ("EMBED", "L0H0", "all", 0.0, 4.0, 0.001, "gained", "downstream"),
    ("L0H0", "L1H0", "q", 0.0, 3.0, 0.001, "gained", "edge"),
    ("L0H0", "L1H0", "k", 0.0, -2.0, 0.001, "gained", "upstream"),
    ("L1H0", "LOGITS", "in", 5.0, 0.0, 0.001, "lost", "upstream"),
    ("EMBED", "L0_MLP", "in", 0.0, 1.0, 0.001, "gained", "unknown"),
    ("L0_MLP", "L1_MLP", "in", 0.0, 1.5, 0.001, "gained", "upstream"),
    ("L1_MLP", "LOGITS", "in", 0.0, 0.5, 0.001, "gained", "mixed"),
]
JOIN = [("L1H0", "L1_MLP", "in", 0.0, 1.0, 0.001, "gained", "edge")]


@pytest.fixture(scope="module")
def store(any_store: Store) -> Store:
    runs = {name: planted.run(planted.variant(name), "effect") for name in ("a", "b", "c")}
    edges = planted.edge_frame("effect", [(*claim[:3], 1.0, 0.001) for claim in (*CLAIMS, *JOIN)])
    diffs = [
        planted.PlantedDiff(
            "a", side, (runs["a"],), (runs[side],), planted.diff_frame(claims), created=created
        )
        for side, claims, created in (
            ("c", JOIN, "2026-01-03T00:00:00Z"),
            ("b", CLAIMS, "2026-01-04T00:00:00Z"),
        )
    ]
    any_store.write_all([*(run_tables(r, edges) for r in runs.values()), *map(diff_tables, diffs)])
    return any_store


def rows(store: Store, name: str, **params: Any) -> list[list[Any]]:
    other = "origin" if name == "upstream-origins" else "end"
    columns = ["source", "target", "input", "distance", f"{other}_source", f"{other}_target"]
    found = run_query(store, name, params)
    return found[[*columns, f"{other}_input", f"{other}_mechanism"]].values.tolist()


def test_an_upstream_claim_is_followed_to_what_changed_before_it(store: Store) -> None:
    assert rows(store, "upstream-origins") == [
        ["L1H0", "LOGITS", "in", 0, "L0H0", "L1H0", "q", "edge"],
        ["L1H0", "LOGITS", "in", 1, "EMBED", "L0H0", "all", "downstream"],
        ["L0H0", "L1H0", "k", 0, "EMBED", "L0H0", "all", "downstream"],
    ]  # L0_MLP → L1_MLP comes from a claim of which nothing is known


def test_a_downstream_claim_is_followed_to_what_changed_after_it(store: Store) -> None:
    assert rows(store, "downstream-ends") == [
        ["EMBED", "L0H0", "all", 0, "L0H0", "L1H0", "q", "edge"],
        ["EMBED", "L0H0", "all", 0, "L0H0", "L1H0", "k", "upstream"],
        ["EMBED", "L0H0", "all", 1, "L1H0", "LOGITS", "in", "upstream"],
    ]


def test_some_claims_and_the_nearest_alone(store: Store) -> None:
    assert [row[3:6] for row in rows(store, "upstream-origins", target="LOGITS", within=0)] == [
        [0, "L0H0", "L1H0"]
    ]
    assert rows(store, "upstream-origins", source="L0_MLP") == []
    assert len(rows(store, "downstream-ends", source="EMBED", limit=2)) == 2
    assert rows(store, "downstream-ends", diff="a → c") == []
