"""Names, values, positions, and files that appear only when whole."""

from __future__ import annotations

import os
import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.export import FORMATS, ExportGraph, export_graph
from circuitgraph.export.drawing import positions
from circuitgraph.export.files import write_lines
from circuitgraph.export.text import NOT_XML, as_text, distinct, in_attribute, typed_columns
from circuitgraph.workspace.workspace import Format


def small_graph() -> ExportGraph:
    table = pd.DataFrame(
        {"source": ["L0H0"], "target": ["L1H0"], "kind": ["effect"], "weight": [-0.5]}
    )
    return ExportGraph.from_table("small", table, "weight")


def test_the_types_name_every_format() -> None:
    assert {*get_args(Format)} == {*FORMATS, "mib", "neo4j-admin"}


def test_floats_are_spelt_so_that_python_and_java_read_them_exactly():
    assert [as_text(v) for v in (0.1, 1e-300, float("inf"), True, 2**53 + 1)] == [
        "0.1",
        "1e-300",
        "Infinity",
        "true",
        "9007199254740993",
    ]


def test_quotes_and_line_ends_survive_in_attributes():
    assert in_attribute('a"<&>\n\t\r') == "a&quot;&lt;&amp;&gt;&#10;&#9;&#13;"


def test_illegal_characters_are_replaced_and_names_stay_different():
    new = distinct(["L0H0", "a\x01", "a\x02", "a\ufffd"], NOT_XML)
    assert new["L0H0"] == "L0H0"
    assert new["a\ufffd"] == "a\ufffd"
    assert re.fullmatch("a\ufffd #[0-9a-f]{8}", new["a\x01"])
    assert len(set(new.values())) == 4


def test_a_legal_name_made_to_look_like_a_replaced_one_stays_verbatim():
    taken = distinct(["a\x01"], NOT_XML)["a\x01"]
    new = distinct(["a\x01", taken], NOT_XML)
    assert new[taken] == taken
    assert new["a\x01"] != taken


@given(st.lists(st.text(max_size=4), unique=True))
def test_replaced_names_are_legal_distinct_and_independent_of_order(names):
    new = distinct(names, NOT_XML)
    assert len(set(new.values())) == len(names)
    assert not any(NOT_XML.search(name) for name in new.values())
    assert distinct(names, NOT_XML) == new


def test_types_are_the_narrowest_that_lose_nothing():
    table = pd.DataFrame(
        {
            "flag": [True, None],
            "count": pd.array([2**53 + 1, None], dtype="Int64"),
            "size": [0.5, np.nan],
            "mixed": [1, "one"],
            "number": pd.Series([1, 0.5], dtype=object),
            "huge": pd.Series([2**70, 1], dtype=object),
            "flagged": pd.Series([True, 2], dtype=object),
            "nothing": [None, None],
            "no_layer": pd.array([None, None], dtype="Int64"),
            "no_size": [np.nan, np.nan],
        }
    )
    found = {c.title: (c.type, c.values) for c in typed_columns(table)}
    assert found == {
        "flag": ("boolean", [True, None]),
        "count": ("long", [2**53 + 1, None]),
        "size": ("double", [0.5, None]),
        "mixed": ("string", ["1", "one"]),
        "number": ("double", [1.0, 0.5]),
        "huge": ("string", [str(2**70), "1"]),
        "flagged": ("string", ["true", "2"]),
        "nothing": ("string", [None, None]),
        "no_layer": ("long", [None, None]),
        "no_size": ("double", [None, None]),
    }


def test_titles_are_unique_whatever_their_case_and_leave_the_formats_own_alone():
    table = pd.DataFrame([[1, 2, 3, 4]], columns=["Weight", "P", "p", "Weight "])
    titles = [c.title for c in typed_columns(table, ("weight",))]
    assert titles == ["Weight_", "P", "p_", "Weight _"]


def test_lists_cannot_be_attributes():
    table = pd.DataFrame({"shape": [[1, 2]]})
    with pytest.raises(InputError, match="column 'shape', row 1: a list"):
        typed_columns(table)


def test_layers_stand_above_each_other_in_order_of_computation():
    names = ["LOGITS", "L1H0", "L0_MLP", "L0H1", "L0H0", "EMBED"]
    assert dict(zip(names, positions(names), strict=True)) == {
        "EMBED": (0.0, -100.0),
        "L0H0": (-100.0, 0.0),
        "L0H1": (0.0, 0.0),
        "L0_MLP": (100.0, 0.0),
        "L1H0": (0.0, 100.0),
        "LOGITS": (0.0, 200.0),
    }


def test_unknown_names_stand_in_a_square_and_nobody_on_top_of_another():
    places = positions([f"unit{i}" for i in range(10)])
    assert len(set(places)) == 10
    assert {y for _, y in places} == {-200.0, -300.0, -400.0}
    assert positions([]) == []


def test_a_file_replaces_an_older_one_in_one_step(tmp_path):
    path = tmp_path / "graph.gexf"
    path.write_text("old")
    assert write_lines(path, ["new", "\n"]) == path
    assert path.read_bytes() == b"new\n"
    assert os.listdir(tmp_path) == ["graph.gexf"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "graph.gexf"
    path.write_text("old")

    def lines():
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, lines())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["graph.gexf"]


def test_unknown_formats_and_impossible_places_are_named(tmp_path):
    with pytest.raises(UsageError, match="unknown format 'dot'; choose one of gexf"):
        export_graph(small_graph(), "dot", tmp_path / "x")
    with pytest.raises(UsageError, match="is a folder; name the file"):
        export_graph(small_graph(), "gexf", tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        export_graph(small_graph(), "gexf", tmp_path / "no" / "x.gexf")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made a folder"):
        export_graph(small_graph(), "csv", tmp_path / "file")


def test_csv_writes_gephis_own_columns(tmp_path):
    nodes, edges = export_graph(small_graph(), "csv", tmp_path / "out")
    assert nodes.read_text() == (
        "Id,Label,kind,layer,head,hook\n"
        "L0H0,L0H0,head,0,0,blocks.0.attn.hook_result\n"
        "L1H0,L1H0,head,1,0,blocks.1.attn.hook_result\n"
    )
    assert edges.read_text() == (
        "Source,Target,Type,Id,Label,Weight,Kind,signed,sign\n"
        "L0H0,L1H0,Directed,e0,effect,0.5,effect,-0.5,-1\n"
    )


@pytest.mark.parametrize("format", ["gexf", "graphml", "cx2", "csv"])
def test_the_same_graph_gives_the_same_bytes(tmp_path, format):
    first = export_graph(small_graph(), format, tmp_path / "first")
    second = export_graph(small_graph(), format, tmp_path / "second")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
