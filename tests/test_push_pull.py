"""push and pull: whole graphs from store to store, whatever dies on the way."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
import store_graphs as planted
from neo4j_server import STORES, Server, clear
from shell import done, rows
from store_graphs import large_tables, same, sizes

from circuitgraph import Workspace
from circuitgraph.base.errors import StoreUnreachable, UsageError
from circuitgraph.runs.record import list_runs
from circuitgraph.store import FILE_NAME, EmbeddedStore, Store, copy_graph
from circuitgraph.store.neo4j import Neo4jStore
from circuitgraph.store.tables import GraphTables

COUNTS = "MATCH (n) WITH count(n) AS nodes OPTIONAL MATCH ()-[e]->() RETURN nodes, count(e) AS n"

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


@pytest.mark.some(1)
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


@pytest.mark.thorough
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


@pytest.mark.neo4j
@pytest.mark.thorough
def test_a_server_killed_during_a_push(neo4j_server: Server, source: EmbeddedStore) -> None:
    """One line tells it; the same command again goes on."""
    with Neo4jStore(neo4j_server.address) as store:
        clear(store)
    process = push_until(neo4j_server, source.path.parent, 0.5)
    neo4j_server.kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 4, told
    assert len(told.strip().splitlines()) == 1, told
    neo4j_server.run("start")
    finished(neo4j_server, source)


def finished(server: Server, source: EmbeddedStore) -> float:
    """Push what a kill left out: the whole graph is there, and nothing else; then clear it.

    Returns the seconds of the push.
    """
    with server.store() as store:
        begin = time.monotonic()
        copy_graph(source, store)
        took = time.monotonic() - begin
        assert same(store.read_all(), source.read_all())
        assert store.query("MATCH (n:UnfinishedRun|UnfinishedDiff|Writer) RETURN n").empty
        clear(store)
    return took


def only_whole(found: GraphTables, whole: GraphTables) -> None:
    """Runs and diffs that can be seen have every relationship they should have, once."""
    for label, column in (("Run", "run"), ("Diff", "diff")):
        ids = found.nodes[label]["id"]
        assert set(ids) <= set(whole.nodes[label]["id"])
        for kind, frame in whole.rels.items():
            if column in frame:
                parts = [x[x[column].isin(ids)] for x in (frame, found.rels[kind])]
                assert parts[0].reset_index(drop=True).equals(parts[1].reset_index(drop=True))


def killed(server: Server, push: Callable[[], object], seconds: float) -> tuple[bool, bool]:
    """Kill the server so long after a push began to write, and start it again at once.

    Returns whether the push still needed the server, and whether it came to its end: it may
    find the server again before its patience ends.
    """
    with ThreadPoolExecutor(1) as pool:
        with server.store() as store:
            before = store.query(COUNTS)
            pushing = pool.submit(push)
            while not pushing.done() and store.query(COUNTS).equals(before):
                time.sleep(0.01)
        wait([pushing], seconds)
        hit = not pushing.done()
        server.kill()
        wait([pushing], 0.5)  # a push that was at its end ends now
        hit = hit and not (pushing.done() and pushing.exception() is None)
        server.run("start")
        error = pushing.exception(timeout=600)
    assert error is None or isinstance(error, StoreUnreachable), error
    return hit, error is None


@pytest.mark.neo4j
@pytest.mark.slow
def test_a_server_killed_at_fifty_moments(
    neo4j_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small graph: what takes time is the server's start. CIRCUITGRAPH_KILLS: another number.

    Kills after a push has ended do not count. Of three pushes two go on from what the kill
    before them left, and are killed too.
    """
    times = int(os.environ.get("CIRCUITGRAPH_KILLS", "50"))
    source, chance = a_graph(tmp_path / FILE_NAME, 20), random.Random(times)
    for name, value in neo4j_server.environment.items():
        monkeypatch.setenv(name, value)
    workspace = Workspace(tmp_path, store="neo4j")
    span = 0.7 * finished(neo4j_server, source)
    landed = tried = 0
    while landed < times and tried < 2 * times:
        hit, through = killed(neo4j_server, workspace.push, chance.uniform(0, span))
        landed, tried, span = landed + hit, tried + 1, span if hit else 0.9 * span
        logging.getLogger(__name__).info("%d kills, %d of them during a push", tried, landed)
        with neo4j_server.store() as store:
            only_whole(store.read_all(), source.read_all())
        if through or landed % 3 == 0:
            finished(neo4j_server, source)
    finished(neo4j_server, source)
    assert landed == times


@pytest.mark.neo4j
@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
def test_eight_processes_write_at_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Each a table of its own, its diff against the base, and the one diff that all make."""
    environment, store, there = dict(os.environ), EmbeddedStore(tmp_path / "w" / FILE_NAME), []
    if kind == "neo4j":
        environment = request.getfixturevalue("neo4j_server").environment
        store, there = request.getfixturevalue("neo4j_store"), ["--store", "neo4j"]
    work, alone = writers(tmp_path), ["-w", str(tmp_path / "alone"), "-q"]
    before(tmp_path, *alone)
    before(tmp_path, "-w", tmp_path / "w", "-q")
    for words in dict.fromkeys(tuple(words) for steps in work for words in steps):
        done(*words, *alone)
    at_once(work, [*there, "-w", str(tmp_path / "w"), "-q"], environment)
    expected = timeless(EmbeddedStore(tmp_path / "alone" / FILE_NAME).read_all())
    assert [len(expected.nodes[label]) for label in ("Run", "Diff")] == [10, 9]
    assert len(expected.rels["REWIRED"]) > 9
    assert same(timeless(store.read_all()), expected)
    assert measured(tmp_path / "w") == measured(tmp_path / "alone")


def at_once(work: list[list[list[str]]], where: list[str], environment: dict[str, str]) -> None:
    """A process for each list of commands, all at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IN_TURN, json.dumps([[*words, *where] for words in steps])],
            env=environment,
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
