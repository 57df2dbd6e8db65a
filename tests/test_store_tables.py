"""Runs and diffs as tables: every column of the vocabulary, ids by hash, plain numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import store_graphs as planted

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError
from circuitgraph.store.columns import ENDS, NODES, RELATIONSHIPS
from circuitgraph.store.tables import GraphTables, diff_tables, merge_tables, run_tables


def correlation_tables() -> GraphTables:
    run, edges = planted.planted_runs()[0]
    return run_tables(run, edges)


def test_every_table_has_exactly_the_columns_of_the_vocabulary() -> None:
    for part in planted.planted():
        for label, frame in part.nodes.items():
            assert list(frame) == list(NODES[label])
        for kind, frame in part.rels.items():
            assert list(frame) == ["start", "end", *RELATIONSHIPS[kind]]
    assert RELATIONSHIPS.keys() == ENDS.keys()


def test_run_node_says_how_it_was_measured() -> None:
    row = correlation_tables().nodes["Run"].iloc[0]
    assert row["name"] == "base correlation norm"
    assert (row["n"], row["n_scenarios"], row["n_effective"]) == (4, 2, 2)
    assert row["prompts"] == "prompts"
    assert row["version"] == "0.1.0"


def test_measures_are_mean_sd_and_distinct_values() -> None:
    frame = correlation_tables().rels["MEASURES"]
    assert frame["mean"].tolist() == [1.5, 1.0, 5.0, 3.25]
    assert frame["sd"].tolist() == pytest.approx([np.sqrt(5 / 3), 0, np.sqrt(20 / 3), 0.5])
    assert frame["distinct"].tolist() == [4, 1, 4, 2]


def test_effect_runs_measure_no_activity() -> None:
    run, edges = planted.planted_runs()[1]
    assert run_tables(run, edges).rels["MEASURES"].empty


def test_components_are_shared_by_variants_of_one_architecture() -> None:
    run, edges = planted.planted_runs()[0]
    tuned = planted.run(planted.TUNED, "correlation")
    other = planted.run(planted.variant("x", architecture="other"), "correlation")
    ids = [run_tables(r, edges).ids("Component") for r in (run, tuned, other)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


def test_components_know_their_place() -> None:
    frame = correlation_tables().nodes["Component"].set_index("name")
    assert frame.loc["L1H0", ["kind", "layer", "head"]].tolist() == ["head", 1, 0]
    assert pd.isna(frame.loc["L1_MLP", "head"])


def test_negative_zero_and_non_finite_numbers_become_zero_and_null() -> None:
    run, edges = planted.planted_runs()[0]
    edges["weight"] = [-0.0, np.inf, np.nan]
    weight = run_tables(run, edges).rels["CORRELATES"]["weight"].to_numpy()
    assert not np.signbit(weight[0])
    assert np.isnan(weight[1:]).all()


def test_edges_in_categorical_columns_are_the_same() -> None:
    run, edges = planted.planted_runs()[1]
    categorical = edges.astype(
        dict.fromkeys(["source", "target", "input", "estimator"], "category")
    )
    first, second = run_tables(run, edges), run_tables(run, categorical)
    pd.testing.assert_frame_equal(first.rels["AFFECTS"], second.rels["AFFECTS"])


def test_an_edge_twice_is_refused() -> None:
    run, edges = planted.planted_runs()[0]
    with pytest.raises(InputError, match="CORRELATES: 1 rows appear twice"):
        run_tables(run, pd.concat([edges, edges[:1]]))


def test_only_claims_are_rewired() -> None:
    tables = diff_tables(planted.planted_diff())
    frame = tables.rels["REWIRED"]
    assert frame["verdict"].tolist() == ["sign_flip", "gained", "lost"]
    assert frame["delta"].tolist() == [1.0, 0.75, -0.5]
    assert frame["stability"].tolist()[:2] == [0.5, 0.75]
    assert frame[["signal", "read", "write", "edge", "downstream"]].isna().all(axis=None)
    assert tables.nodes["Diff"].iloc[0]["n_claims"] == 3


def test_a_recipe_diff_compares_all_its_runs() -> None:
    runs = [planted.run(planted.variant(name), "effect") for name in "wxyz"]
    diff = planted.PlantedDiff(
        "A", "B", tuple(runs[:3]), tuple(runs[3:]), planted.diff_frame(planted.CHANGES)
    )
    frame = diff_tables(diff).rels["COMPARES"]
    assert frame["side"].tolist() == ["a", "a", "a", "b"]
    assert frame["end"].tolist() == [r.id for r in runs]


def test_a_diff_without_claims_has_no_edges() -> None:
    diff = planted.PlantedDiff("A", "B", (), (), planted.diff_frame(planted.CHANGES[:1]))
    run = planted.run(planted.BASE, "effect")
    empty = planted.PlantedDiff("A", "B", (run,), (run,), diff.table)
    tables = diff_tables(empty)
    assert tables.rels["REWIRED"].empty
    assert tables.nodes["Component"].empty


def test_merging_keeps_shared_nodes_once_and_refuses_a_run_twice() -> None:
    parts = planted.planted()
    merged = merge_tables(parts)
    assert len(merged.nodes["Variant"]) == 2
    assert len(merged.nodes["Component"]) == 6
    with pytest.raises(InputError, match="Run: 1 rows appear twice"):
        merge_tables([parts[0], parts[0]])


def test_ids_are_hashes_of_names() -> None:
    assert correlation_tables().ids("Variant") == [digest("variant", "base")]
