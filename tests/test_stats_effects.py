"""Effects of one run: signs, norms, and the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from measured import effect_run

from circuitgraph.runs.aligned import directions, overall_norm
from circuitgraph.runs.conventions_file import Signs
from circuitgraph.runs.signs import Rows, conditions_of, notes
from circuitgraph.runs.summaries import edge_table

SCENARIOS = ["s", "s", "t", "t"]


def test_given_directions_are_used():
    run = effect_run(np.ones((4, 1)), SCENARIOS, directions=[1, -1, -1, 1])
    signs, origin = directions(run)
    assert signs.tolist() == [1, -1, -1, 1]
    assert origin == "given"


def test_without_directions_the_signs_written_down_count_and_else_the_runs_own_totals():
    run = effect_run(np.ones((4, 1)), SCENARIOS, directions=[None] * 4, totals=[1, -3, 5, 5])
    assert directions(run)[0].tolist() == [-1, -1, 1, 1]
    kept = replace(run, signs=Signs("base", {"s": 1, "t": -1}, (9.0, -2.0, -6.0, -6.0)))
    signs, origin = directions(kept)
    assert signs.tolist() == [1, 1, -1, -1]
    assert origin == "from totals"


def test_a_pair_that_stands_both_ways_is_averaged_and_counted_once():
    effects = np.array([[1.0], [3.0], [5.0], [8.0], [2.0]])
    run = effect_run(effects, ["s", "s", "t", "t", "t"], directions=[1, -1, 1, 1, 1])
    prompts = [replace(p, pair=k) for p, k in zip(run.prompts, "aabbc", strict=True)]
    row = edge_table(replace(run, prompts=tuple(prompts))).iloc[0]
    # by hand: s holds (1 − 3)/2 = −1; t holds (5 + 8)/2 = 6.5 and 2
    assert row["weight"] == (-1 + (6.5 + 2) / 2) / 2
    assert row["pooled"] == (-1 + 6.5 + 2) / 3
    assert row["raw"] == 19 / 5
    assert row["n"] == 3


def both_ways(prompts, pairs, ways):
    turned = zip(prompts, pairs, ways, strict=True)
    return tuple(replace(p, pair=pair, way=way) for p, pair, way in turned)


def test_pairs_that_stand_both_ways_do_not_cancel_without_direction():
    """16 plain rows of effect 1 and 2 pairs of ±1: each pair says 1 twice."""
    values = [1.0] * 16 + [1.0, -1.0] * 2
    run = effect_run(
        np.array([[v] for v in values]), ["s"] * 20, directions=[None] * 20, totals=values
    )
    prompts = both_ways(run.prompts, [None] * 16 + list("aabb"), [1] * 16 + [1, -1] * 2)
    run = replace(run, prompts=prompts)
    row = edge_table(run).iloc[0]
    assert (row["weight"], row["pooled"], row["n"]) == (1.0, 1.0, 18)
    assert np.allclose([row["low"], row["high"]], 1.0)
    assert directions(run)[0].tolist() == values
    # the scenario's sign is that of the first rows, here and where it is written down
    down = replace(run, _arrays={**run.arrays, "totals": -np.array(values, np.float32)})
    assert directions(down)[0].tolist() == [-v for v in values]
    kept = replace(run, signs=Signs("base", {"s": -1}, tuple(-v for v in values)))
    assert directions(kept)[0].tolist() == [-v for v in values]


def test_where_all_pairs_stand_both_ways_their_first_rows_say_the_sign():
    totals = np.array([-2.0, 1.5, 3.0, -2.5, -3.0, 1.0, 2.0, -2.0])
    effects = np.array([[-1.0], [0.5], [2.0], [-2.0], [-1.0], [1.0], [4.0], [-4.0]])
    names = ["s", "s", "t", "t", "s", "t", "t", "t"]  # one pair stands in two scenarios
    run = effect_run(effects, names, directions=[None] * 8, totals=totals)
    run = replace(run, prompts=both_ways(run.prompts, "aabbccdd", [1, -1] * 4))
    assert directions(run)[0].tolist() == [-1, 1, 1, -1, -1, 1, 1, -1]
    row = edge_table(run).iloc[0]
    # by hand, s: 0.75 and 1; t: 2 and 4
    assert row["weight"] == (0.875 + 3) / 2
    rows = Rows.of_run(run)
    assert rows.turned(totals).tolist() == [-1.75, 2.75, -2, 2]
    assert notes(*conditions_of(run), rows.turned(totals)) == ([], False)


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
