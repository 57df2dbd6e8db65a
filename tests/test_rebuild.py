"""A graph that cannot be opened is made again, with everything that files or the graph hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import ladybug
import numpy as np
import pytest
import store_graphs as planted
from shell import Answer, cli, done, rows

from circuitgraph.base.errors import InputError
from circuitgraph.store import (
    EmbeddedStore,
    keep_tables,
    kept_tables,
    salvaged,
    tables_of,
)

SLOW = pytest.mark.slow
ASK = "MATCH (d:Diff) RETURN d.id AS id ORDER BY id"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two tables of activities and a diff of them."""
    folder = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(40, 4))
    for name, weight in (("a", 0.0), ("b", 3.0)):
        own = rng.normal(size=(40, 4))
        own[:, 1] += weight * own[:, 0]
        cells = shared * 0.1 + own
        lines = ["prompt_id,scenario,L0H0,L0H1,L0_MLP,L1H0"]
        lines += [f"p{i},s{i % 2}," + ",".join(map(str, row)) for i, row in enumerate(cells)]
        (folder / f"{name}.csv").write_text("\n".join(lines))
        done("ingest-table", folder / f"{name}.csv", "--name", name, "-w", folder / "ws")
    cli("diff", "a", "b", "-w", folder / "ws", "-q")
    return folder / "ws"


@pytest.fixture
def workspace(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "with a blank"))


def graph(workspace: Path) -> EmbeddedStore:
    return EmbeddedStore(workspace / "graph.lbug")


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def noise(file: Path) -> None:
    file.write_bytes(b"not a graph " * 1000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def checkpointed(file: Path) -> None:
    """What a checkpoint leaves behind in a process that may only read."""
    script = "import ladybug, sys; d = ladybug.Database(sys.argv[1], read_only=True);"
    script += "ladybug.Connection(d).execute('CHECKPOINT')"
    subprocess.run([sys.executable, "-c", script, file], capture_output=True, check=False)
    assert file.with_name("graph.lbug.shadow").exists()


def without_graph(file: Path) -> None:
    """As far as the former advice went: logs and shadows lie beside no graph."""
    checkpointed(file)
    file.unlink()
    file.write_bytes(b"x")


@pytest.mark.parametrize(
    "damage",
    [checkpointed, *(pytest.param(d, marks=SLOW) for d in (torn, noise, empty, without_graph))],
)
def test_one_command_brings_everything_back(damage, workspace: Path) -> None:
    before = graph(workspace).read_all()
    assert len(before.ids("Diff")) == 1
    assert len(before.rels["REWIRED"]) > 0
    damage(workspace / "graph.lbug")
    complaint = cli("cypher", ASK, "-w", workspace).complaint
    assert f"circuitgraph -w '{workspace}' rebuild" in complaint
    done("rebuild", "-w", workspace)
    assert planted.same(graph(workspace).read_all(), before)
    assert [row["id"] for row in rows("cypher", ASK, "-w", workspace)] == before.ids("Diff")
    assert {f.name for f in workspace.iterdir()} == {
        "runs",
        "diffs",
        "graph.lbug",
        "graph.lbug.lock",
    }


@SLOW
def test_a_whole_graph_is_made_again_as_it_was(workspace: Path) -> None:
    before = graph(workspace).read_all()
    answer = done("--json", "rebuild", "-w", workspace)
    assert json.loads(answer.out) | {"edges": 0} == {
        "runs": 2,
        "diffs": 1,
        "edges": 0,
        "there": 0,
        "transfers": 0,
    }
    assert answer.err == ""
    assert planted.same(graph(workspace).read_all(), before)


def test_what_only_the_graph_holds_is_taken_over(workspace: Path) -> None:
    """Pulled runs and their diffs, and diffs of a version that kept no graph of them."""
    graph(workspace).write_all(planted.planted())
    shutil.rmtree(workspace / "diffs" / "graph")
    before = graph(workspace).read_all()
    done("rebuild", "-w", workspace)
    assert planted.same(graph(workspace).read_all(), before)


@SLOW
def test_what_is_lost_with_the_graph_is_said(workspace: Path) -> None:
    graph(workspace).write_all(planted.planted())
    noise(workspace / "graph.lbug")
    answer: Answer = done("rebuild", "-w", workspace)
    assert "pull brings again" in answer.err
    assert len(graph(workspace).run_ids()) == 2


@pytest.mark.thorough
def test_a_reader_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "graph.lbug")
    store.write_all(planted.planted())
    held = set(store.run_ids()) | set(store.diff_ids())
    found, whole = salvaged(store.path, ())
    assert whole
    assert planted.same(merged_as_read(found, tmp_path), store.read_all())
    assert salvaged(store.path, held) == ([], True)
    noise(store.path)
    assert salvaged(store.path, ()) == ([], False)
    assert salvaged(tmp_path / "nothing", ()) == ([], True)


def merged_as_read(found: list, tmp_path: Path):
    again = EmbeddedStore(tmp_path / "again.lbug")
    again.write_anew(found)
    return again.read_all()


def test_kept_graphs_are_read_back_and_go_with_their_runs(tmp_path: Path) -> None:
    runs_and_diffs = planted.planted()
    diffs = [part for part in runs_and_diffs if part.ids("Diff")]
    for number, part in enumerate(diffs):
        keep_tables(part, tmp_path, str(number))
    back = [tables for _, tables in kept_tables(tmp_path)]
    for one, other in zip(diffs, back, strict=True):
        assert all(one.nodes[k].equals(other.nodes[k]) for k in one.nodes)
        assert all(one.rels[k].equals(other.rels[k]) for k in one.rels)
    assert tables_of(tmp_path, {"another"}) == []
    of = tables_of(tmp_path, {diffs[0].rels["COMPARES"]["end"].iloc[0]})
    assert [file.name for file in of] == ["0.json"]
    file = tmp_path / "diffs" / "graph" / "x.json"
    file.write_text("{")
    with pytest.raises(InputError, match=r"x\.json.*remove the file and diff again"):
        tables_of(tmp_path, set())


def test_a_rebuild_that_fails_leaves_the_old_file(workspace: Path) -> None:
    before = (workspace / "graph.lbug").read_bytes()
    next((workspace / "diffs" / "graph").glob("*.json")).write_text("[]")
    assert "remove the file and diff again" in cli("rebuild", "-w", workspace).complaint
    assert (workspace / "graph.lbug").read_bytes() == before
    with ladybug.Database(str(workspace / "graph.lbug"), read_only=True):
        pass
