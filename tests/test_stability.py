"""Whether claims would be made again: known by hand, by explicit refits, and in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from asking import compare_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import effect_run, table_run

from circuitgraph.base.components import digest
from circuitgraph.diff import explain_edge
from circuitgraph.diff.stability import canonical_order
from circuitgraph.lenses import refits
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.stats.draws import bootstrap_weights, kept_without
from circuitgraph.stats.paired import resampled_change
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, resampled_mean

EDGES = 12
SCENARIOS = np.arange(60) % 5
LEFT = ["stability", "scenarios_left", "wordings_left", "seeds_left"]


def compare(a, b, lens="effect", **options):
    options = {"scale": "logit", "margin": 0.1, **options} if lens == "effect" else options
    as_list = [side if isinstance(side, list) else [side] for side in (a, b)]
    return compare_runs(*as_list, name_a="A", name_b="B", lens=lens, **options)


def pair(shift, seed=0, noise=0.3, **options):
    """Two effect runs that differ by ``shift`` [edges or n × edges] and noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(60, EDGES))
    changed = base + shift + noise * rng.normal(size=base.shape)
    return effect_run(base, SCENARIOS, **options), effect_run(changed, SCENARIOS, "B", **options)


def tables(seed=0, n=80, units=10):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, units)) + 0.6 * rng.normal(size=(n, units))
    y = x + 0.2 * rng.normal(size=x.shape)
    y[:, 0] = rng.normal(size=n)
    y[:, 1] = 0.6 * x[:, 1] + 0.5 * rng.normal(size=n)
    return x, y, np.arange(n) % 4


def part_of(run, kept):
    """The run on some of its prompts, as if it had been ingested so."""
    arrays = {name: array[kept] for name, array in run.arrays.items()}
    prompts = tuple(p for p, keep in zip(run.prompts, kept, strict=True) if keep)
    return replace(run, prompts=prompts, prompts_fingerprint="part", _arrays=arrays)


def claimed(diff):
    keys = zip(diff.claims["source"], diff.claims["target"], diff.claims["delta"] > 0, strict=True)
    return set(keys)


def shares_by_refits(diff, others):
    """For every claim the share of other diffs that claim it in the same direction."""
    found = [claimed(other) for other in others]
    keys = zip(diff.claims["source"], diff.claims["target"], diff.claims["delta"] > 0, strict=True)
    return [np.mean([key in claims for claims in found]) for key in keys]


def borderline(seed=3):
    """Changes of many sizes around the border of significance."""
    return pair(np.linspace(0, 0.4, EDGES), seed, noise=0.6)


