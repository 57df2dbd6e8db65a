"""No algorithm meets a negative weight; small graphs with answers known by hand."""

from __future__ import annotations

import random

import igraph as ig
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.base.errors import InputError
from circuitgraph.graph.centrality import betweenness, leiden, pagerank, strengths
from circuitgraph.graph.signed import SignedGraph, WeightView, require_non_negative


def signed(*rows: tuple, kind: str = "correlation", nodes=None) -> SignedGraph:
    """A graph from rows of (source, target, weight)."""
    table = pd.DataFrame(rows, columns=["source", "target", "weight"]).assign(kind=kind)
    return SignedGraph.from_edges(table, nodes)


TRIANGLE = signed(("a", "b", 0.5), ("b", "c", -0.25), ("a", "c", 0.0))


@pytest.mark.parametrize("bad", [-1e-300, float("nan"), float("inf")])
def test_the_guard_refuses_negative_missing_and_infinite_weights(bad):
    with pytest.raises(InputError, match="choose positive"):
        require_non_negative(np.array([1.0, bad]))
    with pytest.raises(InputError, match="of edge 1"):
        WeightView(("a", "b"), np.array([0]), np.array([1]), np.array([bad]), False, "absolute")


def test_every_view_says_which_weights_it_holds():
    views = [TRIANGLE.positive(), TRIANGLE.negative(), TRIANGLE.absolute()]
    assert [view.weights for view in views] == ["positive", "negative", "absolute"]
    assert [view.weight.tolist() for view in views] == [[0.5], [0.25], [0.5, 0.25]]


def test_parallel_inputs_add_up_by_size():
    graph = signed(("a", "b", 0.5), ("a", "b", -0.25), ("b", "a", 1.0), kind="effect")
    assert graph.absolute().weight.tolist() == [0.75, 1.0]
    assert graph.positive().weight.tolist() == [0.5, 1.0]
    undirected = signed(("a", "b", 0.5), ("b", "a", 0.25))
    assert undirected.absolute().weight.tolist() == [0.75]


def test_an_edge_without_a_weight_is_named():
    with pytest.raises(InputError, match="the weight of 'a' → 'b' is nan"):
        signed(("a", "b", float("nan")))


def test_strength_is_two_numbers():
    found = strengths(TRIANGLE)
    assert found.loc["b"].tolist() == [0.5, 0.25, 0.75]
    assert found.loc["a"].tolist() == [0.5, 0.0, 0.5]
    assert list(found) == ["positive", "negative", "strength"]


def test_strength_of_a_directed_graph_splits_into_out_and_in():
    found = strengths(signed(("a", "b", 2.0), ("b", "c", -3.0), kind="effect"))
    row = found.loc["b"]
    assert (row["out_positive"], row["out_negative"], row["out_strength"]) == (0, 3, 3)
    assert (row["in_positive"], row["in_negative"], row["in_strength"]) == (2, 0, 2)
    assert (row["positive"], row["negative"], row["strength"]) == (2, 3, 5)


def test_shortest_paths_prefer_strong_edges():
    # 1/1 + 1/1 = 2 through b is shorter than 1/0.4 = 2.5 directly.
    view = signed(("a", "b", -1.0), ("b", "c", 1.0), ("a", "c", 0.4)).absolute()
    assert betweenness(view).tolist() == [0.0, 1.0, 0.0]
    view = signed(("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", 0.6)).absolute()
    assert betweenness(view).tolist() == [0.0, 0.0, 0.0]


def test_betweenness_of_a_directed_path_is_a_share_of_ordered_pairs():
    view = signed(("a", "b", 1.0), ("b", "c", 1.0), kind="effect").absolute()
    assert betweenness(view).tolist() == [0.0, 0.5, 0.0]


def test_pagerank_follows_the_weights_and_the_direction():
    symmetric = signed(("a", "b", 1.0), ("b", "c", 1.0)).absolute()
    ranks = pagerank(symmetric)
    assert ranks.sum() == pytest.approx(1)
    assert ranks[1] == pytest.approx(0.4865, abs=1e-4)
    directed = pagerank(signed(("a", "b", 1.0), kind="effect").absolute())
    assert directed[1] > directed[0]


@given(st.floats(1e-300, 1e300))
def test_the_unit_of_the_weights_does_not_matter(unit):
    graph = signed(("a", "b", unit), ("b", "c", 0.5 * unit), ("c", "d", 0.25 * unit)).absolute()
    one = signed(("a", "b", 1.0), ("b", "c", 0.5), ("c", "d", 0.25)).absolute()
    assert pagerank(graph) == pytest.approx(pagerank(one))
    assert betweenness(graph) == pytest.approx(betweenness(one))
    assert leiden(graph).membership.tolist() == leiden(one).membership.tolist()


def two_cliques(weight_between: float) -> SignedGraph:
    rows = [(f"{c}{i}", f"{c}{j}", -1.0) for c in "xy" for i in range(4) for j in range(i)]
    return signed(*rows, ("x0", "y0", weight_between))


def test_leiden_finds_two_cliques_and_says_what_it_used():
    found = leiden(two_cliques(0.1).absolute(), seed=3)
    names = two_cliques(0.1).names
    groups = dict(zip(names, found.membership, strict=True))
    assert {groups[f"x{i}"] for i in range(4)} == {0}
    assert {groups[f"y{i}"] for i in range(4)} == {1}
    assert (found.weights, found.seed) == ("absolute", 3)
    assert found.modularity > 0.4


def random_graph(size: int) -> SignedGraph:
    rng = np.random.default_rng(0)
    rows = [(f"n{i}", f"n{j}", rng.normal()) for i in range(size) for j in range(i)]
    return signed(*rows)


def test_leiden_is_reproducible_by_seed_and_hands_back_igraphs_generator():
    view = random_graph(40).absolute()
    random.seed(1)
    before = [leiden(view, seed).membership.tolist() for seed in range(3)]
    random.seed(2)
    assert [leiden(view, seed).membership.tolist() for seed in range(3)] == before
    random.seed(5)
    first = ig.Graph.Erdos_Renyi(10, 0.5).get_edgelist()
    random.seed(5)
    assert ig.Graph.Erdos_Renyi(10, 0.5).get_edgelist() == first


def test_leiden_leaves_pythons_random_numbers_alone():
    random.seed(7)
    wanted = random.random()
    random.seed(7)
    leiden(random_graph(10).absolute())
    assert random.random() == wanted


@pytest.mark.parametrize(
    "graph", [signed(nodes=["a", "b", "c"]), signed(("a", "b", 0.0)), signed()]
)
def test_graphs_without_weight_have_no_hubs(graph):
    view, n = graph.absolute(), len(graph.names)
    assert betweenness(view).tolist() == [0.0] * n
    assert pagerank(view).tolist() == [1 / n] * n if n else len(pagerank(view)) == 0
    assert leiden(view).membership.tolist() == list(range(n))
    assert strengths(graph)["strength"].tolist() == [0.0] * n
