"""Tables of edges as igraph and networkx graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from circuitgraph.base.errors import InputError
from circuitgraph.graph.convert import edge_kinds, node_table, plain_values, to_igraph, to_networkx


def edges(*rows: tuple) -> pd.DataFrame:
    """Rows of (source, target, kind, input, weight) as a run's table has them."""
    table = pd.DataFrame(rows, columns=["source", "target", "kind", "input", "weight"])
    for column in ("source", "target", "kind", "input"):
        table[column] = pd.Categorical(table[column])
    return table.assign(p=[np.nan, 0.5, 0.5][: len(rows)], n=10)


BOTH = edges(
    ("L0H0", "L1H0", "correlation", "", 0.5),
    ("L0H0", "L1H0", "effect", "q", -0.25),
    ("EMBED", "L0_MLP", "effect", "in", 1.0),
)


def test_names_say_kind_layer_and_head():
    table = node_table(["EMBED", "L5H3", "L2_MLP", "unit7"])
    assert table["kind"].tolist() == ["embed", "head", "mlp", "other"]
    assert plain_values(table["layer"]) == [None, 5, 2, None]
    assert plain_values(table["head"]) == [None, 3, None, None]


def test_any_effect_makes_a_directed_graph():
    assert to_igraph(BOTH).is_directed()
    assert isinstance(to_networkx(BOTH), nx.MultiDiGraph)
    assert not to_igraph(BOTH[:1]).is_directed()
    assert type(to_networkx(BOTH[:1])) is nx.MultiGraph


def test_igraph_carries_typed_attributes_and_nodes_without_edges():
    graph = to_igraph(BOTH, ["EMBED", "L0H0", "L0_MLP", "L1H0", "LOGITS"])
    assert graph.vs["name"] == ["EMBED", "L0H0", "L0_MLP", "L1H0", "LOGITS"]
    assert graph.vs["layer"] == [None, 0, 0, 1, None]
    assert graph.es["weight"] == [0.5, -0.25, 1.0]
    assert graph.es["relation"] == ["correlation", "effect:q", "effect"]
    assert graph.es["kind"] == ["correlation", "effect", "effect"]
    assert np.isnan(graph.es["p"][0])
    assert {type(n) for n in graph.es["n"]} == {int}


def test_networkx_leaves_out_what_is_missing():
    graph = to_networkx(BOTH)
    assert graph.nodes["L0H0"] == {"kind": "head", "layer": 0, "head": 0}
    assert graph.nodes["EMBED"] == {"kind": "embed"}
    assert graph.edges["L0H0", "L1H0", "correlation"] == {
        "kind": "correlation",
        "input": "",
        "weight": 0.5,
        "n": 10,
    }
    assert graph.edges["L0H0", "L1H0", "effect:q"]["p"] == 0.5


def test_a_column_called_key_is_only_an_attribute():
    graph = to_networkx(BOTH.assign(key="k"))
    assert graph.edges["L0H0", "L1H0", "effect:q"]["key"] == "k"


def test_rows_of_a_diff_become_rewired_edges():
    table = pd.DataFrame(
        {"source": ["a", "a"], "target": ["b", "b"], "input": ["q", "k"], "lens": "effect"}
    )
    graph = to_networkx(table.assign(delta=[0.1, -0.1], verdict="rewired"))
    assert sorted(graph["a"]["b"]) == ["rewired:k", "rewired:q"]
    assert not to_igraph(table.assign(lens="correlation")).is_directed()


def test_estimators_tell_edges_apart_only_where_needed():
    table = edges(("a", "b", "effect", "all", 1.0), ("a", "b", "effect", "all", 2.0))
    table["estimator"] = ["exact", "eap"]
    assert edge_kinds(table) == ["effect:exact", "effect:eap"]
    assert edge_kinds(table[:1]) == ["effect"]


def test_an_edge_twice_is_an_error_in_either_order_where_direction_does_not_count():
    with pytest.raises(InputError, match=r"'b' → 'a' \(correlation\) is in the table twice"):
        to_igraph(edges(("a", "b", "correlation", "", 1.0), ("b", "a", "correlation", "", 1.0)))
    assert to_igraph(edges(("a", "b", "effect", "", 1.0), ("b", "a", "effect", "", 1.0))).ecount()


def test_nodes_must_cover_the_edges_and_be_named_once():
    with pytest.raises(InputError, match="ends at 'EMBED'"):
        to_igraph(BOTH, ["L0H0", "L1H0"])
    with pytest.raises(InputError, match="names one of them twice"):
        to_networkx(BOTH, ["L0H0", "L0H0"])


def test_no_edges_and_no_nodes():
    empty = BOTH[:0]
    assert (to_igraph(empty).vcount(), to_networkx(empty).number_of_nodes()) == (0, 0)
    assert to_igraph(empty, ["a"]).vs["name"] == ["a"]
