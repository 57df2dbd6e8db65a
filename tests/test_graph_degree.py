"""Hubs of change: found where many edges of a component changed, and nowhere by chance."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import pytest
from measured import effect_run, table_run
from scipy.stats import betabinom, binom
from shell import cli

from circuitgraph.base.components import Edge, digest
from circuitgraph.base.errors import UsageError
from circuitgraph.diff import compare_runs
from circuitgraph.hubs import change as degree
from circuitgraph.hubs.change import (
    beta_binomial_tail,
    difference_degrees,
    hubs_of_change,
    node_effects,
    tail,
)

SCENARIOS = np.arange(60) % 5


def simulated(rng, nodes=22, drift=0.0, hub=None, margin=0.01, times=6.0):
    """The table of a diff: strong components change most, and all drift by their own amount."""
    i, j = np.triu_indices(nodes, 1)
    node, own = rng.normal(0, 0.8, nodes), drift * rng.normal(size=nodes)
    size = np.exp(-4 + node[i] + node[j] + 0.8 * rng.normal(size=len(i)))
    delta = 0.3 * size * np.exp(own[i] + own[j]) * rng.normal(size=len(i))
    if hub is not None:
        delta[(i == hub) | (j == hub)] *= times
    half = 0.1 * size + 0.001
    delta += half / 2 * rng.normal(size=len(i))
    names = np.array([f"L{n}_MLP" for n in range(nodes)], dtype=object)
    claimed = np.abs(delta) > margin + 1.5 * half
    return pd.DataFrame(
        {
            "source": names[i],
            "target": names[j],
            "weight_a": size,
            "weight_b": size + delta,
            "delta": delta,
            "low": delta - half,
            "high": delta + half,
            "verdict": np.where(claimed, "rewired", "not_detected"),
        }
    )


def found(table):
    return set(table["component"][table["verdict"] == "hub_of_change"])


def test_one_component_whose_every_edge_changed_is_the_hub():
    nodes = [f"L{n}_MLP" for n in range(12)]
    pairs = [(a, b) for k, a in enumerate(nodes) for b in nodes[k + 1 :]]
    delta = [0.5 if "L4_MLP" in pair else 0.0 for pair in pairs]
    table = pd.DataFrame(pairs, columns=["source", "target"]).assign(
        weight_a=1.0, weight_b=1.0, delta=delta, low=np.nan, high=np.nan
    )
    table["verdict"] = np.where(table["delta"] > 0, "rewired", "not_detected")
    result = difference_degrees(table).set_index("component")
    assert found(result.reset_index()) == {"L4_MLP"}
    assert result.loc["L4_MLP", ["edges", "degree", "weighted"]].tolist() == [11, 11, 5.5]
    # the others touch one changed edge each, 11 · 2 / 12 edges are expected
    assert (result["degree"].drop("L4_MLP") == 1).all()
    assert np.allclose(result["expected"], 11 * 11 / 66, atol=0.15)
    assert result.index[0] == "L4_MLP"
    into = difference_degrees(table, direction="in").set_index("component")
    out = difference_degrees(table, direction="out").set_index("component")
    assert into.loc["L4_MLP", "degree"] == 4
    assert out.loc["L4_MLP", "degree"] == 7
    assert into.loc["L0_MLP", "verdict"] == "not_testable"  # nothing comes in


@pytest.mark.parametrize("drift", [0.0, 0.3])
@pytest.mark.parametrize("margin", [0.0, 0.01])
@pytest.mark.some(1)
def test_drift_of_everything_has_no_hubs(drift, margin, monkeypatch):
    monkeypatch.setattr(degree, "DRAWS", 500)
    rng = np.random.default_rng(1)
    tables = [simulated(rng, drift=drift, margin=margin) for _ in range(40)]
    results = [difference_degrees(table, margin=margin) for table in tables]
    assert np.median([(t["verdict"] == "rewired").sum() for t in tables]) > 15
    assert np.mean([bool(found(result)) for result in results]) <= 0.1
    assert np.mean([(result["p"] <= 0.05).mean() for result in results]) <= 0.05


def test_a_hub_among_drifting_components_is_found(monkeypatch):
    monkeypatch.setattr(degree, "DRAWS", 500)
    rng = np.random.default_rng(2)
    hits = [
        found(difference_degrees(simulated(rng, 40, 0.2, hub=20), margin=0.01)) for _ in range(20)
    ]
    assert np.mean(["L20_MLP" in hit for hit in hits]) >= 0.7
    assert np.mean([bool(hit - {"L20_MLP"}) for hit in hits]) <= 0.2


def test_strong_components_are_no_hubs_of_change_for_being_strong():
    """All edges change by the same share; claimed are the large ones, at one component."""
    rng = np.random.default_rng(3)
    table = simulated(rng, margin=0.01)
    strong = table["source"].isin(["L3_MLP"]) | table["target"].isin(["L3_MLP"])
    table.loc[strong, ["weight_a", "weight_b", "delta"]] *= 100
    half = 0.1 * table["weight_a"] + 0.001
    table["low"], table["high"] = table["delta"] - half, table["delta"] + half
    claimed = table["delta"].abs() > 0.01 + 1.5 * half
    table["verdict"] = np.where(claimed, "rewired", "not_detected")
    result = difference_degrees(table, margin=0.01).set_index("component")
    assert result.loc["L3_MLP", "degree"] >= 10
    assert result.loc["L3_MLP", "expected"] > 8
    assert result.loc["L3_MLP", "verdict"] == "not_detected"


def levels_run(levels, name, seed=0, noise=0.02):
    """An effect run between ten MLPs with these mean effects."""
    names = [f"L{n}_MLP" for n in range(10)]
    edges = tuple(Edge(a, b, "in") for k, a in enumerate(names) for b in names[k + 1 :])
    values = levels + noise * np.random.default_rng(seed).normal(size=(60, len(edges)))
    run = effect_run(values, SCENARIOS, name)
    return replace(run, edges=edges, id=digest(run.id, name))


def test_hubs_of_a_diff_have_ranks_that_resampling_allows():
    levels = np.exp(np.random.default_rng(4).normal(-1, 0.7, 45))
    a = levels_run(levels, "A")
    changed = levels * np.exp(0.05 * np.random.default_rng(5).normal(size=45))
    ends = np.array([["L5_MLP" in edge[:2]] for edge in a.edges])[:, 0]
    b = levels_run(np.where(ends, -changed, changed), "B", seed=6)
    diff = compare_runs([a], [b], name_a="A", name_b="B", lens="effect", margin=0.02)
    result = hubs_of_change(diff)
    first = result.iloc[0]
    assert found(result) == {"L5_MLP"}
    assert first["component"] == "L5_MLP"
    assert (first["rank"], first["rank_low"], first["rank_high"]) == (1, 1, 1)
    assert (result["rank_low"] <= result["rank"]).all()
    assert (result["rank_high"] >= result["rank"]).all()
    again = hubs_of_change(diff)
    pd.testing.assert_frame_equal(result, again)


@pytest.mark.parametrize("lens", ["effect", "correlation"])
def test_a_variant_against_itself_has_no_hubs(lens):
    if lens == "effect":
        run = levels_run(np.linspace(0.1, 1, 45), "A")
    else:
        run = table_run(np.random.default_rng(0).normal(size=(60, 8)), SCENARIOS)
    diff = compare_runs([run], [run], name_a="A", name_b="A", lens=lens, margin=0.0)
    result = hubs_of_change(diff)
    assert (result["verdict"] == "not_detected").all()
    assert (result["p"] == 1).all()
    assert (result["degree"] == 0).all()


def test_thin_evidence_cannot_tell():
    rng = np.random.default_rng(7)
    a, b = (table_run(rng.normal(size=(15, 8)), np.arange(15) % 5, name) for name in "AB")
    diff = compare_runs([a], [b], name_a="A", name_b="B", lens="correlation", margin=0.0)
    result = hubs_of_change(diff)
    assert (result["verdict"] == "not_testable").all()
    assert result["p"].isna().all()
    assert result.attrs["evidence"] == "insufficient"


def test_directions_that_do_not_exist_are_refused():
    run = table_run(np.random.default_rng(0).normal(size=(60, 8)), SCENARIOS)
    diff = compare_runs([run], [run], name_a="A", name_b="A", lens="correlation")
    with pytest.raises(UsageError, match="correlations have none"):
        hubs_of_change(diff, direction="out")
    with pytest.raises(UsageError, match="sideways"):
        hubs_of_change(diff, direction="sideways")


def test_tails_are_those_of_the_named_distributions():
    n, a, b = 20, 1.5, 12.0
    law = betabinom(n, a, b)
    assert np.isclose(beta_binomial_tail(9, n, law.mean(), law.var()), law.sf(8), rtol=1e-6)
    # independent edges: the paper's binomial
    assert np.isclose(
        beta_binomial_tail(6, 21, 0.6, 0.6 * (1 - 0.6 / 21)), binom.sf(5, 21, 0.6 / 21), rtol=1e-3
    )
    assert beta_binomial_tail(0, 5, 1.0, 0.5) == 1
    assert np.isclose(beta_binomial_tail(5, 5, 2.5, 1.25), 1 / comb(2, 1) ** 5, rtol=1e-3)


def test_p_values_count_null_networks_where_enough_reach_the_degree():
    nulls = np.array([[0], [1], [2], [3]] * 25)
    assert np.allclose(tail(nulls, np.array([2]), np.array([9])), 51 / 101)
    assert np.isnan(tail(nulls, np.array([0]), np.array([0]))).all()
    rare = tail(nulls, np.array([9]), np.array([9]))[0]
    assert 0 < rare < 1 / 101


def test_parts_of_nodes_are_found_again():
    i, j = np.triu_indices(9, 1)
    parts = np.random.default_rng(8).normal(size=9)
    effect, count = node_effects(i, j, parts[i] + parts[j], 9)
    assert np.allclose(effect, parts, atol=1e-5)
    assert (count == 8).all()


def test_the_command_prints_hubs_of_change_and_refuses_what_does_not_fit(tmp_path):
    rng = np.random.default_rng(9)
    x = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 9)) + 0.5 * rng.normal(size=(80, 9))
    y = x + 0.05 * rng.normal(size=x.shape)
    y[:, 4] = rng.normal(size=80)
    for name, values in (("a", x), ("b", y)):
        wide = pd.DataFrame(values, columns=[f"unit{k}" for k in range(9)])
        wide.insert(0, "scenario", [f"s{k % 4}" for k in range(80)])
        wide.insert(0, "prompt_id", [f"p{k}" for k in range(80)])
        wide.to_csv(tmp_path / f"{name}.csv", index=False)
    workspace = ("-w", tmp_path / "w")
    for name in "ab":
        done = cli(*workspace, "ingest-table", tmp_path / f"{name}.csv", "--name", name)
        assert done.code == 0, done.err
    shown = cli(*workspace, "hubs", "a", "b", "--of", "change")
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == "hubs of change: unit4"
    rows = cli(*workspace, "--json", "hubs", "a", "b", "--of", "change").rows
    assert (rows[0]["component"], rows[0]["verdict"]) == ("unit4", "hub_of_change")
    for wrong in (["a", "--of", "change"], ["a", "b", "--direction", "in"]):
        assert cli(*workspace, "hubs", *wrong).code == 2
