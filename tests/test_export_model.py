"""What becomes of runs and diffs on the way into a file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from circuitgraph.base.components import Edge
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.diff.record import COLUMNS, Diff
from circuitgraph.export import ExportGraph
from circuitgraph.export.gexf import layer_colours
from circuitgraph.export.model import strongest
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant


def make_run(kind: str, name: str = "base", **parts) -> Run:
    """A run of four prompts in two scenarios."""
    prompts = tuple(RunPrompt(str(i), str(i % 2), direction=1) for i in range(4))
    return Run(
        id=f"{name} {kind}",
        variant=Variant(name, "", "", "", "toy", "toy", 2, 1, 1, 0, name),
        method=Method(kind),
        prompts=prompts,
        prompts_fingerprint="same",
        duplicates=0,
        components=parts.get("components", ()),
        edges=parts.get("edges", ()),
        self_check={},
        versions={},
        seed=0,
        created="",
        _arrays={k: np.asarray(v, np.float32) for k, v in parts["arrays"].items()},
    )


def correlation_run(name: str = "base") -> Run:
    activity = [[0, 0, 5], [0, 1, 5], [1, -1, 5], [2, -3, 5]]
    names = ("L0H0", "L0_MLP", "L1H0")
    return make_run("correlation", name, components=names, arrays={"activity": activity})


def effect_run(name: str = "base") -> Run:
    edges = (Edge("L0H0", "L0_MLP", "in"), Edge("L0H0", "L1H0", "all"))
    effects = [[1, 0], [2, 0], [3, 0], [4, 0]]
    return make_run(
        "effect", name, edges=edges, arrays={"effects": effects, "totals": [1, 1, 1, 1]}
    )


def test_a_variant_is_one_graph_of_both_kinds_and_then_directed():
    graph = ExportGraph.from_runs([correlation_run(), effect_run()])
    assert graph.name == "base"
    assert graph.directed
    assert graph.nodes["name"].tolist() == ["L0H0", "L0_MLP", "L1H0"]
    assert graph.edges[["source", "target", "relation"]].values.tolist() == [
        ["L0H0", "L0_MLP", "correlation"],
        ["L0H0", "L0_MLP", "effect"],
    ]
    assert graph.edges["signed"].tolist() == [pytest.approx(-1.0, abs=0.2), 2.5]
    assert graph.edges["unit"].tolist() == ["correlation within scenarios (r)", "log-odds"]


def test_correlations_alone_are_undirected_and_undefined_edges_counted():
    graph = ExportGraph.from_runs([correlation_run()])
    assert not graph.directed
    assert len(graph.edges) == 1
    assert graph.dropped == 2  # L1H0 never varies, so its correlations are undefined
    assert "2 edges of value 0 or undefined left out" in graph.description
    assert "L1H0" in graph.nodes["name"].tolist()


def test_two_variants_are_two_files():
    with pytest.raises(UsageError, match=r"one file holds one variant, not 2 \(base, tuned\)"):
        ExportGraph.from_runs([correlation_run(), correlation_run("tuned")])
    with pytest.raises(UsageError, match="not 0"):
        ExportGraph.from_runs([])


def test_the_same_run_twice_is_refused():
    with pytest.raises(InputError, match="'L0H0' → 'L0_MLP' .* is in the table twice"):
        ExportGraph.from_runs([effect_run(), effect_run()])


def diff_of(verdicts: list[str], lens: str = "effect") -> Diff:
    rows = len(verdicts)
    table = pd.DataFrame({column: ["x"] * rows for column in COLUMNS}).assign(
        source=pd.Categorical(["L0H0"] * rows),
        target=pd.Categorical([f"L1H{i}" for i in range(rows)]),
        input="all",
        lens=lens,
        delta=[0.25, -0.5, np.nan][:rows],
        weight_a=0.125,
        verdict=pd.Categorical(verdicts),
    )
    claims = table[table["verdict"].isin(["rewired", "sign_flip"])]
    summary = {"units": {"delta": "apples"}}
    details = pd.DataFrame({"block": np.zeros(len(claims), int)}, index=claims.index)
    return SimpleNamespace(
        name="A → B", table=table, claims=claims, summary=summary, details=details
    )


def test_a_diff_shows_its_claims_among_all_components():
    diff = diff_of(["rewired", "unchanged", "not_testable"])
    graph = ExportGraph.from_diff(diff)
    assert graph.name == "A → B"
    assert graph.directed
    assert len(graph.nodes) == 4
    row = graph.edges.iloc[0]
    assert (row["relation"], row["weight"], row["signed"], row["sign"]) == (
        "rewired",
        0.25,
        0.25,
        1,
    )
    assert (row["delta"], row["weight_a"], row["verdict"]) == (0.25, 0.125, "rewired")
    assert row["unit"] == "apples"


def test_rows_of_a_diff_can_be_chosen():
    diff = diff_of(["rewired", "unchanged", "not_testable"])
    assert len(ExportGraph.from_diff(diff, "testable").edges) == 2
    everything = ExportGraph.from_diff(diff, "all")
    assert (len(everything.edges), everything.dropped) == (2, 1)
    assert not ExportGraph.from_diff(diff_of(["rewired"], "correlation")).directed


def test_a_diff_without_claims_is_a_graph_without_edges():
    graph = ExportGraph.from_diff(diff_of(["unchanged"]))
    assert (len(graph.nodes), len(graph.edges), graph.dropped) == (2, 0, 0)


def test_the_strongest_edges_of_one_kind_and_size_are_kept() -> None:
    table = pd.DataFrame(
        {
            "source": ["L0H0", "L0H1", "L0H0", "L0_MLP"],
            "target": ["L1H0", "L1H0", "L0H1", "LOGITS"],
            "kind": ["effect", "effect", "correlation", "effect"],
            "weight": [0.5, -2.0, 0.9, 0.1],
        }
    )
    graph = ExportGraph.from_table("v", table, "weight")
    assert strongest(graph, top=2).edges["signed"].tolist() == [-2.0, 0.9]
    assert strongest(graph, kind="effect", top=1).edges["signed"].tolist() == [-2.0]
    assert strongest(graph, least=0.5).edges["signed"].tolist() == [0.5, -2.0, 0.9]
    assert len(strongest(graph, least=9.0).nodes) == len(graph.nodes)
    with pytest.raises(UsageError, match="``kind``: 'v' has no edges of kind wiring"):
        strongest(graph, kind="wiring")


def test_components_are_coloured_by_layer() -> None:
    table = pd.DataFrame(
        {"source": ["EMBED", "L0H0"], "target": ["L0H0", "L2_MLP"], "weight": [3.0, -1.0]}
    )
    table["kind"] = "effect"
    graph = ExportGraph.from_table("v", table, "weight", ["L1H0"])
    found = dict(zip(graph.nodes["name"], layer_colours(graph), strict=True))
    assert found["EMBED"] == (153, 153, 153)
    assert found["L0H0"] == (253, 231, 37)
    assert found["L1H0"] == (160, 116, 60)
    assert found["L2_MLP"] == (68, 1, 84)
