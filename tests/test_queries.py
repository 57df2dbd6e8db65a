"""Named queries: each runs bare, each answers the planted graph as known by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import store_graphs as planted

from circuitgraph.base.errors import UsageError
from circuitgraph.queries import catalogue_json, get_query, list_queries, run_query
from circuitgraph.queries.catalogue import parse_query
from circuitgraph.queries.naming import PHRASES
from circuitgraph.store import Store, diff_tables
from circuitgraph.store.protocol import parameter_names

NAMES = [query.name for query in list_queries()]
EMPTY_ON_PLANTED = (
    "attribution-without-edges",
    "changed-in-only",
    "claims-shared-by-diffs",
    "composition",
    "correlation-versus-effect",
    "correlation-without-effect",
    "decisions",
    "downstream-ends",
    "flips-between-recipes",
    "heads-that-look-elsewhere",
    "layers-where-variants-part",
    "steering-and-patching",
    "transfers",
    "triangles",
    "upstream-origins",
)
RUN = {key: run.id for key, (run, _) in zip("abcd", planted.planted_runs(), strict=True)}


@pytest.fixture(scope="module")
def on_empty(any_store: Store) -> dict[str, pd.DataFrame]:
    """What each query answers before anything is in the graph."""
    return {name: run_query(any_store, name) for name in NAMES}


@pytest.fixture(scope="module")
def store(any_store: Store, on_empty: dict[str, pd.DataFrame]) -> Store:
    any_store.write_all(planted.planted())
    return any_store


def rows(store: Store, name: str, columns: str, **params: Any) -> list[list[Any]]:
    frame = run_query(store, name, params)[columns.split()]
    return [[None if pd.isna(v) else v for v in row] for row in frame.values.tolist()]


@pytest.mark.parametrize("name", NAMES)
def test_every_query_runs_bare_on_an_empty_and_on_a_filled_graph(
    name: str, store: Store, on_empty: dict[str, pd.DataFrame]
) -> None:
    filled = run_query(store, name)
    assert list(on_empty[name]) == list(filled)
    assert len(on_empty[name]) == 0
    assert name in EMPTY_ON_PLANTED or len(filled)
    assert run_query(store, name, {"limit": "0"}).empty


@pytest.mark.parametrize("query", list_queries(), ids=NAMES)
def test_every_query_is_documented_ordered_and_limited(query: Any) -> None:
    assert re.fullmatch(r"[A-Z][^\n]{20,100}[.?]", query.summary)
    assert [p.name for p in query.parameters] == [
        *(p.name for p in query.parameters if p.name != "limit"),
        "limit",
    ]
    assert set(query.texts) in ({""}, {"embedded", "neo4j"})
    for text in query.texts.values():
        assert {p.name for p in query.parameters} == set(parameter_names(text))
        assert re.search(r"\nORDER BY [^\n]+\nLIMIT \$limit\n$", text)
    named = [p for p in query.parameters if p.type in ("run", "diff")]
    assert all(p.default in PHRASES for p in named)


@pytest.mark.parametrize("query", list_queries(), ids=NAMES)
def test_every_query_keeps_to_what_both_stores_understand(query: Any) -> None:
    text = re.sub(r"//[^\n]*", "", query.texts.get("", ""))
    for pattern in (
        r"\* [\w.]+ < 0",
        r"\$\w+ IS NULL",
        r"\+=",
        r"\bREMOVE\b",
        r"\bCALL\b",
        r"\[\w+ IN",
    ):
        assert not re.search(pattern, text), pattern


def test_the_catalogue_is_plain_json() -> None:
    entries = json.loads(json.dumps(catalogue_json()))
    assert len(entries) >= 12
    assert all(set(entry) == {"name", "summary", "parameters"} for entry in entries)
    hubs = next(entry for entry in entries if entry["name"] == "hubs")
    assert hubs["parameters"][1] == {
        "name": "limit",
        "type": "int",
        "default": 25,
        "meaning": "most rows",
    }


def test_hubs_keep_signs_apart(store: Store) -> None:
    columns = "component strength positive negative edges"
    assert rows(store, "hubs", columns, run=RUN["b"]) == [
        ["L0_MLP", 5.0, 3.0, -2.0, 2],
        ["L0H0", 3.25, 1.25, -2.0, 3],
        ["LOGITS", 3.0, 3.0, 0.0, 1],
        ["EMBED", 1.0, 1.0, 0.0, 1],
        ["L1H0", 0.25, 0.25, 0.0, 1],
    ]


def test_strongest_edges_come_by_size_whatever_their_sign(store: Store) -> None:
    columns = "source target weight"
    assert rows(store, "strongest-edges", columns, run="base", limit=2) == [
        ["L0_MLP", "LOGITS", 3.0],
        ["L0H0", "L0_MLP", -2.0],
    ]
    assert rows(store, "strongest-edges", columns, run=RUN["a"], source="L0_MLP") == [
        ["L0_MLP", "L1_MLP", 0.25]
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sign-flips", [["L0H0", "L0_MLP", -0.5, 0.5, 1.0]]),
        ("gained-edges", [["L0H0", "L1H0", 0.0, 0.75, 0.75]]),
        ("lost-edges", [["L0_MLP", "LOGITS", 0.5, 0.0, -0.5]]),
    ],
)
def test_claims_by_verdict(store: Store, name: str, expected: list) -> None:
    assert rows(store, name, "source target weight_a weight_b delta") == expected


def test_rewired_lists_all_claims_by_size(store: Store) -> None:
    assert rows(store, "rewired", "delta verdict mechanism stability a b") == [
        [1.0, "sign_flip", "edge", 0.5, "base", "tuned"],
        [0.75, "gained", "upstream", 0.75, "base", "tuned"],
        [-0.5, "lost", "edge", None, "base", "tuned"],
    ]


def test_hubs_of_change(store: Store) -> None:
    columns = "component claims rewired sign_flips gained lost change"
    assert rows(store, "hubs-of-change", columns) == [
        ["L0H0", 2, 0, 1, 1, 0, 1.75],
        ["L0_MLP", 2, 0, 1, 0, 1, 1.5],
        ["L1H0", 1, 0, 0, 1, 0, 0.75],
        ["LOGITS", 1, 0, 0, 0, 1, 0.5],
    ]


def test_changes_per_layer(store: Store) -> None:
    columns = "source_layer source_kind target_layer target_kind claims change"
    assert rows(store, "changed-per-layer", columns) == [
        [0, "head", 0, "mlp", 1, 1.0],
        [0, "head", 1, "head", 1, 0.75],
        [0, "mlp", None, "logits", 1, 0.5],
    ]


def test_claims_by_mechanism(store: Store) -> None:
    assert rows(store, "claims-by-mechanism", "mechanism verdict claims change") == [
        ["edge", "lost", 1, 0.5],
        ["edge", "sign_flip", 1, 1.0],
        ["upstream", "gained", 1, 0.75],
    ]


@pytest.fixture
def with_second_diff(store: Store) -> Iterator[Store]:
    runs = [run for run, _ in planted.planted_runs()]
    changes = [("L0H0", "L1H0", "all", 0.5, 0.25, 0.001, "rewired", "edge")]
    second = planted.PlantedDiff("x", "y", (runs[1],), (runs[3],), planted.diff_frame(changes))
    store.write_diff(diff_tables(second))
    yield store
    for run in runs[:3:2]:
        store.remove_variant(run.variant.name)
    store.write_all(planted.planted())


def test_claims_shared_by_diffs(with_second_diff: Store) -> None:
    store = with_second_diff
    columns = "source target diffs up down mean_delta first_b last_b"
    assert rows(store, "claims-shared-by-diffs", columns) == [
        ["L0H0", "L1H0", 2, 1, 1, 0.25, "tuned", "y"]
    ]
    special = rows(store, "claims-shared-by-diffs", "source target", least=1, most=1)
    assert special == [["L0H0", "L0_MLP"], ["L0_MLP", "LOGITS"]]


def test_edges_of_a_component_in_every_variant(store: Store) -> None:
    columns = "source target kind variant weight"
    assert rows(store, "edges-of-component", columns, component="L1H0") == [
        ["L0H0", "L1H0", "correlation", "base", -0.75],
        ["L0H0", "L1H0", "correlation", "tuned", -0.75],
        ["L0H0", "L1H0", "effect", "base", 0.25],
        ["L0H0", "L1H0", "effect", "tuned", 4.0],
    ]


def test_one_edge_across_variants(store: Store) -> None:
    columns = "recipe variant kind weight"
    given = {"source": "L0H0", "target": "L0_MLP", "kind": "effect"}
    assert rows(store, "edge-across-variants", columns, **given) == [
        ["", "base", "effect", -2.0],
        ["kind", "tuned", "effect", 2.0],
    ]


def test_provenance_names_model_prompts_and_time(store: Store) -> None:
    columns = "source target variant base kind estimator prompts version created run"
    # the strongest edge of the newest effect run of the variant
    assert rows(store, "provenance-of-edge", columns, run="base") == [
        ["L0_MLP", "LOGITS", "base", "/models/base", "effect", "exact", "prompts", "0.1.0",
         "2026-01-01T00:00:00Z", RUN["b"]]
    ]  # fmt: skip
    assert rows(store, "provenance-of-edge", "target", run="base", source="EMBED") == [["L0H0"]]


def test_where_correlation_and_effect_disagree(store: Store) -> None:
    columns = "source target seen_by correlation effect"
    given = {"correlation": RUN["a"], "effect": RUN["b"]}
    assert rows(store, "correlation-versus-effect", columns, **given) == [
        ["L0H0", "L1H0", "correlation only", -0.75, 0.25]
    ]


def test_components_that_hardly_vary(store: Store) -> None:
    columns = "component distinct mean variant"
    assert rows(store, "quiet-components", columns, run="base", least=3) == [
        ["L0_MLP", 1, 1.0, "base"],
        ["L1_MLP", 2, 3.25, "base"],
    ]


def test_activity_of_a_component(store: Store) -> None:
    columns = "component variant mean distinct"
    assert rows(store, "component-activity", columns, component="L1H0") == [
        ["L1H0", "base", 5.0, 4],
        ["L1H0", "tuned", 5.0, 4],
    ]


def test_differences_of_runs(store: Store) -> None:
    columns = "source target weight_first weight_second difference"
    assert rows(store, "differences-of-runs", columns, limit=2) == [
        ["L0H0", "L0_MLP", -2.0, 2.0, 4.0],
        ["L0H0", "L1H0", 0.25, 4.0, 3.75],
    ]


def test_runs_diffs_and_variants(store: Store) -> None:
    assert rows(store, "variants", "variant recipe runs") == [["base", "", 2], ["tuned", "kind", 2]]
    assert {row[0] for row in rows(store, "runs", "id", kind="effect")} == {RUN["b"], RUN["d"]}
    assert rows(store, "diffs", "a b n_edges n_claims evidence") == [["base", "tuned", 4, 3, "low"]]
    assert rows(store, "compared-runs", "side run") == [["a", RUN["b"]], ["b", RUN["d"]]]


@pytest.mark.parametrize("text", [RUN["a"], RUN["a"][:8], "base correlation norm"])
def test_runs_go_by_id_start_of_an_id_or_name(store: Store, text: str) -> None:
    assert rows(store, "strongest-edges", "source target", run=text, limit=1) == [["L0H0", "L1H0"]]


def test_diffs_go_by_name(store: Store) -> None:
    assert len(rows(store, "rewired", "source", diff="base → tuned")) == 3


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("hub", {}, "no query is named 'hub'; did you mean hubs? there are attribution-"),
        ("hubs", {"top": 3}, "has no parameter 'top'; it has run, limit"),
        ("hubs", {"limit": "many"}, "limit takes a whole number"),
        ("hubs", {"limit": -1}, "limit takes a whole number"),
        ("hubs", {"limit": 1.5}, "limit takes a whole number"),
        ("hubs", {"run": "nobody"}, "'nobody' names no run; `circuitgraph query runs`"),
        ("rewired", {"diff": "x'}) DETACH DELETE (n"}, "names no diff"),
        ("correlation-versus-effect", {"alpha": "small"}, "alpha takes a number"),
    ],
)
def test_wrong_use_says_what_is_right(store: Store, name: str, params: dict, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        run_query(store, name, params)


def test_hostile_values_are_only_values(store: Store) -> None:
    text = "'}) DETACH DELETE (n) // \x00 \u202e"
    assert run_query(store, "edges-of-component", {"component": text}).empty
    assert len(store.run_ids()) == 4


def test_a_header_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"x\.cypher: no parameter can be read from 'run'"):
        parse_query("x", {"": "// Something.\n// run\nRETURN 1"})
    assert get_query("hubs").name == "hubs"
