"""Every format, read back by the programs people read it with: nothing lost, types kept."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import igraph as ig
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from circuitgraph.export import ExportGraph, export_graph
from circuitgraph.export.text import NOT_UTF8, NOT_XML, distinct, typed_columns

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "gephi" / "gexf-1.3-subset.rng"))
XML_OF_ANY_SIZE = etree.XMLParser(huge_tree=True)

names = st.text(min_size=1, max_size=5) | st.sampled_from(
    ["L0H0", "L0_MLP", "L1H0", "EMBED", "LOGITS", "\x01a", "\x02a", " a", "a ", "=1+1", "null",
     "a\nb", "a\rb", "a\tb", '"', "<&>'", "ü😀", "id", "\ud800", "\ufffe", "`) DETACH DELETE n //"]
)  # fmt: skip
weights = st.floats(allow_nan=True, allow_infinity=False, width=64) | st.sampled_from([0.0, -0.0])
optional = {
    "p": st.none() | st.floats(allow_nan=True),
    "n": st.none() | st.integers(-(2**63), 2**63 - 1),
    "flag": st.none() | st.booleans(),
    "Note": st.none() | st.text(max_size=5),
    "mixed": st.none() | st.booleans() | st.integers() | st.text(max_size=3),
}


def unordered(key: tuple) -> tuple:
    """An edge, whichever way round it is given."""
    return (*sorted(key[:2]), key[2])


@st.composite
def graphs(draw) -> ExportGraph:
    """Any graph: parallel kinds, gaps in every column, hostile names, zero and NaN weights."""
    nodes = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    node = st.sampled_from(nodes)
    kind = st.sampled_from([("correlation", ""), *(("effect", i) for i in ("all", "q", "k", "v"))])
    if draw(st.booleans()):
        kind = st.just(("correlation", ""))
    keys = draw(
        st.lists(
            st.tuples(node, node, kind),
            max_size=8,
            unique_by=unordered,
        )
    )
    table = pd.DataFrame(
        {
            "source": pd.Series([k[0] for k in keys], dtype=object),
            "target": pd.Series([k[1] for k in keys], dtype=object),
            "kind": pd.Series([k[2][0] for k in keys], dtype=object),
            "input": pd.Series([k[2][1] for k in keys], dtype=object),
            "weight": pd.Series([draw(weights) for _ in keys], dtype=float),
            **{
                name: pd.Series([draw(values) for _ in keys], dtype=object)
                for name, values in optional.items()
            },
        }
    )
    return ExportGraph.from_table("any <name>\x00", table, "weight", nodes)


round_trip = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def expected(table: pd.DataFrame, illegal) -> list[dict]:
    """Attributes every reader must find, by edge; text as the format can hold it."""
    columns = typed_columns(table)
    return [
        {
            column.title: legal(column.values[row], illegal)
            for column in columns
            if column.values[row] is not None
        }
        for row in range(len(table))
    ]


def legal(value, illegal):
    return illegal.sub("\ufffd", value) if isinstance(value, str) else value


def normal(values: list) -> list:
    """GraphML holds no subnormal floats: igraph cannot read them."""
    return [0.0 if type(v) is float and abs(v) < sys.float_info.min else v for v in values]


def same(found: dict, wanted: dict) -> bool:
    """Equal in value and in type."""
    return found == wanted and {k: type(v) for k, v in found.items()} == {
        k: type(v) for k, v in wanted.items()
    }


@round_trip
@given(graph=graphs())
def test_gexf_is_valid_and_networkx_reads_back_every_edge(tmp_path, graph):
    (path,) = export_graph(graph, "gexf", tmp_path / "graph.gexf")
    SCHEMA.assertValid(etree.parse(path, XML_OF_ANY_SIZE))
    read = nx.read_gexf(path, version="1.3")
    ids = distinct(graph.nodes["name"].tolist(), NOT_XML)
    assert set(read.nodes) == set(ids.values())
    assert read.number_of_edges() == len(graph.edges)
    assert read.is_directed() == (graph.directed if len(graph.edges) else read.is_directed())
    wanted = expected(graph.edges.drop(columns=["source", "target", "weight"]), NOT_XML)
    for source, target, data in read.edges(data=True):
        row = int(data.pop("id")[1:])
        ends = {ids[graph.edges["source"][row]], ids[graph.edges["target"][row]]}
        assert {source, target} == ends
        weight = float(data.pop("weight"))
        assert weight == min(max(graph.edges["weight"][row], 1e-30), 1e30)
        assert data.pop("label") == data["relation"]
        data.pop("viz", None)
        assert same(data, wanted[row])


@round_trip
@given(graph=graphs())
def test_networkx_reads_back_every_value_of_graphml(tmp_path, graph):
    (path,) = export_graph(graph, "graphml", tmp_path / "graph.graphml")
    read = nx.read_graphml(path, force_multigraph=True)
    ids = distinct(graph.nodes["name"].tolist(), NOT_XML)
    assert set(read.nodes) == set(ids.values())
    assert read.is_directed() == graph.directed
    wanted = expected(graph.edges.drop(columns=["source", "target"]), NOT_XML)
    found = {}
    for _, _, key, data in read.edges(keys=True, data=True):
        found[int(key[1:])] = {k: v for k, v in data.items() if k != "id"}
    assert sorted(found) == list(range(len(graph.edges)))
    for row, data in found.items():
        assert same(data, {k: normal([v])[0] for k, v in wanted[row].items()})


@round_trip
@given(graph=graphs())
def test_igraph_reads_back_names_edges_and_weights_of_graphml(tmp_path, graph):
    (path,) = export_graph(graph, "graphml", tmp_path / "graph.graphml")
    read = ig.Graph.Read_GraphML(str(path))
    ids = distinct(graph.nodes["name"].tolist(), NOT_XML)
    # igraph mangles & and < in ids, so names are looked up as labels.
    assert read.vs["label"] == [ids[name] for name in graph.nodes["name"]]
    assert read.is_directed() == graph.directed
    if len(graph.edges):
        assert read.es["signed"] == normal(graph.edges["signed"].tolist())
        assert read.es["relation"] == graph.edges["relation"].tolist()
        ends = [{read.vs[e.source]["label"], read.vs[e.target]["label"]} for e in read.es]
        pairs = zip(graph.edges["source"], graph.edges["target"], strict=True)
        assert ends == [{ids[s], ids[t]} for s, t in pairs]


@round_trip
@given(graph=graphs())
def test_csv_holds_names_verbatim_and_floats_exactly(tmp_path, graph):
    nodes, edges = export_graph(graph, "csv", tmp_path / "folder")
    with open(nodes, encoding="utf-8", newline="") as file:
        read_nodes = list(csv.DictReader(file))
    with open(edges, encoding="utf-8", newline="") as file:
        read_edges = list(csv.DictReader(file))
    ids = distinct(graph.nodes["name"].tolist(), NOT_UTF8)
    assert [row["Id"] for row in read_nodes] == [ids[name] for name in graph.nodes["name"]]
    assert all(name == new for name, new in ids.items() if not NOT_UTF8.search(name))
    assert [float(row["Weight"]) for row in read_edges] == graph.edges["weight"].tolist()
    assert [float(row["signed"]) for row in read_edges] == graph.edges["signed"].tolist()
    assert [row["Kind"] for row in read_edges] == graph.edges["relation"].tolist()
    wanted = expected(graph.edges[["n", "flag", "Note"]], NOT_UTF8)
    for row, values in zip(read_edges, wanted, strict=True):
        assert row["Note"] == values.get("Note", "")
        assert row["n"] == str(values.get("n", ""))
        assert row["flag"] == str(values.get("flag", "")).lower()


@round_trip
@given(graph=graphs())
def test_cx2_is_json_with_every_value(tmp_path, graph):
    (path,) = export_graph(graph, "cx2", tmp_path / "graph.cx2")
    document = json.loads(path.read_text("ascii"), parse_constant=pytest.fail)
    assert document[0] == {"CXVersion": "2.0", "hasFragments": False}
    aspects = {name: value for part in document for name, value in part.items()}
    counts = {entry["name"]: entry["elementCount"] for entry in aspects["metaData"]}
    assert all(len(aspects[name]) == count for name, count in counts.items())
    assert [node["v"]["name"] for node in aspects["nodes"]] == graph.nodes["name"].tolist()
    table = graph.edges.drop(columns=["source", "target"]).rename(
        columns={"relation": "interaction"}
    )
    for edge, values in zip(aspects["edges"], expected(table, NOT_NEEDED), strict=True):
        finite = {k: v for k, v in values.items() if not (type(v) is float and math.isinf(v))}
        assert same(edge["v"], finite)
        assert graph.nodes["name"][edge["s"]] == graph.edges["source"][edge["id"]]
        assert graph.nodes["name"][edge["t"]] == graph.edges["target"][edge["id"]]
    declared = aspects["attributeDeclarations"][0]["edges"]
    assert {declared[k]["d"] for k in declared} <= {"string", "long", "double", "boolean"}


class NOT_NEEDED:  # noqa: N801
    """JSON holds any text."""

    @staticmethod
    def sub(_: str, text: str) -> str:
        return text


def test_kinds_between_the_same_nodes_stay_apart_in_gexf(tmp_path):
    table = pd.DataFrame(
        [
            ("L0H0", "L1H0", "correlation", "", 0.5),
            ("L0H0", "L1H0", "effect", "q", -0.25),
            ("L0H0", "L1H0", "effect", "k", 0.125),
            ("L0H0", "L1KV0", "effect", "k", 1.0),
        ],
        columns=["source", "target", "kind", "input", "weight"],
    )
    graph = ExportGraph.from_table("kinds", table, "weight")
    (path,) = export_graph(graph, "gexf", tmp_path / "graph.gexf")
    edges = etree.parse(path).findall(".//{http://gexf.net/1.3}edge")
    keys = [tuple(e.get(k) for k in ("source", "target", "kind")) for e in edges]
    assert keys == [
        ("L0H0", "L1H0", "correlation"),
        ("L0H0", "L1H0", "effect:q"),
        ("L0H0", "L1H0", "effect:k"),
        ("L0H0", "L1KV0", "effect:k"),
    ]
    assert [e.find("{*}color").get("r") for e in edges] == ["33", "178", "33", "33"]


def test_names_of_65_000_characters(tmp_path):
    table = pd.DataFrame(
        {"source": ["x" * 65_000], "target": ["y"], "kind": ["effect"], "weight": [1.0]}
    )
    graph = ExportGraph.from_table("long", table, "weight")
    (path,) = export_graph(graph, "gexf", tmp_path / "graph.gexf")
    assert set(nx.read_gexf(path, version="1.3")) == {"x" * 65_000, "y"}
    (path,) = export_graph(graph, "graphml", tmp_path / "graph.graphml")
    assert set(ig.Graph.Read_GraphML(str(path)).vs["id"]) == {"x" * 65_000, "y"}


def test_an_empty_graph_is_a_valid_file(tmp_path):
    table = pd.DataFrame({"source": [], "target": [], "kind": [], "weight": np.array([])})
    graph = ExportGraph.from_table("empty", table, "weight")
    (path,) = export_graph(graph, "gexf", tmp_path / "graph.gexf")
    SCHEMA.assertValid(etree.parse(path))
    assert nx.read_gexf(path, version="1.3").number_of_nodes() == 0
    (path,) = export_graph(graph, "graphml", tmp_path / "graph.graphml")
    assert ig.Graph.Read_GraphML(str(path)).vcount() == 0
