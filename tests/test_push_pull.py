"""push and pull: whole graphs from store to store, whatever dies on the way."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import store_graphs as planted
from neo4j_server import Server, clear
from shell import done, rows
from store_graphs import large_tables, same, sizes

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.runs.record import list_runs
from circuitgraph.store import FILE_NAME, EmbeddedStore, Neo4jStore, Store, copy_graph
from circuitgraph.store.tables import GraphTables

IN_TURN = """
import json, sys
from circuitgraph.cli import run
sys.exit(max(run(words) for words in json.loads(sys.argv[1])))
"""


def a_graph(path: Path, size: int) -> EmbeddedStore:
    """The planted graph and four runs between ``size`` components or a few more."""
    store = EmbeddedStore(path)
    large = [large_tables(f"large {i}", size + i) for i in range(4)]
    store.write_all([*planted.planted(), *large])
    return store


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    return a_graph(tmp_path_factory.mktemp("source") / FILE_NAME, 50)


def test_a_copy_is_whole_and_a_second_one_does_nothing(
    source: EmbeddedStore, any_store: Store, tmp_path: Path
) -> None:
    steps: list[int] = []
    start = time.perf_counter()
    first = copy_graph(source, any_store, steps.append)
    middle = time.perf_counter()
    again = copy_graph(source, any_store)
    end = time.perf_counter()
    assert (first.runs, first.diffs, first.there) == (8, 1, 0)
    assert sum(steps) == 9
    assert first.edges == sum(n for kind, n in sizes(source).items() if kind.isupper())
    assert (again.runs, again.diffs, again.edges, again.there) == (0, 0, 0, 9)
    assert end - middle < (middle - start) / 2
    assert same(any_store.read_all(), source.read_all())
    back = EmbeddedStore(tmp_path / FILE_NAME)
    copy_graph(any_store, back)
    assert same(back.read_all(), source.read_all())


def test_what_the_target_lacks_is_added(source: EmbeddedStore, tmp_path: Path) -> None:
    target = EmbeddedStore(tmp_path / FILE_NAME)
    parts = planted.planted()
    target.write_all([parts[0], parts[2]])
    copied = copy_graph(source, target)
    assert (copied.runs, copied.diffs, copied.there) == (6, 1, 2)
    assert same(target.read_all(), source.read_all())


def test_the_embedded_graph_is_no_server(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for act in (workspace.push, workspace.pull):
        with pytest.raises(UsageError, match='``store="neo4j://localhost:7687"``'):
            act()


@pytest.mark.neo4j
def test_a_workspace_goes_to_the_server_and_comes_back(
    trio: Path,
    neo4j_store: Neo4jStore,
    neo4j_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real runs and diffs, by command line; queries answer the same on both sides."""
    for name, value in neo4j_server.environment.items():
        monkeypatch.setenv(name, value)
    there = ("--store", "neo4j", "-w", trio)
    pushed = rows("push", *there)
    local = EmbeddedStore(trio / FILE_NAME)
    assert pushed["runs"] == len(local.run_ids()) > 0
    assert pushed["diffs"] == len(local.diff_ids()) > 0
    assert same(neo4j_store.read_all(), local.read_all())
    for name in ("rewired", "hubs", "differences-of-runs", "moved-hubs", "paths-of-change"):
        here = rows("query", name, "-w", trio)
        assert rounded(rows("query", name, *there)) == rounded(here)
    folder = tmp_path / "other"
    pulled = done("--store", "neo4j", "pull", "-w", folder)
    assert "pulled runs hold no values of single prompts" in pulled.err
    assert same(EmbeddedStore(folder / FILE_NAME).read_all(), local.read_all())
    assert list_runs(folder / "runs") == []


def rounded(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with sums up to the order in which they were added."""
    return [
        {k: float(f"{v:.9g}") if isinstance(v, float) else v for k, v in row.items()}
        for row in answers
    ]


def push_until(server: Server, folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A push that has run for so long since it began to write."""
    command = [sys.executable, "-m", "circuitgraph.cli", "--store", "neo4j", "push", "-w", folder]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=server.environment, text=True, stdout=pipe, stderr=pipe)
    with Neo4jStore(server.address) as store:
        unfinished = "MATCH (r:UnfinishedRun|UnfinishedDiff) RETURN r.id AS id"
        while process.poll() is None and store.query(unfinished).empty:
            time.sleep(0.01)
    time.sleep(seconds)
    return process


def kills(server: Server, source: EmbeddedStore, times: int, seconds: float) -> None:
    """Kill the server during pushes, start it again, go on; sometimes from an empty graph."""
    chance = random.Random(times)
    whole = source.read_all()
    for turn in range(times):
        with Neo4jStore(server.address) as store:
            if turn % 3 == 0:
                clear(store)
        process = push_until(server, source.path.parent, chance.uniform(0, seconds))
        server.kill()
        _, told = process.communicate(timeout=60)
        assert process.returncode in (0, 4), told
        assert len(told.strip().splitlines()) <= 1, told
        server.run("start")
        with Neo4jStore(server.address) as store:
            found = store.read_all()
            whole_runs = found.nodes["Run"]["id"]
            assert set(whole_runs) <= set(source.run_ids())
            counts = found.rels["CORRELATES"].groupby("run").size()
            expected = whole.rels["CORRELATES"].groupby("run").size()
            assert counts.equals(expected[counts.index])
    with Neo4jStore(server.address) as store:
        copy_graph(source, store)
        assert same(store.read_all(), whole)
        assert store.query("MATCH (n:UnfinishedRun|UnfinishedDiff|Writer) RETURN n").empty


