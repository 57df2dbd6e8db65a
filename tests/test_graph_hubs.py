"""Hubs with intervals: nothing claimed where nothing changed, found where it did."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitgraph.base.components import Edge, effect_edges
from circuitgraph.base.errors import UsageError
from circuitgraph.graph.resample import (
    correlation_strengths,
    effect_strengths,
    rank_intervals,
)
from circuitgraph.hubs.ranks import hubs, hubs_compare
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, Run, Variant
from circuitgraph.runs.summaries import edge_table
from circuitgraph.stats.correlations import standardise
from circuitgraph.stats.draws import pooled_weights
from circuitgraph.stats.scenarios import balanced_variance, balanced_weights


def make_run(kind: str, arrays: dict, scenarios, name="base", components=(), edges=()) -> Run:
    """A run on prompts 0, 1, 2 … of the scenarios given."""
    prompts = tuple(RunPrompt(f"{i:04}", str(s)) for i, s in enumerate(scenarios))
    granularity = "table" if kind == "correlation" else "head"
    return Run(
        id=f"{name} {kind}",
        variant=Variant(name, "", "", "", "toy", "toy", 0, 0, 0, 0, name),
        method=Method(kind, granularity=granularity),
        prompts=prompts,
        prompts_fingerprint="same",
        duplicates=0,
        components=tuple(components),
        edges=tuple(edges),
        self_check={},
        versions={},
        seed=0,
        created="",
        _arrays={k: np.asarray(v, np.float32) for k, v in arrays.items()},
    )


def correlation_run(activity: np.ndarray, scenarios, name="base") -> Run:
    components = [f"L{i}_MLP" for i in range(activity.shape[1])]
    return make_run("correlation", {"activity": activity}, scenarios, name, components)


def effect_run(effects: np.ndarray, scenarios, edges, name="base") -> Run:
    totals = np.ones(len(effects))
    arrays = {"effects": effects, "totals": totals}
    return make_run("effect", arrays, scenarios, name, edges=edges)


def star(n: int, centre: int, seed: int, size: int = 12) -> np.ndarray:
    """Activities in which one component drives all others, which have nothing else."""
    rng = np.random.default_rng(seed)
    activity = rng.normal(size=(n, size))
    driver = activity[:, centre].copy()
    activity += 0.8 * driver[:, None]
    activity[:, centre] = driver
    return activity


SCENARIOS = np.arange(120) % 12
DRIVEN_BY_3 = correlation_run(star(120, 3, 0), SCENARIOS)
EDGES = effect_edges(2, 2, 2, "head", "joint")


def random_effects(seed: int, n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=len(EDGES)) + rng.normal(size=(n, len(EDGES)))


def test_the_driver_of_all_is_the_hub_with_a_narrow_interval():
    table = hubs(DRIVEN_BY_3)
    top = table.iloc[0]
    assert (top["component"], top["rank"], top["rank_low"], top["rank_high"]) == ("L3_MLP", 1, 1, 1)
    assert top["pagerank"] == table["pagerank"].max()
    assert table["weights"].eq("absolute").all()
    told = {"n": 120, "n_effective": 108, "evidence": "ok", "seed": 0, "estimator": ""}
    assert table.attrs == told


def test_strengths_are_sums_of_the_edges_that_edges_prints():
    for run in (DRIVEN_BY_3, effect_run(random_effects(0), np.arange(60) % 6, EDGES)):
        edges = edge_table(run)
        table = hubs(run).set_index("component")
        for name in ("L3_MLP",) if run.kind == "correlation" else ("L1H0", "LOGITS"):
            at = edges[(edges["source"] == name) | (edges["target"] == name)]["weight"]
            assert table.loc[name, "positive"] == pytest.approx(at[at > 0].sum())
            assert table.loc[name, "negative"] == pytest.approx(-at[at < 0].sum())


def test_effects_have_strengths_out_and_in():
    effects = np.tile([2.0, -3.0], (8, 1))
    edges = [Edge("EMBED", "L0_MLP", "in"), Edge("L0_MLP", "LOGITS", "in")]
    table = hubs(effect_run(effects, [0, 0, 1, 1, 2, 2, 3, 3], edges)).set_index("component")
    row = table.loc["L0_MLP"]
    assert (row["in_positive"], row["in_negative"], row["out_positive"], row["out_negative"]) == (
        2,
        0,
        0,
        3,
    )
    assert (row["strength"], row["rank"], row["betweenness"]) == (5, 1, 0.5)
    assert table.loc["EMBED", "kind"] == "embed"


def test_the_same_seed_gives_the_same_table_and_the_process_is_left_alone():
    first, second = hubs(DRIVEN_BY_3, seed=4), hubs(DRIVEN_BY_3, seed=4)
    pd.testing.assert_frame_equal(first, second)
    np.random.seed(1)
    wanted = np.random.random()
    np.random.seed(1)
    hubs(DRIVEN_BY_3)
    assert np.random.random() == wanted


def test_other_weights_can_be_chosen_and_are_named():
    table = hubs(DRIVEN_BY_3, weights="negative")
    assert table["weights"].eq("negative").all()
    assert not np.allclose(table["pagerank"], hubs(DRIVEN_BY_3)["pagerank"])


def test_a_moved_hub_is_claimed_and_a_variant_never_differs_from_itself():
    moved = correlation_run(star(120, 8, 0), SCENARIOS, "tuned")
    table = hubs_compare(DRIVEN_BY_3, moved)
    claimed = table[table["changed"]]
    assert set(claimed["component"]) == {"L3_MLP", "L8_MLP"}
    assert table.iloc[0]["changed"]
    assert not hubs_compare(DRIVEN_BY_3, DRIVEN_BY_3)["changed"].any()


def star_of_effects(shares: list[float]) -> Run:
    """Sixty prompts that agree: each MLP hands its share to LOGITS."""
    edges = [Edge(f"L{i}_MLP", "LOGITS", "in") for i in range(len(shares))]
    noise = 1 + 0.001 * np.random.default_rng(0).normal(size=(60, len(shares)))
    return effect_run(np.array(shares) * noise, np.arange(60) % 6, edges, str(shares))


def test_neighbours_that_trade_places_are_no_change_of_hubs():
    a, b = star_of_effects([1.0, 0.50, 0.49, 0.2]), star_of_effects([1.0, 0.49, 0.50, 0.2])
    table = hubs_compare(a, b)
    apart = table.set_index("component").loc[["L1_MLP", "L2_MLP"]]
    assert (apart["rank_high_a"] != apart["rank_high_b"]).all()
    assert not table["changed"].any()
    assert table.attrs["margin"] == 0.01
    assert hubs_compare(a, b, margin=0)["changed"].sum() == 2


def test_who_is_overtaken_has_not_changed():
    a, b = star_of_effects([1.0, 0.5, 0.1, 0.1]), star_of_effects([1.0, 0.5, 0.7, 0.1])
    changed = hubs_compare(a, b).set_index("component")["changed"]
    assert changed["L2_MLP"]
    assert not changed["L3_MLP"]
    shares = hubs_compare(a, b).set_index("component")
    assert shares.loc["L2_MLP", "share_a"] == pytest.approx(0.1 / 3.4, rel=0.01)
    assert shares.loc["L2_MLP", "delta"] == pytest.approx(0.7 / 4.6 - 0.1 / 3.4, rel=0.01)


def test_too_few_prompts_cannot_tell():
    a = correlation_run(star(20, 3, 0), np.arange(20) % 5)
    b = correlation_run(star(20, 8, 0), np.arange(20) % 5, "tuned")
    table = hubs_compare(a, b)
    assert table.attrs["evidence"] == "insufficient"
    assert not table["changed"].any()
    assert set(table["reason"]) == {"insufficient evidence"}


def test_a_component_of_few_distinct_activities_claims_nothing():
    activity = star(120, 8, 0)
    activity[:, 3] = np.sign(activity[:, 3])
    table = hubs_compare(DRIVEN_BY_3, correlation_run(activity, SCENARIOS, "tuned"))
    row = table.set_index("component").loc["L3_MLP"]
    assert (row["changed"], row["reason"]) == (False, "degenerate component")


def test_duplicates_and_order_of_prompts_change_nothing():
    activity = star(120, 3, 0)
    again = correlation_run(np.vstack([activity, activity[:40]]), [*SCENARIOS, *SCENARIOS[:40]])
    pd.testing.assert_frame_equal(hubs(again), hubs(DRIVEN_BY_3))
    assert hubs(again).attrs["n"] == 120


def test_runs_of_different_prompts_or_kinds_do_not_compare():
    with pytest.raises(UsageError, match="differ in prompts"):
        hubs_compare(DRIVEN_BY_3, correlation_run(star(60, 3, 0), SCENARIOS[:60], "tuned"))
    effects = effect_run(random_effects(0, 120), SCENARIOS, EDGES, "tuned")
    with pytest.raises(UsageError, match="correlation"):
        hubs_compare(DRIVEN_BY_3, effects)


@pytest.mark.parametrize("size", [1, 3])
def test_graphs_without_any_effect_have_no_hubs(size):
    table = hubs(correlation_run(np.ones((30, size)), np.arange(30) % 3))
    assert table["strength"].eq(0).all()
    assert table["rank"].eq(1).all()
    assert table["rank_high"].eq(size).all()
    zero = effect_run(np.zeros((30, len(EDGES))), np.arange(30) % 3, EDGES)
    assert not hubs_compare(zero, zero)["changed"].any()


def test_no_edges_at_all():
    table = hubs(effect_run(np.zeros((30, 0)), np.arange(30) % 3, ()))
    assert len(table) == 0
    assert "rank_low" in table


def test_an_effect_that_is_not_finite_counts_as_none():
    effects = random_effects(0)
    spoilt = effects.copy()
    spoilt[3, 0] = np.nan
    effects[:, 0] = 0
    scenarios = np.arange(60) % 6
    pd.testing.assert_frame_equal(
        hubs(effect_run(spoilt, scenarios, EDGES)), hubs(effect_run(effects, scenarios, EDGES))
    )


def test_resampled_means_vary_as_much_as_their_standard_error_says():
    scenarios = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    values = np.random.default_rng(0).normal(size=(8, 5))
    draws = pooled_weights(scenarios, 20_000, 0)
    assert draws.sum(1) == pytest.approx(1)
    assert draws.mean(0) == pytest.approx(balanced_weights(scenarios), abs=0.005)
    assert (draws @ values).var(0) == pytest.approx(balanced_variance(values, scenarios), rel=0.05)


def test_one_prompt_a_scenario_cannot_be_resampled():
    draws = pooled_weights(np.arange(4), 10, 0)
    assert np.allclose(draws, 0.25)


def test_resampled_strengths_of_effects_are_those_of_a_loop():
    effects = random_effects(1)
    weights = pooled_weights(np.arange(60) % 6, 3, 0)
    ends = np.array([[0, 0, 1], [1, 2, 2]])
    means = np.abs(weights @ effects[:, :3])
    found = effect_strengths(effects[:, :3], weights, ends, 3)
    wanted = [[m[0] + m[1], m[0] + m[2], m[1] + m[2]] for m in means]
    assert found == pytest.approx(np.array(wanted))


def test_resampled_strengths_of_correlations_stay_within_what_correlations_can_be():
    scores = standardise(star(40, 3, 0), np.arange(40) % 4)
    found = correlation_strengths(scores.z, scores.df, 50, 0)
    assert ((found >= 0) & (found <= 11)).all()
    assert (found[:, 3] > found.mean(1)).mean() > 0.9


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 100, width=32), min_size=1, max_size=6),
    st.integers(0, 5),
)
def test_rank_intervals_hold_the_rank_and_stay_in_range(strengths, samples):
    observed = np.array(strengths)
    resampled = np.random.default_rng(0).uniform(0, 100, size=(samples, len(strengths)))
    rank, low, high = rank_intervals(observed, resampled)
    assert ((low >= 1) & (low <= rank) & (rank <= high) & (high <= len(strengths))).all()
    assert rank[observed.argmax()] == 1


def test_ranks_by_hand():
    observed = np.array([1.0, 3.0, 3.0])
    rank, low, high = rank_intervals(observed, np.array([observed] * 10))
    assert (rank.tolist(), low.tolist(), high.tolist()) == ([3, 1, 1], [3, 1, 1], [3, 2, 2])


def paired(rng: np.random.Generator, n: int, scenarios: int, size: int = 40) -> tuple[Run, Run]:
    """Two variants of equal wiring on the same prompts, heavy tails, scenario shifts."""
    loadings = rng.normal(size=(size, 3)) * [0.6, 0.5, 0.35]
    codes = np.arange(n) % scenarios
    shift = rng.normal(size=(scenarios, size))[codes]
    tails = np.sqrt(rng.chisquare(5, size=(n, 1)) / 3)

    def latent() -> np.ndarray:
        return rng.normal(size=(n, size + 3)) / tails

    shared = latent()
    pair = []
    for name in ("a", "b"):
        mix = 0.9 * shared + np.sqrt(1 - 0.81) * latent()
        activity = mix[:, :3] @ loadings.T + 0.5 * mix[:, 3:] + shift
        pair.append(correlation_run(activity, codes, name))
    return pair[0], pair[1]


@pytest.mark.parametrize(("n", "scenarios"), [(60, 5), (60, 30)])
@pytest.mark.some(1)
def test_equal_wiring_seldom_claims_a_changed_hub(n, scenarios):
    claims = [
        hubs_compare(*paired(np.random.default_rng(seed), n, scenarios))["changed"].any()
        for seed in range(30)
    ]
    assert np.mean(claims) <= 0.15
