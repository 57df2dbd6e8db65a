"""The graph in Neo4j: the same tables as in the embedded store, whole runs only."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import neo4j
import pandas as pd
import pytest
import store_graphs as planted
from neo4j_server import Server
from store_graphs import large_tables, same, sizes

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, StoreUnreachable, UsageError
from circuitgraph.store import (
    EmbeddedStore,
    GraphTables,
    Store,
    open_store,
    run_tables,
)
from circuitgraph.store.columns import NODES, RELATIONSHIPS, RUN_EDGES
from circuitgraph.store.neo4j import Neo4jStore
from circuitgraph.store.tables import node_table, rel_table

pytestmark = pytest.mark.neo4j


@pytest.fixture
def filled(neo4j_store: Neo4jStore) -> Neo4jStore:
    neo4j_store.write_all(planted.planted())
    return neo4j_store


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedStore:
    store = EmbeddedStore(tmp_path / "graph.lbug")
    planted.write_planted(store.path)
    return store


def test_ids_and_keys_are_unique_and_owners_indexed(filled: Neo4jStore) -> None:
    indexes = filled.query(
        "SHOW INDEXES YIELD labelsOrTypes, properties, owningConstraint, state"
        " WHERE labelsOrTypes IS NOT NULL RETURN labelsOrTypes[0] AS on, properties[0] AS property,"
        " owningConstraint IS NOT NULL AS unique, state"
    )
    found = set(zip(indexes["on"], indexes["property"], indexes["unique"], strict=True))
    assert {(label, "id", True) for label in NODES} < found
    keyed = [kind for kind, columns in RELATIONSHIPS.items() if "key" in columns]
    assert {(kind, "key", True) for kind in keyed} < found
    assert {(kind, "run", False) for kind in RUN_EDGES} | {("REWIRED", "diff", False)} < found
    assert set(indexes["state"]) == {"ONLINE"}


def test_both_stores_read_the_same(filled: Neo4jStore, embedded: EmbeddedStore) -> None:
    assert same(filled.read_all(), embedded.read_all())
    assert filled.run_ids() == embedded.run_ids()
    assert filled.diff_ids() == embedded.diff_ids()


def test_both_stores_answer_in_the_same_types(filled: Neo4jStore, embedded: EmbeddedStore) -> None:
    cypher = (
        "MATCH p = (r:Run)-[o:OF]->(v:Variant) WHERE r.kind = 'correlation'"
        " RETURN v, o, p, [1, 2] AS numbers, {a: 1} AS map, true AS yes, null AS nothing,"
        " r.n AS n, CASE WHEN v.name = 'base' THEN 1 END AS some, 0.5 AS half,"
        " CASE WHEN v.name = 'base' THEN 0.5 END AS gap ORDER BY v.name"
    )
    ours, theirs = filled.query(cypher), embedded.query(cypher)
    assert list(ours) == list(theirs)
    for name in ours:
        pd.testing.assert_series_equal(ours[name], theirs[name])
    assert ours["v"][0]["_LABEL"] == "Variant"
    assert ours["o"][0] == {"_LABEL": "OF"}
    assert [node["_LABEL"] for node in ours["p"][0]["_NODES"]] == ["Run", "Variant"]


def test_times_are_texts(neo4j_store: Neo4jStore) -> None:
    rows = neo4j_store.query("RETURN date('2026-01-02') AS d, [duration('PT1H')] AS list")
    assert rows.iloc[0].tolist() == ["2026-01-02", ["PT1H"]]


def test_writing_again_and_in_any_order_is_writing_once(
    filled: Neo4jStore, embedded: EmbeddedStore
) -> None:
    parts = planted.planted()
    for part in (parts[3], parts[1], parts[4], parts[0]):
        filled.write_all([part])
        assert same(filled.read_all(), embedded.read_all())
    filled.write_all(parts, replace=False)
    assert same(filled.read_all(), embedded.read_all())


def test_what_is_there_is_left_alone_on_request(neo4j_store: Neo4jStore) -> None:
    run, edges = planted.planted_runs()[0]
    neo4j_store.write_run(run_tables(run, edges))
    neo4j_store.write_all([run_tables(run, edges[:1])], replace=False)
    assert sizes(neo4j_store)["CORRELATES"] == 3


def test_a_rewritten_run_loses_the_edges_it_no_longer_has(filled: Neo4jStore) -> None:
    run, edges = planted.planted_runs()[0]
    filled.write_run(run_tables(run, edges[:1]))
    assert sizes(filled)["CORRELATES"] == 3
    assert sizes(filled)["COMPARES"] == 2


def test_a_new_recipe_is_taken_over(filled: Neo4jStore) -> None:
    run = planted.run(planted.variant("base", recipe="none"), "correlation")
    filled.write_run(run_tables(run, planted.planted_runs()[0][1]))
    rows = filled.query("MATCH (v:Variant {name: 'base'}) RETURN v.recipe AS recipe")
    assert rows["recipe"].tolist() == ["none"]


def test_a_diff_needs_its_runs(neo4j_store: Neo4jStore) -> None:
    with pytest.raises(UsageError, match="is not in the graph; write it before"):
        neo4j_store.write_diff(planted.planted()[4])
    assert neo4j_store.query("MATCH (n) RETURN n").empty


def test_a_run_given_twice_is_refused(neo4j_store: Neo4jStore) -> None:
    part = planted.planted()[0]
    with pytest.raises(InputError, match="Run: 1 rows appear twice"):
        neo4j_store.write_all([part, part])
    assert neo4j_store.query("MATCH (n) RETURN n").empty


def test_removing_a_variant_leaves_no_trace(filled: Neo4jStore) -> None:
    assert filled.remove_variant("nobody") == 0
    assert filled.remove_variant("tuned") == 2
    assert filled.diff_ids() == []
    assert "REWIRED" not in sizes(filled)
    assert len(filled.run_ids()) == 2
    assert filled.remove_variant("base") == 2
    assert filled.query("MATCH (n) RETURN n").empty


def test_a_query_may_not_write_unless_told_to(filled: Neo4jStore) -> None:
    cypher = "MATCH (v:Variant) SET v.recipe = $x"
    with pytest.raises(UsageError, match="reads and nothing else: SET"):
        filled.query(cypher, {"x": "new"})
    filled.query(cypher, {"x": "new"}, read_only=False)
    assert filled.read_all().nodes["Variant"]["recipe"].tolist() == ["new", "new"]


@pytest.mark.parametrize(
    ("cypher", "given", "message"),
    [
        ("MATSCH (n)", {}, "does not accept this query: .* no question begins with MATSCH;"),
        ("MATCH (n) RETURNN n", {}, "does not accept this query: Invalid input 'RETURNN'$"),
        ("MATCH (v:Variant {name: $who}) RETURN v", {}, "needs a value for who"),
        ("RETURN 1 AS a; RETURN 2 AS b", {}, "one statement at a time"),
        ("RETURN $big AS big", {"big": 1 << 70}, "does not accept this query"),
        ("RETURN 1 / 0 AS x", {}, "by zero"),
    ],
)
def test_queries_that_make_no_sense(
    neo4j_store: Neo4jStore, cypher: str, given: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        neo4j_store.query(cypher, given)
    assert "\n" not in str(caught.value)


def hostile_names(count: int) -> list[str]:
    """The worst we know, and random mixtures of their parts, some very long."""
    parts = ["'", '"', "`", "\\", "\\u0041", "\u202e", "\u200f", "\n", "\r", "\t", "$x", "}", "{"]
    parts += [
        "//",
        "*/",
        ";",
        "]->(n)",
        "DELETE",
        "\x00",
        "\x7f",
        "é",
        "𝔘",
        " ",
        "%",
        ",",
        "\ufeff",
    ]
    chance = random.Random(0)
    names = set(planted.HOSTILE)
    while len(names) < count:
        text = "".join(chance.choices(parts, k=chance.randint(1, 12)))
        names.add(text * (65_000 // len(text)) if not len(names) % 50 else text)
    return sorted(names)


def tables_named(names: list[str]) -> GraphTables:
    """A variant, a run, a component and an edge to it of every name."""
    ids = {label: [digest(label, name) for name in names] for label in NODES}
    columns = {"key": ids["Diff"], "run": ids["Run"], "variant": names, "weight": 1.0}
    hub = ids["Component"][0]
    nodes = {
        label: node_table(
            label,
            [{"id": i, "name": n, "variant": n} for i, n in zip(ids[label], names, strict=True)],
        )
        for label in ("Variant", "Run", "Component")
    }
    rels = {
        "OF": rel_table("OF", ids["Run"], ids["Variant"], {}),
        "AFFECTS": rel_table("AFFECTS", [hub] * len(names), ids["Component"], columns),
    }
    return GraphTables(nodes, rels)


def test_500_hostile_names_come_back_and_are_in_no_query(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = hostile_names(500)
    asked: list[str] = []
    plain = neo4j.ManagedTransaction.run

    def listened(self: neo4j.ManagedTransaction, query: str, *args: object) -> object:
        asked.append(query)
        return plain(self, query, *args)

    monkeypatch.setattr(neo4j.ManagedTransaction, "run", listened)
    any_store.write_all([tables_named(names)])
    tables = any_store.read_all()
    assert sorted(tables.nodes["Variant"]["name"]) == names
    assert sorted(tables.nodes["Run"]["variant"]) == names
    assert sorted(tables.nodes["Component"]["name"]) == names
    assert sorted(tables.rels["AFFECTS"]["variant"]) == names
    for name in names[::50]:
        cypher = "MATCH (v:Variant) WHERE v.name = $name RETURN v.name AS name"
        assert any_store.query(cypher, {"name": name})["name"].tolist() == [name]
    assert any_store.remove_variant(names[0]) == 1
    telling = [name for name in names if len(name) > 8]
    assert not [text for text in set(asked) for name in telling if name in text]


def write_large(server: Server, name: str) -> None:
    with Neo4jStore(server.address) as store:
        store.write_run(large_tables(name))


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.thorough
def test_a_killed_writer_leaves_nothing_that_is_seen(
    neo4j_store: Neo4jStore, neo4j_server: Server, embedded: EmbeddedStore, kills: int
) -> None:
    """The server stays; the next writer does not wait for the dead one."""
    neo4j_store.write_all(planted.planted())
    before = embedded.read_all()
    chance = random.Random(0)
    for _ in range(kills):
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=write_large, args=(neo4j_server, "large"))
        process.start()
        unfinished = "MATCH (r:UnfinishedRun) RETURN r.id AS id"
        while process.is_alive() and neo4j_store.query(unfinished).empty:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.8))
        process.kill()
        process.join()
        if len(neo4j_store.run_ids()) == 4:
            assert same(neo4j_store.read_all(), before)
    write_large(neo4j_server, "large")
    embedded.write_run(large_tables("large"))
    assert same(neo4j_store.read_all(), embedded.read_all())
    assert neo4j_store.query("MATCH (n:UnfinishedRun|UnfinishedDiff|Writer) RETURN n").empty


def test_an_unfinished_run_goes_with_its_variant(neo4j_store: Neo4jStore) -> None:
    neo4j_store.write_run(large_tables("large", 20))
    neo4j_store.query("MATCH (r:Run) SET r:UnfinishedRun REMOVE r:Run", read_only=False)
    assert neo4j_store.run_ids() == []
    assert len(neo4j_store.read_all().rels["CORRELATES"]) == 0
    assert neo4j_store.remove_variant("large") == 1
    assert neo4j_store.query("MATCH (n) RETURN n").empty


def test_a_writer_does_not_wait_for_ever(neo4j_server: Server, neo4j_store: Neo4jStore) -> None:
    with (
        Neo4jStore(neo4j_server.address, timeout=0.5) as impatient,
        neo4j_store._lock(),
        pytest.raises(StoreUnreachable, match="try again"),
    ):
        impatient.write_all(planted.planted())


def test_the_store_is_found_by_its_uri(
    neo4j_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in neo4j_server.environment.items():
        monkeypatch.setenv(name, value)
    for uri in (
        "neo4j",
        neo4j_server.address.uri,
        neo4j_server.address.uri.replace("bolt", "neo4j"),
    ):
        with open_store(uri, tmp_path) as store:
            assert isinstance(store, Neo4jStore)
            assert isinstance(store.run_ids(), list)
