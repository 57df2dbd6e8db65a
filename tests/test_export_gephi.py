"""Exports read by Gephi itself: the toolkit's importer, headless.

The toolkit (80 MB) is fetched once by Maven into Maven's own cache; without Java,
Maven or network the tests are skipped and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from circuitgraph.export import ExportGraph, export_graph

HERE = Path(__file__).parent / "gephi"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
pytestmark = pytest.mark.gephi


@pytest.fixture(scope="session")
def toolkit() -> str:
    """Class path of the Gephi toolkit."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"Gephi check needs {program}, which is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "circuitgraph-tests"
    cache.mkdir(parents=True, exist_ok=True)
    listed = cache / "gephi-classpath"
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), f"{PLUGIN}:build-classpath"]
    with FileLock(cache / "gephi.lock"):
        listed.unlink(missing_ok=True)
        try:
            done = subprocess.run(
                [*fetch, f"-Dmdep.outputFile={listed}"],
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip("the Gephi toolkit could not be fetched within 15 minutes")
        if done.returncode or not listed.exists():
            pytest.skip(f"the Gephi toolkit cannot be fetched: {done.stdout.strip()[-300:]}")
        return listed.read_text().strip()


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """Parallel edges of every kind, a zero, signs, gaps and names that try to break out."""
    rows = [
        ("L0H0", "L1H0", "correlation", "", "", 0.5, 0.01),
        ("L0H0", "L1H0", "effect", "q", "exact", -0.25, None),
        ("L0H0", "L1KV0", "effect", "k", "exact", 0.125, 0.5),
        ("L0H0", "L1KV0", "effect", "v", "exact", 1.0, 0.5),
        ("L0H0", "L0_MLP", "effect", "in", "exact", 0.0, 0.5),
        ("EMBED", "L0_MLP", "effect", "in", "exact", -3.25, 1e-300),
        ("=1+1", "ü\"<&>'\n", "effect", "in", "exact", 1e-40, 0.5),
    ]
    return pd.DataFrame(
        rows, columns=["source", "target", "kind", "input", "estimator", "weight", "p"]
    ).assign(n=120, tested=pd.array([True, False, None, True, True, True, True], dtype="boolean"))


@pytest.fixture(scope="session")
def imported(toolkit, table, tmp_path_factory) -> dict[str, dict]:
    """What Gephi holds after importing each file, in one Java process."""
    folder = tmp_path_factory.mktemp("gephi")
    mixed = ExportGraph.from_table("mixed", table, "weight", ["LOGITS"])
    only = table[table["kind"] == "correlation"]
    plain = ExportGraph.from_table("plain", only, "weight", ["LOGITS"])
    files = {
        "gexf": export_graph(mixed, "gexf", folder / "mixed.gexf"),
        "csv": export_graph(mixed, "csv", folder / "mixed"),
        "graphml": export_graph(mixed, "graphml", folder / "mixed.graphml"),
        "correlation": export_graph(plain, "gexf", folder / "plain.gexf"),
        "correlation csv": export_graph(plain, "csv", folder / "plain"),
    }
    arguments = [os.pathsep.join(map(str, paths)) for paths in files.values()]
    command = ["java", "-Djava.awt.headless=true", "-cp", toolkit, str(HERE / "GephiRead.java")]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    lines = done.stdout.decode("utf-8").splitlines()
    return {name: json.loads(line) for name, line in zip(files, lines, strict=True)}


@pytest.mark.parametrize("format", ["gexf", "csv"])
def test_gephi_keeps_every_node_and_every_parallel_edge(imported, table, format):
    graph = imported[format]
    names = {*table["source"], *table["target"], "LOGITS"}
    if format == "csv":  # Gephi trims the cells of a spreadsheet
        names = {name.strip() for name in names}
    assert {node["id"] for node in graph["nodes"]} == names
    kinds = ["correlation", "effect", "effect", "effect:k", "effect:q", "effect:v"]
    assert sorted(edge["kind"] for edge in graph["edges"]) == kinds
    assert {kind for kind in graph["types"] if kind} == set(kinds)
    assert all(edge["directed"] for edge in graph["edges"])


@pytest.mark.parametrize("format", ["gexf", "csv"])
def test_gephi_reads_sizes_signs_and_types(imported, format):
    graph = imported[format]
    edges = {edge["kind"]: edge for edge in graph["edges"] if edge["source"] == "L0H0"}
    assert edges["effect:q"]["weight"] == 0.25
    assert edges["effect:q"]["values"]["signed"] == "-0.25"
    assert edges["effect:q"]["values"]["sign"] == -1
    assert edges["effect:q"]["values"]["tested"] is False
    assert "p" not in edges["effect:q"]["values"]
    assert edges["correlation"]["values"]["p"] == "0.01"
    assert all(edge["weight"] > 0 for edge in graph["edges"])
    columns = graph["edge_columns"]
    assert columns["signed"] == columns["p"] == "Double"
    assert columns["tested"] == "Boolean"
    assert graph["node_columns"]["layer"] in ("Long", "Integer")


def test_gephi_draws_layers_apart_and_signs_in_colour(imported):
    graph = imported["gexf"]
    height = {node["id"]: node["y"] for node in graph["nodes"]}
    assert height["L1H0"] - height["L0H0"] == pytest.approx(100)
    assert height["L0H0"] - height["EMBED"] == pytest.approx(100)
    assert height["LOGITS"] - height["L1H0"] == pytest.approx(100)
    for edge in graph["edges"]:
        blue = edge["color"][2] > edge["color"][0]
        assert blue == (float(edge["values"]["signed"]) > 0)
    assert graph["issues"] == ["GEXF version 1.3"]


@pytest.mark.parametrize("format", ["correlation", "correlation csv"])
def test_correlations_alone_stay_undirected(imported, format):
    (edge,) = imported[format]["edges"]
    assert (edge["directed"], edge["weight"], edge["kind"]) == (False, 0.5, "correlation")


def test_graphml_keeps_nodes_but_gephi_merges_its_parallel_edges(imported, table):
    graph = imported["graphml"]
    assert len(graph["nodes"]) == len({*table["source"], *table["target"], "LOGITS"})
    assert len(graph["edges"]) == 4
    merged = {(e["source"], e["target"]): e["weight"] for e in graph["edges"]}
    assert merged["L0H0", "L1KV0"] == 1.125