def test_a_change_everywhere_is_claimed_always_and_one_of_a_scenario_is_not():
    shift = np.zeros((60, EDGES))
    shift[:, 0] = 3.0
    shift[SCENARIOS == 2, 1] = 5.0
    wordings = ["ab"[i // 30] for i in range(60)]
    a, b = pair(shift, noise=0.05, templates=wordings)
    diff = compare(a, b, margin=0.5)
    extras = diff.extras.set_index(diff.claims["source"].astype(str))
    assert extras.loc["L0H0", LEFT[:3]].tolist() == [1, 1, 1]
    assert extras.loc["L0H1", "scenarios_left"] == 0.8
    assert extras.loc["L0H1", "stability"] == 1  # drawn within scenarios
    assert extras["seeds_left"].isna().all()


def test_leaving_out_a_scenario_is_the_diff_without_its_prompts():
    a, b = borderline()
    diff = compare(a, b)
    others = [compare(part_of(a, k), part_of(b, k)) for k in kept_without(list(SCENARIOS))]
    assert diff.extras["scenarios_left"].tolist() == shares_by_refits(diff, others)
    assert 0 < diff.extras["scenarios_left"].min() < 1


def test_leaving_out_a_scenario_of_correlations_standardises_anew():
    x, y, scenarios = tables()
    a, b = table_run(x, scenarios), table_run(y, scenarios, "B")
    diff = compare(a, b, "correlation")
    others = [
        compare(part_of(a, k), part_of(b, k), "correlation") for k in kept_without(list(scenarios))
    ]
    assert diff.extras["scenarios_left"].tolist() == shares_by_refits(diff, others)


@pytest.mark.parametrize("lens", ["effect", "correlation"])
def test_leaving_out_a_seed_is_the_diff_of_the_others(lens):
    rng = np.random.default_rng(5)
    groups = []
    for name, change in (("a", 0.0), ("b", 1.0)):
        runs = []
        for i in range(4):
            noise = 0.2 * rng.normal(size=EDGES)
            if lens == "effect":
                levels = np.linspace(0.5, 1.5, EDGES) + change * np.linspace(0, 0.6, EDGES)
                values = levels + noise + 0.05 * rng.normal(size=(60, EDGES))
                runs.append(effect_run(values, SCENARIOS, f"{name}{i}"))
            else:
                common = np.random.default_rng(0).normal(size=(60, 1))
                loads = 1 - change * np.linspace(0, 1.5, EDGES) + noise
                values = common * loads + 0.5 * rng.normal(size=(60, EDGES))
                runs.append(table_run(values, SCENARIOS, f"{name}{i}"))
        groups.append(runs)
    a, b = groups
    diff = compare(a, b, lens, scope="recipe")
    others = [compare([r for r in a if r is not out], b, lens, scope="recipe") for out in a]
    others += [compare(a, [r for r in b if r is not out], lens, scope="recipe") for out in b]
    assert len(diff.claims) >= 2
    assert diff.extras["seeds_left"].tolist() == shares_by_refits(diff, others)
    assert (diff.extras["stability"] > 0.3).all()


def test_a_claim_at_the_border_is_made_again_about_half_of_the_time():
    found = []
    for seed in range(12):
        diff = compare(*pair(np.linspace(0, 0.4, EDGES), seed, noise=0.6), margin=0.0)
        near = diff.claims["q"].between(0.03, 0.05).to_numpy()
        found += diff.extras["stability"][near].tolist()
        assert (diff.extras["stability"][(diff.claims["q"] < 1e-6).to_numpy()] > 0.95).all()
    assert len(found) >= 3
    assert 0.35 < np.mean(found) < 0.75


@pytest.mark.parametrize("lens", ["effect", "correlation"])
@settings(max_examples=8, deadline=None)
@given(order=st.permutations(list(range(60))))
def test_the_order_of_prompts_decides_nothing(lens, order):
    order = np.array(order)
    if lens == "effect":
        a, b = borderline()
        again = [
            replace(
                run,
                prompts=tuple(run.prompts[i] for i in order),
                _arrays={k: v[order] for k, v in run.arrays.items()},
            )
            for run in (a, b)
        ]
    else:
        x, y, _ = tables(n=60)
        a, b = table_run(x, SCENARIOS), table_run(y, SCENARIOS, "B")
        again = [
            table_run(x[order], SCENARIOS[order]),
            table_run(y[order], SCENARIOS[order], "B"),
        ]
    first, second = compare(a, b, lens), compare(*again, lens)
    assert len(first.claims) > 0
    assert np.array_equal(first.extras[LEFT], second.extras[LEFT], equal_nan=True)


def test_repeated_rows_of_a_table_decide_nothing():
    x, y, scenarios = tables()
    twice = np.concatenate([[7, 3], np.arange(80), [5]])
    first = compare(table_run(x, scenarios), table_run(y, scenarios, "B"), "correlation")
    second = compare(
        table_run(x[twice], scenarios[twice]),
        table_run(y[twice], scenarios[twice], "B"),
        "correlation",
    )
    assert np.array_equal(first.extras[LEFT], second.extras[LEFT], equal_nan=True)


def test_another_seed_draws_other_samples_and_the_same_one_the_same():
    a, b = borderline()
    first, again, other = (compare(a, b, seed=seed).extras["stability"] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert np.abs(first - other).max() < 0.15


@pytest.mark.parametrize(("lens", "scope"), [("effect", "checkpoint"), ("correlation", "recipe")])
def test_very_large_diffs_refit_their_claims_to_first_order(lens, scope, monkeypatch):
    if lens == "effect":
        sides = borderline()
    else:
        rng = np.random.default_rng(6)
        x, y, scenarios = tables()
        sides = [
            [table_run(v + 0.2 * rng.normal(size=v.shape), scenarios, f"{k}{i}") for i in range(3)]
            for k, v in (("a", x), ("b", y))
        ]
    whole = compare(*sides, lens, scope=scope).extras
    monkeypatch.setattr(refits, "MOST_EDGES", 1)
    fast = compare(*sides, lens, scope=scope).extras
    assert len(fast) == len(whole) >= 2
    assert (fast["stability"] - whole["stability"]).abs().mean() < 0.15
    assert (fast["scenarios_left"] - whole["scenarios_left"]).abs().mean() < 0.2
    assert fast["seeds_left"].isna().all()


def test_refits_are_made_when_asked_for_and_once_for_all_copies():
    diff = compare(*borderline())
    assert "columns" not in vars(diff.refitted)
    copy = replace(diff, details=diff.details.assign(more=1.0))
    found = copy.extras
    assert diff.refitted is copy.refitted
    assert list(vars(diff.refitted)) == ["columns"]  # what they were made from is let go
    pd.testing.assert_frame_equal(found.drop(columns="more"), diff.extras)
    assert 0 < found["stability"].min() < found["stability"].max()
    for name, values in diff.details.items():
        pd.testing.assert_series_equal(diff.extras[name], values)


def test_what_is_too_large_to_hold_is_refitted_at_once(monkeypatch):
    monkeypatch.setattr(refits, "MOST_CELLS", 1)
    assert list(vars(compare(*borderline()).refitted)) == ["columns"]


def test_nothing_claimed_has_columns_and_no_rows():
    a, _ = borderline()
    again = replace(a, id=digest("again"), variant=replace(a.variant, name="again"))
    diff = compare(a, again)
    assert len(diff.extras) == 0
    assert set(LEFT) <= set(diff.extras)


def test_words_say_how_often_a_claim_is_made_again():
    diff = compare(*borderline())
    row = diff.claims.iloc[-1]
    text = explain_edge(diff, str(row["source"]), str(row["target"])).text
    share = diff.extras.loc[row.name, "stability"]
    assert f"claims it again in {share:.0%} of bootstrap samples" in text
    assert "of the fits that leave out one scenario" in text
    assert "leave out one seed" not in text


def test_resampled_means_are_means_of_the_rows_drawn():
    rng = np.random.default_rng(7)
    codes = np.array([0] * 6 + [1] * 4 + [2] * 3)
    values = rng.normal(size=(13, 5)) ** 3
    weights = bootstrap_weights(codes, 400, 0, balanced=True)
    mean, variance = resampled_mean(values, codes, weights)
    times = np.array([5, 3, 2])[codes] * 3 * weights[0]
    rows = np.repeat(np.arange(13), np.rint(times).astype(int))
    assert np.allclose(mean[0], balanced_mean(values[rows], codes[rows]))
    # as much spread between resamples as the standard error says, and errors as large
    truth = balanced_variance(values, codes)
    assert np.allclose(mean.var(0) / truth, 1, atol=0.3)
    assert np.allclose(variance.mean(0) / truth, 1, atol=0.2)


def test_scenarios_of_one_or_two_prompts_keep_their_variance():
    rng = np.random.default_rng(8)
    codes = np.array([0] * 8 + [1, 1, 2])
    values = rng.normal(size=(11, 3))
    one = values.copy()
    one[:8] = values[0]  # no spread but in the small scenarios
    weights = bootstrap_weights(codes, 50, 0, balanced=True)
    _, variance = resampled_mean(one, codes, weights)
    assert np.allclose(variance, balanced_variance(one, codes))
    assert np.allclose(weights.sum(1), 1)
    assert np.allclose(weights[:, 10], 1 / 3)


def test_resampled_changes_of_correlations_have_the_variance_of_the_test():
    change = np.random.default_rng(9).normal(size=(40, 4))
    weights = bootstrap_weights(np.arange(40) % 4, 2_000, 0, balanced=False)
    mean, variance = resampled_change(change, 36, weights)
    assert np.allclose(mean.mean(0), change.mean(0), atol=0.02)
    assert np.allclose(variance.mean(0) / (change.var(0) / 36), 1, atol=0.05)


def test_labels_are_left_out_in_turn_or_not_at_all():
    assert [kept.tolist() for kept in kept_without(["b", "a", "b"])] == [
        [True, False, True],
        [False, True, False],
    ]
    assert kept_without(["a", "a"]) == []
    assert kept_without(["a", None, "b"]) == []


def test_last_bits_of_what_was_computed_do_not_decide_what_a_seed_draws():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 3))
    prompts = [RunPrompt(f"p{i}", str(i % 2), f"text {i}", f"other {i}") for i in range(12)]
    order = canonical_order(prompts, (values,))
    assert np.array_equal(canonical_order(prompts, (np.nextafter(values, 9),)), order)
    shuffled = rng.permutation(12)
    moved = canonical_order([prompts[i] for i in shuffled], (values[shuffled],))
    assert np.array_equal(shuffled[moved], order)
    rows = [replace(prompt, prompt=None, corrupt=None) for prompt in prompts]  # of a table
    moved = canonical_order([rows[i] for i in shuffled], (values[shuffled],))
    assert np.array_equal(values[shuffled][moved], values[canonical_order(rows, (values,))])
