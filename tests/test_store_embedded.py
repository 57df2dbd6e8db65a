"""The embedded graph: what is written is read, kills and crowds change nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import ladybug
import pandas as pd
import pytest
import store_graphs as planted
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from store_graphs import HOSTILE, large_tables, same, sizes

from circuitgraph.base.errors import InputError, StoreUnreachable, UsageError
from circuitgraph.store import EmbeddedStore, open_store, run_tables
from circuitgraph.store.columns import NODES, RELATIONSHIPS
from circuitgraph.store.protocol import parameter_names


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "graph.lbug", timeout=20)


@pytest.fixture
def filled(store: EmbeddedStore) -> EmbeddedStore:
    planted.write_planted(store.path)
    return store


def test_the_schema_file_says_what_the_vocabulary_says(filled: EmbeddedStore) -> None:
    types = {"STRING": "string", "INT64": "int", "DOUBLE": "float"}
    for table, columns in {**NODES, **RELATIONSHIPS}.items():
        # table names are ours, never a user's
        rows = filled.query(f"CALL table_info('{table}') RETURN name, type")
        found = [(n, types[t]) for n, t in zip(rows["name"], rows["type"], strict=True)]
        assert found == list(columns.items())


def test_a_missing_file_is_an_empty_graph(store: EmbeddedStore) -> None:
    assert store.run_ids() == []
    assert store.remove_variant("x") == 0
    assert list(store.query("MATCH (r:Run) RETURN r.id AS id, r.n AS n")) == ["id", "n"]
    assert not store.path.exists()


def test_everything_written_is_read_back(store: EmbeddedStore) -> None:
    store.write_all(planted.planted())
    assert sizes(store) == {
        "Variant": 2,
        "Run": 4,
        "Component": 6,
        "Diff": 1,
        "OF": 4,
        "COMPARES": 2,
        "MEASURES": 8,
        "CORRELATES": 5,
        "AFFECTS": 8,
        "REWIRED": 3,
    }
    written = planted.planted()[0].rels["CORRELATES"]
    read = store.read_all().rels["CORRELATES"]
    read = read[read["run"] == written["run"].iloc[0]].set_index("key").loc[written["key"]]
    assert read["weight"].tolist() == written["weight"].tolist()
    assert read["n"].tolist() == [4, 4, 4]


def test_writing_again_and_in_any_order_is_writing_once(
    filled: EmbeddedStore, tmp_path: Path
) -> None:
    before = filled.read_all()
    parts = planted.planted()
    filled.write_run(parts[1])
    filled.write_diff(parts[4])
    assert same(before, filled.read_all())
    other = EmbeddedStore(tmp_path / "other.lbug")
    for part in (parts[3], parts[2], parts[1], parts[0], parts[4]):
        other.write_all([part])
    assert same(before, other.read_all())


def test_a_rewritten_run_loses_the_edges_it_no_longer_has(filled: EmbeddedStore) -> None:
    run, edges = planted.planted_runs()[0]
    filled.write_run(run_tables(run, edges[:1]))
    assert sizes(filled)["CORRELATES"] == 3
    assert sizes(filled)["COMPARES"] == 2


def test_a_new_recipe_is_taken_over(filled: EmbeddedStore) -> None:
    run = planted.run(planted.variant("base", recipe="none"), "correlation")
    filled.write_run(run_tables(run, planted.planted_runs()[0][1]))
    rows = filled.query("MATCH (v:Variant {name: 'base'}) RETURN v.recipe AS recipe")
    assert rows["recipe"].tolist() == ["none"]


def test_a_diff_needs_its_runs(store: EmbeddedStore) -> None:
    with pytest.raises(UsageError, match="is not in the graph; write it before"):
        store.write_diff(planted.planted()[4])
    assert not store.path.exists()


def test_removing_a_variant_leaves_no_trace(filled: EmbeddedStore) -> None:
    assert filled.remove_variant("tuned") == 2
    assert filled.diff_ids() == []
    assert "REWIRED" not in sizes(filled)
    assert len(filled.run_ids()) == 2
    assert filled.remove_variant("base") == 2
    assert sizes(filled) == {}


def test_hostile_names_come_back_verbatim(store: EmbeddedStore) -> None:
    parts = []
    for name in HOSTILE:
        run = planted.run(planted.variant(name, recipe=name), "effect")
        parts.append(run_tables(run, planted.edge_frame("effect", [(name, "L0H0", "all", 1, 0)])))
    store.write_all(parts)
    tables = store.read_all()
    assert sorted(tables.nodes["Variant"]["name"]) == sorted(HOSTILE)
    assert sorted(tables.nodes["Variant"]["recipe"]) == sorted(HOSTILE)
    assert sorted(tables.rels["AFFECTS"]["variant"]) == sorted(HOSTILE)
    assert set(HOSTILE) < set(tables.nodes["Component"]["name"])
    for name in HOSTILE:
        rows = store.query("MATCH (v:Variant) WHERE v.name = $n RETURN v.name AS n", {"n": name})
        assert rows["n"].tolist() == [name]
    assert [store.remove_variant(name) for name in HOSTILE[:2]] == [1, 1]
    assert sizes(store)["Variant"] == len(HOSTILE) - 2


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_travels_as_a_parameter(text: str) -> None:
    rows = EmbeddedStore("/nonexistent/graph.lbug").query("RETURN $text AS text", {"text": text})
    assert rows["text"].tolist() == [text]


def test_numbers_of_an_answer_are_plain(filled: EmbeddedStore) -> None:
    rows = filled.query("MATCH (r:Run) RETURN sum(r.n) AS n, avg(r.n) AS mean, count(*) AS runs")
    assert rows.dtypes.astype(str).tolist() == ["int64", "float64", "int64"]
    assert json.dumps(rows["n"].tolist()) == "[16]"
    layers = filled.query("MATCH (c:Component) RETURN c.layer AS layer ORDER BY layer")
    assert str(layers["layer"].dtype) == "Int64"


def test_a_query_may_not_write_unless_told_to(filled: EmbeddedStore) -> None:
    cypher = "MATCH (v:Variant) SET v.recipe = $x"
    with pytest.raises(UsageError, match="reads and nothing else: SET"):
        filled.query(cypher, {"x": "new"})
    filled.query(cypher, {"x": "new"}, read_only=False)
    assert filled.read_all().nodes["Variant"]["recipe"].tolist() == ["new", "new"]


@pytest.mark.parametrize(
    ("cypher", "message"),
    [
        ("MATSCH (n)", "does not accept"),
        ("MATCH (v:Variant) RETURN v.nothing", "nothing"),
        ("MATCH (v:Variant {name: $who}) RETURN v", "needs a value for who"),
        ("RETURN 1 AS a; RETURN 2 AS b", "one statement at a time"),
    ],
)
def test_queries_that_make_no_sense(filled: EmbeddedStore, cypher: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        filled.query(cypher)
    assert "\n" not in str(caught.value)


def test_parameters_in_quotes_and_comments_are_none() -> None:
    cypher = "// $a\nMATCH (n {x: '$b \\' $c', y: \"$d\"}) /* $e */ WHERE n.`$f` = $g RETURN $g, $h"
    assert parameter_names(cypher) == ["g", "h"]


@pytest.mark.parametrize("keep", [0.5, 0.999, 0.001, 0.0])
def test_a_truncated_file_is_named(filled: EmbeddedStore, keep: float) -> None:
    data = filled.path.read_bytes()
    filled.path.write_bytes(data[: int(len(data) * keep)])
    for act in (filled.run_ids, lambda: filled.write_all(planted.planted())):
        with pytest.raises(InputError, match=r"graph\.lbug.*circuitgraph -w .* rebuild"):
            act()


def test_a_file_of_something_else_is_named(store: EmbeddedStore) -> None:
    store.path.write_text("not a graph " * 1000)
    with pytest.raises(InputError, match=r"graph\.lbug.*circuitgraph -w .* rebuild"):
        store.run_ids()
    assert store.path.read_text().startswith("not a graph")


def test_a_failed_write_changes_nothing(filled: EmbeddedStore) -> None:
    before = filled.path.read_bytes()
    with pytest.raises(UsageError):
        filled.query("MATCH (v:Variant) SET v.nothing = 1", read_only=False)
    assert filled.path.read_bytes() == before
    assert sorted(p.name for p in filled.path.parent.iterdir() if ".lock" not in p.name) == [
        "graph.lbug"
    ]


def test_a_writer_waits_and_then_gives_up(filled: EmbeddedStore) -> None:
    impatient = EmbeddedStore(filled.path, timeout=0.2)
    with FileLock(f"{filled.path}.lock"):
        assert len(impatient.run_ids()) == 4
        with pytest.raises(StoreUnreachable, match="another process has been writing"):
            impatient.write_all(planted.planted())


def test_what_another_program_logged_is_not_lost(filled: EmbeddedStore) -> None:
    script = (
        "import ladybug, os, sys\n"
        "c = ladybug.Connection(ladybug.Database(sys.argv[1], auto_checkpoint=False))\n"
        "c.execute(\"MATCH (v:Variant) SET v.recipe = 'mine'\")\n"
        "os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(filled.path)], check=False)
    assert Path(f"{filled.path}.wal").exists()
    assert set(filled.read_all().nodes["Variant"]["recipe"]) == {"mine"}
    filled.write_diff(planted.planted()[4])
    assert not Path(f"{filled.path}.wal").exists()
    assert set(filled.read_all().nodes["Variant"]["recipe"]) == {"mine"}


def test_only_the_embedded_store_is_known(tmp_path: Path) -> None:
    assert isinstance(open_store(None, tmp_path), EmbeddedStore)
    with open_store("embedded", tmp_path) as store:
        assert store.run_ids() == []
    with pytest.raises(UsageError, match="sqlite"):
        open_store("sqlite", tmp_path)


def write_large(path: Path, name: str) -> None:
    EmbeddedStore(path, timeout=60).write_run(large_tables(name))


def started(path: Path, name: str) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=write_large, args=(path, name))
    process.start()
    return process


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_a_kill_at_any_time_leaves_the_old_or_the_new_graph(
    filled: EmbeddedStore, kills: int
) -> None:
    """The writer signals when it begins to write; kills come at random times after."""
    old = sizes(filled)
    reference = EmbeddedStore(filled.path.parent / "reference.lbug")
    reference.write_all([*planted.planted(), large_tables("large")])
    new = reference.read_all()
    chance = random.Random(0)
    for _ in range(kills):
        process = started(filled.path, "large")
        while not Path(f"{filled.path}.partial").exists() and process.is_alive():
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.6))
        if process.pid and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        found = filled.read_all()
        assert sizes(filled) == old or same(found, new)
        if not same(found, new):
            assert len(filled.run_ids()) == 4
    write_large(filled.path, "large")
    assert same(filled.read_all(), new)
    assert not list(filled.path.parent.glob("graph.lbug.partial*"))


@pytest.mark.thorough
def test_several_processes_write_and_read_at_once(store: EmbeddedStore) -> None:
    names = ["one", "two", "three"]
    processes = [started(store.path, name) for name in names]
    seen = []
    while any(process.is_alive() for process in processes):
        seen.append(len(store.run_ids()))
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert seen == sorted(seen)
    assert sizes(store)["CORRELATES"] == 3 * 150 * 149 // 2
    assert sorted(store.read_all().nodes["Variant"]["name"]) == sorted(names)


def test_the_file_is_an_ordinary_ladybug_file(filled: EmbeddedStore) -> None:
    with (
        ladybug.Database(str(filled.path), read_only=True) as database,
        ladybug.Connection(database) as connection,
    ):
        rows = connection.execute("MATCH (r:Run) RETURN count(*)").get_as_df()
    assert isinstance(rows, pd.DataFrame)
    assert rows.iloc[0, 0] == 4
