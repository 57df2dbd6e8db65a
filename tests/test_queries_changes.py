"""Queries about change, on both stores: a planted circuit that breaks in two places.

A has the chains EMBED → L0H0 → L1H0 → LOGITS and EMBED → L0_MLP → L1_MLP → LOGITS; B has
lost every edge of both, and gained EMBED → L1_MLP. L1H1 keeps its edges.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import store_graphs as planted

from circuitgraph.queries import run_query
from circuitgraph.queries.catalogue import parse_query
from circuitgraph.store import GraphTables, Store, diff_tables, run_tables

LOST = [
    ("EMBED", "L0H0", "all", 2.0),
    ("L0H0", "L1H0", "all", -2.0),
    ("L1H0", "LOGITS", "in", 2.0),
    ("EMBED", "L0_MLP", "in", 1.0),
    ("L0_MLP", "L1_MLP", "in", 1.0),
    ("L1_MLP", "LOGITS", "in", 1.0),
]
BEFORE = [
    *((*edge, 0.001) for edge in LOST),
    ("EMBED", "L1H0", "all", 1.0, 0.001),
    ("EMBED", "L1H1", "all", 2.0, 0.001),
    ("L1H1", "LOGITS", "in", 2.0, 0.001),
    ("L1H1", "L1_MLP", "in", 1.0, 0.001),
    ("EMBED", "L1_MLP", "in", 1.0, 0.9),
]
AFTER = [
    *((source, target, into, 0.0, 0.9) for source, target, into, _ in LOST),
    ("EMBED", "L1H1", "all", 4.0, 0.001),
    ("L1H1", "LOGITS", "in", -2.0, 0.001),
    ("L1H1", "L1_MLP", "in", 1.0, 0.001),
    ("EMBED", "L1_MLP", "in", 1.0, 0.001),
]
CLAIMS = [
    *((*edge, 0.0, 0.001, "lost", "edge") for edge in LOST),
    ("EMBED", "L1_MLP", "in", 0.0, 4.0, 0.001, "gained", "edge"),
    ("EMBED", "L1H1", "all", 2.0, 4.0, 0.001, "rewired", "upstream"),
]
CORRELATION_CLAIMS = [
    ("L0H0", "L1H0", "", 0.5, -0.5, 0.001, "sign_flip", ""),
    ("L1H1", "L1_MLP", "", 0.5, 0.0, 0.001, "lost", ""),
    ("L0H0", "L1_MLP", "", 0.0, 0.5, 0.001, "gained", ""),
]
WAYS = [("EMBED", "L0H0"), ("L0H0", "LOGITS"), ("L0H0", "L1H0")]
RECIPES = {
    "p0": [(1.0, 0.001), (1.0, 0.001), (-1.0, 0.001)],
    "p1": [(2.0, 0.001), (-1.0, 0.001), (-1.0, 0.001)],
    "q0": [(-1.0, 0.001), (-1.0, 0.001), (0.5, 0.001)],
    "q1": [(-3.0, 0.001), (-1.0, 0.001), (0.5, 0.9)],
}


def parts() -> list[GraphTables]:
    runs = {}
    for name, kind, rows in (
        ("before", "effect", BEFORE),
        ("after", "effect", AFTER),
        ("before", "correlation", planted.CORRELATIONS),
        ("after", "correlation", planted.CORRELATIONS),
    ):
        run = planted.run(planted.variant(name), kind)
        runs[name, kind] = run, run_tables(run, planted.edge_frame(kind, rows))
    for name, numbers in RECIPES.items():
        run = planted.run(planted.variant(name, recipe=name[0].upper()), "effect")
        edges = [(*way, "all", *row) for way, row in zip(WAYS, numbers, strict=True)]
        runs[name, "effect"] = run, run_tables(run, planted.edge_frame("effect", edges))
    diffs = [
        planted.PlantedDiff(
            "before",
            "after",
            (runs["before", lens][0],),
            (runs["after", lens][0],),
            planted.diff_frame(claims),
            lens=lens,
            created=created,
        )
        for lens, claims, created in (
            ("correlation", CORRELATION_CLAIMS, "2026-01-03T00:00:00Z"),
            ("effect", CLAIMS, "2026-01-04T00:00:00Z"),
        )
    ]
    return [*(tables for _, tables in runs.values()), *map(diff_tables, diffs)]


@pytest.fixture(scope="module")
def store(any_store: Store) -> Store:
    any_store.write_all(parts())
    return any_store


def rows(store: Store, name: str, columns: str, **params: Any) -> list[list[Any]]:
    frame = run_query(store, name, params)[columns.split()]
    cells = frame.values.tolist()
    return [[None if not isinstance(v, list) and pd.isna(v) else v for v in row] for row in cells]


def test_chains_of_lost_edges(store: Store) -> None:
    given = {"source": "EMBED", "target": "LOGITS"}
    found = rows(store, "paths-of-change", "components length deltas", **given)
    assert sorted(found) == [
        [["EMBED", "L0H0", "L1H0", "LOGITS"], 3, [-2.0, 2.0, -2.0]],
        [["EMBED", "L0_MLP", "L1_MLP", "LOGITS"], 3, [-1.0, -1.0, -1.0]],
    ]
    assert len(rows(store, "paths-of-change", "length", limit=1, **given)) == 1
    gained = {"source": "EMBED", "target": "L1_MLP", "verdict": "gained"}
    assert rows(store, "paths-of-change", "length deltas", **gained) == [[1, [4.0]]]
    assert rows(store, "paths-of-change", "length", source="L0H0", target="L0H0") == []
    assert rows(store, "paths-of-change", "length", source="L1H1", target="LOGITS") == []


def test_chains_come_in_one_order(store: Store) -> None:
    given = {"source": "EMBED", "target": "LOGITS"}
    claims = store.query(
        "MATCH (s:Component)-[e:REWIRED]->(t:Component)"
        " RETURN s.name AS s, t.name AS t, e.key AS key, e.lens AS lens"
    )
    first = claims[(claims["s"] == "EMBED") & claims["t"].isin(["L0H0", "L0_MLP"])]
    expected = first.sort_values("key")["t"].tolist()
    found = rows(store, "paths-of-change", "components", **given)
    assert [path[1] for (path,) in found] == expected


def test_changed_in_but_not_out(store: Store) -> None:
    columns = "component layer changed_in change out_edges"
    assert rows(store, "changed-in-only", columns) == [["L1H1", 1, 1, 2.0, 2]]


def test_triangles_vanish_and_appear(store: Store) -> None:
    columns = "source target third change size source_third third_target"
    assert rows(store, "triangles", columns) == [
        ["EMBED", "L0H0", "L1H0", "vanishes", 2.0, 1.0, -2.0],
        ["L0H0", "L1H0", "EMBED", "vanishes", 2.0, 2.0, 1.0],
        ["L1_MLP", "LOGITS", "L1H1", "vanishes", 1.0, 1.0, 2.0],
        ["EMBED", "L1_MLP", "L1H1", "appears", 4.0, 4.0, 1.0],
    ]
    assert rows(store, "triangles", "source", alpha=0.0) == []


def test_neighbourhood_side_by_side(store: Store) -> None:
    columns = "source target weight_first weight_second difference q_second"
    assert rows(store, "neighbourhood", columns, component="L1H0") == [
        ["EMBED", "L1H0", 1.0, None, None, None],
        ["L0H0", "L1H0", -2.0, 0.0, 2.0, 0.9],
        ["L1H0", "LOGITS", 2.0, 0.0, -2.0, 0.9],
    ]


def test_hubs_that_moved(store: Store) -> None:
    columns = "component strength_first strength_second share_first share_second moved"
    assert rows(store, "moved-hubs", columns, limit=3) == [
        ["L1H1", 5.0, 7.0, 0.3125, 0.875, 0.5625],
        ["L1H0", 5.0, 0.0, 0.3125, 0.0, -0.3125],
        ["L0H0", 4.0, 0.0, 0.25, 0.0, -0.25],
    ]


def test_correlation_claims_the_effects_deny(store: Store) -> None:
    columns = "source target verdict delta effect_a effect_b a b"
    assert rows(store, "correlation-without-effect", columns) == [
        ["L1H1", "L1_MLP", "lost", -0.5, 1.0, 1.0, "before", "after"]
    ]
    named = {"correlation": "before → after", "effect": "before → after"}
    assert len(rows(store, "correlation-without-effect", "source", **named)) == 1


def test_signs_opposite_in_every_pair_of_two_recipes(store: Store) -> None:
    assert rows(store, "recipes", "recipe variants runs") == [["P", 2, 2], ["Q", 2, 2]]
    columns = "source target lowest highest other_lowest other_highest gap variants other_variants"
    flipped = ["EMBED", "L0H0", 1.0, 2.0, -3.0, -1.0, 2.0, 2, 2]
    assert rows(store, "flips-between-recipes", columns) == [flipped]
    assert rows(store, "flips-between-recipes", columns, alpha=1) == [
        flipped,
        ["L0H0", "L1H0", -1.0, -1.0, 0.5, 0.5, 1.5, 2, 2],
    ]
    assert rows(store, "flips-between-recipes", "gap", recipe="Q", other="P") == [[2.0]]
    assert rows(store, "flips-between-recipes", "gap", kind="correlation") == []
    assert rows(store, "flips-between-recipes", "gap", recipe="P", other="P") == []


def test_dialects_must_begin_alike() -> None:
    texts = {"embedded": "// One thing.\nRETURN 1", "neo4j": "// Another.\nRETURN 1"}
    with pytest.raises(ValueError, match="the headers of its dialects differ"):
        parse_query("x", texts)
