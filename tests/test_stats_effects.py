"""Effects of one run: signs, norms, and the table."""

from __future__ import annotations

import numpy as np
from measured import effect_run

from circuitgraph.stats.aligned import directions, overall_norm
from circuitgraph.stats.summaries import edge_table

SCENARIOS = ["s", "s", "t", "t"]


def test_given_directions_are_used():
    run = effect_run(np.ones((4, 1)), SCENARIOS, directions=[1, -1, -1, 1])
    signs, origin = directions([run])
    assert signs.tolist() == [1, -1, -1, 1]
    assert origin == "given"


def test_directions_come_from_the_pooled_totals_of_the_scenario():
    def run(totals):
        return effect_run(np.ones((4, 1)), SCENARIOS, directions=[None] * 4, totals=totals)

    a, b = run([1, -3, 5, 5]), run([9, -2, -6, -6])
    assert directions([a])[0].tolist() == [-1, -1, 1, 1]
    signs, origin = directions([a, b])
    assert signs.tolist() == [1, 1, -1, -1]
    assert origin == "from totals"


def test_overall_norm_is_the_mean_length_over_prompts():
    assert overall_norm(np.array([[3.0, 4.0], [0.0, 1.0]])) == 3
    assert overall_norm(np.array([[3.0, np.nan], [1.0, 1.0]])) == 2
    assert np.isnan(overall_norm(np.zeros((2, 2))))


def test_table_of_an_effect_run_by_hand():
    run = effect_run([[1.0], [3.0], [-10.0]], ["s", "s", "t"], directions=[1, 1, -1])
    row = edge_table(run).iloc[0]
    assert row["weight"] == 6  # scenario means 2 and 10
    assert np.isclose(row["pooled"], 14 / 3)
    assert row["raw"] == -2
    assert row["n"] == 3
    half = 12.7062047 * np.sqrt(0.75)  # t of 1 degree of freedom
    assert np.isclose(row["low"], 6 - half)
    assert np.isclose(row["high"], 6 + half)
    assert row["input"] == "all"
    assert row["estimator"] == "exact"


def test_columns_end_in_raw():
    table = edge_table(effect_run(np.ones((4, 2)), SCENARIOS))
    assert list(table.columns)[-2:] == ["n", "raw"]


def test_silent_edges_have_p_1():
    table = edge_table(effect_run(np.zeros((4, 2)), SCENARIOS))
    assert (table["p"] == 1).all()