@pytest.mark.neo4j
def test_a_server_killed_during_a_push(neo4j_server: Server, source: EmbeddedStore) -> None:
    kills(neo4j_server, source, 1, 1.0)


@pytest.mark.neo4j
@pytest.mark.slow
def test_a_server_killed_at_fifty_moments(neo4j_server: Server, tmp_path: Path) -> None:
    """A small graph: what takes time is the server's start. CIRCUITGRAPH_KILLS: another number."""
    times = int(os.environ.get("CIRCUITGRAPH_KILLS", "50"))
    kills(neo4j_server, a_graph(tmp_path / FILE_NAME, 60), times, 3.0)


@pytest.mark.neo4j
def test_a_server_that_comes_back_while_we_push(
    neo4j_server: Server, neo4j_store: Neo4jStore, source: EmbeddedStore
) -> None:
    """Restarted within the driver's patience: nobody has to run anything again."""
    process = push_until(neo4j_server, source.path.parent, 0.5)
    neo4j_server.kill()
    neo4j_server.run("start")
    _, told = process.communicate(timeout=120)
    if process.returncode == 0:
        assert same(neo4j_store.read_all(), source.read_all())
    else:
        assert process.returncode == 4, told


@pytest.mark.neo4j
def test_eight_processes_write_at_once(
    neo4j_store: Neo4jStore, neo4j_server: Server, tmp_path: Path
) -> None:
    """Into one workspace and one server: every process also sees the runs of the others."""
    names = [f"v{i}" for i in range(8)]
    for i, name in enumerate(names):
        write_table(tmp_path / f"{name}.csv", i)
    common = ("--store", "neo4j", "-w", tmp_path / "workspace", "--quiet", "ingest-table")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "circuitgraph.cli", *common, tmp_path / f"{n}.csv", "--name", n],
            env=neo4j_server.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in names
    ]
    told = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, told
    assert sizes(neo4j_store)["CORRELATES"] == 8 * 40 * 39 // 2
    alone = Workspace(tmp_path / "workspace")
    alone.sync()
    assert same(neo4j_store.read_all(), EmbeddedStore(alone.path / FILE_NAME).read_all())


@pytest.mark.slow
def test_eight_processes_write_and_compare_at_once(tmp_path: Path) -> None:
    """Each a table of its own, its diff against the base, and the one diff that all make."""
    work = writers(tmp_path)
    alone, together = (["-w", str(tmp_path / place), "-q"] for place in ("alone", "together"))
    before(tmp_path, *alone)
    before(tmp_path, *together)
    for words in dict.fromkeys(tuple(words) for steps in work for words in steps):
        done(*words, *alone)
    at_once(work, together)
    expected, found = (
        timeless(EmbeddedStore(tmp_path / place / FILE_NAME).read_all())
        for place in ("alone", "together")
    )
    assert [len(expected.nodes[label]) for label in ("Run", "Diff")] == [10, 9]
    assert len(expected.rels["REWIRED"]) > 9
    assert same(found, expected)
    assert measured(tmp_path / "together") == measured(tmp_path / "alone")


def at_once(work: list[list[list[str]]], where: list[str]) -> None:
    """A process for each list of commands, all at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IN_TURN, json.dumps([[*words, *where] for words in steps])],
            stderr=subprocess.PIPE,
            text=True,
        )
        for steps in work
    ]
    told = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, told


def writers(folder: Path) -> list[list[list[str]]]:
    """What eight processes do, each in turn; the first table is written too."""
    work = []
    for i, name in enumerate(["base", *(f"v{i}" for i in range(8))]):
        write_table(folder / f"{name}.csv", i, rows=60, scenarios=5, turned=i)
        take = ["ingest-table", str(folder / f"{name}.csv"), "--name", name]
        work.append([take, ["diff", "base", name], ["diff", "base", "other"]])
    return work[1:]


def before(folder: Path, *where: object) -> None:
    """The two tables whose diff everybody makes."""
    done("ingest-table", folder / "base.csv", "--name", "base", *where)
    done("ingest-table", folder / "v3.csv", "--name", "other", *where)


def timeless(graph: GraphTables) -> GraphTables:
    """A graph without the times of its making."""
    nodes = {k: frame.drop(columns="created", errors="ignore") for k, frame in graph.nodes.items()}
    return GraphTables(nodes, graph.rels)


def measured(workspace: Path) -> dict[str, bytes]:
    """What was measured and concluded, byte for byte, and every other file's name."""
    plain = (".safetensors", ".jsonl", ".parquet")
    files = [p for p in workspace.rglob("*") if p.is_file() and not p.name.startswith(FILE_NAME)]
    return {
        str(p.relative_to(workspace)): p.read_bytes() if p.suffix in plain else b"" for p in files
    }


def write_table(
    path: Path, seed: int, rows: int = 12, scenarios: int = 3, turned: int | None = None
) -> None:
    """Columns of chance; or of one factor with another sign in so many of them."""
    chance = random.Random(seed)
    names = [f"c{i}" for i in range(40 if turned is None else 12)]
    lines = [",".join(["prompt_id", "scenario", *names])]
    for i in range(rows):
        factor = 0 if turned is None else chance.gauss(0, 2)
        signs = [-1 if j < (turned or 0) else 1 for j in range(len(names))]
        values = [f"{sign * factor + chance.gauss(0, 1):.6f}" for sign in signs]
        lines.append(",".join([str(i), f"s{i % scenarios}", *values]))
    path.write_text("\n".join(lines) + "\n")
