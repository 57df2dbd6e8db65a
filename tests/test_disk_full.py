"""A disk that fills up at any write: a plain error, nothing half-written, and then it works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from full_disk import fill, outcome
from neo4j_server import Server
from shell import IPD, cli, done
from store_graphs import same, sizes
from test_push_pull import write_table

from circuitgraph.runs.record import list_runs
from circuitgraph.store import FILE_NAME, EmbeddedStore
from circuitgraph.store.neo4j import Neo4jStore

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
from circuitgraph.cli import run
import circuitgraph.workspace, torch, transformers
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(run(sys.argv[2:]))
"""
"""No file may grow beyond the limit: as on a full disk, a write fails in its middle."""


def limited(limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(limit), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def told(answer: subprocess.CompletedProcess[str], *, where: str = "") -> None:
    """One plain line that names a file and what is the matter with it."""
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    [line] = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert "unexpected" not in line, line
    assert where in line
    assert "large" in line.lower() or "space" in line.lower(), line


@pytest.mark.slow
def test_a_table_and_its_graph_on_a_full_disk(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 0)
    words = ("ingest-table", tmp_path / "t.csv", "--name", "t", "-w", tmp_path / "w", "-q")
    told(limited(500, *words), where="arrays")
    assert not list((tmp_path / "w" / "runs").rglob("*"))
    told(limited(100_000, *words), where="graph.lbug")
    assert not (tmp_path / "w" / "graph.lbug").exists()
    done(*words)
    assert len(EmbeddedStore(tmp_path / "w" / "graph.lbug").run_ids()) == 1


SCRIPT = Path(__file__).with_name("full_disk.py")
QUIET = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    try:
        answer = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if answer.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {answer.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prompts, one a scenario."""
    lines = (IPD / "prompts.jsonl").read_text("utf-8").splitlines(keepends=True)
    chosen = {json.loads(line)["scenario"]: line for line in lines}
    path = tmp_path_factory.mktemp("prompts") / "five.jsonl"
    path.write_text("".join([*chosen.values()][:5]), "utf-8")
    return path


def ingest(name: str, prompts: Path, workspace: object) -> list[object]:
    adapter = () if name == "base" else ("--adapter", IPD / "variants" / name)
    words = ["ingest", IPD / "base", *adapter, "--name", name, "--prompts", prompts]
    return [*words, "-w", workspace, "-q"]


@pytest.fixture(scope="module")
def two(five: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two variants."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("base", "deontological"):
        done(*ingest(name, five, folder))
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two tables with claims between them, and a third table beside it."""
    folder = tmp_path_factory.mktemp("tables")
    for i, name in enumerate("abc"):
        write_table(folder / f"{name}.csv", i, rows=60, scenarios=5, turned=4 * i)
    for name in "ab":
        done("ingest-table", folder / f"{name}.csv", "--name", name, "-w", folder / "w", "-q")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("ingest-table", "@/c.csv", "--name", "c"),
        ("diff", "a", "b"),
        ("report", "a", "b", "-o", "@/w/page.html"),
        ("export", "a", "--format", "graphml", "-o", "@/w/a.graphml"),
        ("rebuild",),
        ("remove", "a"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.some(2)
def test_no_room_at_all(words: tuple[str, ...], disk: Path, tables: Path, tmp_path: Path) -> None:
    """In this process; the tests below have room for some of the writes."""
    places = (disk, tmp_path / "undisturbed")
    for place in places:
        shutil.copytree(tables, place, dirs_exist_ok=True)
    begun = outcome(disk)
    fill(disk, 0)
    here, there = ([w.replace("@", str(p)) for w in (*words, "-w", "@/w", "-q")] for p in places)
    line = cli(*here).complaint
    assert line.startswith(f"error: {disk}/"), line
    assert "no space" in line.lower(), line
    (disk / "ballast").unlink()
    assert outcome(disk) == begun
    done(*here)
    done(*there)
    assert outcome(disk) == outcome(places[1])


def test_no_room_for_a_model(disk: Path, five: Path) -> None:
    fill(disk, 0)
    line = cli(*ingest("base", five, disk / "w")).complaint
    assert line.startswith(f"error: {disk}/w"), line
    assert "no space" in line.lower(), line
    (disk / "ballast").unlink()
    assert outcome(disk)["files"] == []
    done(*ingest("base", five, disk / "w"))
    assert len(EmbeddedStore(disk / "w" / FILE_NAME).run_ids()) == 2


@pytest.mark.neo4j
@pytest.mark.thorough
def test_a_push_from_a_full_disk_and_a_pull_onto_it(
    disk: Path,
    tables: Path,
    neo4j_store: Neo4jStore,
    neo4j_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A push first puts into the workspace's own graph what it lacks, here everything."""
    for name, value in neo4j_server.environment.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(tables / "w", disk / "w")
    (disk / "w" / FILE_NAME).unlink()
    for act, place in (("push", disk / "w"), ("pull", disk / "other")):
        words = ("--store", "neo4j", act, "-w", place, "-q")
        before = (outcome(disk), sizes(neo4j_store))
        for room in (0, 8, 800):
            fill(disk, room)
            line = cli(*words).complaint
            assert line.startswith(f"error: {place}"), line
            assert "no space" in line.lower(), line
            (disk / "ballast").unlink()
            assert (outcome(disk), sizes(neo4j_store)) == before
        done(*words)
        assert same(neo4j_store.read_all(), EmbeddedStore(place / FILE_NAME).read_all())
        assert neo4j_store.run_ids() == sorted(run.id for run in list_runs(disk / "w" / "runs"))


def swept(disk: Path, started: Path, fine: int, coarse: int, *words: object) -> dict[str, Any]:
    """The command with less and less room, checked each time; what was tried."""
    command = [sys.executable, SCRIPT, disk, started, fine, coarse, *words]
    answer = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=QUIET, check=False
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    for attempt in found["tried"]:
        if attempt["first"]["code"] != found["whole"]["code"]:
            refused(attempt, disk, set(found["before"]))
        assert attempt["litter"] == []
        assert attempt["again"]["code"] == found["whole"]["code"], attempt["again"]["told"]
        assert attempt["again"]["files"] == found["whole"]["files"]
        assert attempt["again"]["digests"] == found["whole"]["digests"]
    return found


def refused(attempt: dict[str, Any], disk: Path, before: set[str]) -> None:
    """One line that names a file and the lack of space; what was there is there."""
    assert attempt["first"]["code"] == 1, attempt["first"]
    [line] = [row for row in attempt["first"]["told"].splitlines() if "warning: " not in row]
    assert line.startswith(f"error: {disk}/"), line
    assert "no space" in line.lower(), line
    assert set(attempt["left"]) >= before


def failed(found: dict[str, Any]) -> list[str]:
    """What was said each time that there was too little room."""
    code = found["whole"]["code"]
    return [one["first"]["told"] for one in found["tried"] if one["first"]["code"] != code]


def test_output_onto_a_full_disk(tmp_path: Path) -> None:
    """What is printed goes nowhere, and that is said."""
    write_table(tmp_path / "t.csv", 0)
    done("ingest-table", tmp_path / "t.csv", "--name", "t", "-w", tmp_path / "w", "-q")
    command = [sys.executable, "-m", "circuitgraph.cli", "runs", "-w", tmp_path / "w"]
    with open("/dev/full", "w") as full:
        answer = subprocess.run(command, stdout=full, stderr=-1, text=True, check=False)
    assert answer.returncode == 1
    [line] = answer.stderr.splitlines()
    assert line.startswith("error: the output: no space left")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("export", "base", "--format", "gexf", "-o", "@/b.gexf"), ("b.gexf",)),
        (("export", "base", "--format", "csv", "-o", "@/c"), ("nodes.csv", "edges.csv")),
        (("export", "--format", "neo4j-admin", "-o", "@/i"), ("Variant.csv", "CORRELATES.csv")),
        (("rebuild",), ("graph.lbug",)),
    ],
    ids=lambda words: "-".join(words[:4:3]) if isinstance(words, tuple) else None,
)
def test_a_command_at_every_write(
    words: tuple[str, ...], files: tuple[str, ...], disk: Path, two: Path
) -> None:
    told = failed(swept(disk, two, 4, 1500, *words, "-w", "@/w", "-q"))
    for file in files:
        assert any(file in line for line in told), file


@pytest.fixture(scope="module")
def compared(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants on enough prompts for claims, with a diff of their correlations."""
    folder = tmp_path_factory.mktemp("compared")
    for name in ("base", "deontological"):
        done(*ingest(name, examples / "prompts.jsonl", folder))
    done("diff", "base", "deontological", "--lens", "correlation", "-w", folder, "-q")
    return folder


@pytest.mark.slow
def test_a_model_at_every_write(disk: Path, five: Path, tmp_path: Path) -> None:
    """Into an empty workspace: records of the prompts and their signs are written too."""
    told = failed(swept(disk, tmp_path / "nothing", 1, 1500, *ingest("base", five, "@/w")))
    for file in ("/prompts/", "arrays.safetensors", "graph.lbug"):
        assert any(file in line for line in told), file


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("diff", "base", "deontological"), ("report", "base", "deontological", "-o", "@/page.html")],
    ids=lambda words: words[0],
)
def test_a_comparison_at_every_write(words: tuple[str, ...], disk: Path, compared: Path) -> None:
    assert failed(swept(disk, compared, 2, 1500, *words, "-w", "@/w", "-q"))


@pytest.mark.slow
def test_a_full_disk_can_be_read(disk: Path, two: Path) -> None:
    for words in (
        ("runs",),
        ("edges", "base"),
        ("query", "runs"),
        ("cypher", "MATCH (r) RETURN 1"),
    ):
        assert failed(swept(disk, two, 4, 600, *words, "-w", "@/w")) == []
