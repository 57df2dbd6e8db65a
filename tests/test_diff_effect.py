"""The effect lens: alignment, shares, margins, verdicts known by construction."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from asking import compare_runs
from measured import effect_run

from circuitgraph.base.errors import UsageError
from circuitgraph.runs.record import Method, Run

SCENARIOS = np.arange(60) % 5
LEVELS = np.array([5.0, -4.0, 3.0, 0.0, 2.0, 1.0])
"""Mean effect of the edges from L0H0, L0H1 … in the base."""


def compare(a: Run, b: Run, **options):
    return compare_runs([a], [b], name_a="A", name_b="B", lens="effect", **options)


def effects(levels=LEVELS, seed: int = 0, noise: float = 0.2) -> np.ndarray:
    return np.asarray(levels) + noise * np.random.default_rng(seed).normal(size=(60, len(levels)))


def verdict(diff, source: str) -> str:
    table = diff.table
    return table["verdict"][table["source"] == source].iloc[0]


def test_a_variant_against_itself_changes_nothing():
    run = effect_run(effects(), SCENARIOS)
    for options in ({}, {"margin": 0.0}, {"scale": "logit"}, {"scope": "recipe"}):
        diff = compare(run, replace(run, id="other"), **options)
        assert diff.summary["n_claims"] == 0
        assert (diff.table["delta"] == 0).all()
        assert (diff.table["p"] == 1).all()
    assert verdict(compare(run, run), "L0H0") == "not_detected"


def test_shares_by_hand():
    # norms 5 and 10: shares (.6, .8) and (.8, .6)
    a = effect_run(np.tile([3.0, 4.0], (60, 1)), SCENARIOS)
    b = effect_run(np.tile([8.0, 6.0], (60, 1)), SCENARIOS, "B")
    table = compare(a, b).table
    assert np.allclose(table["weight_a"], [0.6, 0.8])
    assert np.allclose(table["weight_b"], [0.8, 0.6])
    assert set(table["reason"]) == {"zero variance with a difference"}


def test_mere_gain_is_no_change_and_is_told():
    x = effects()
    diff = compare(effect_run(x, SCENARIOS), effect_run(2.5 * x, SCENARIOS, "B"), margin=0.0)
    assert diff.summary["n_claims"] == 0
    assert np.isclose(diff.summary["gain"], 2.5)
    logit = compare(effect_run(x, SCENARIOS), effect_run(2.5 * x, SCENARIOS, "B"), scale="logit")
    assert logit.summary["n_claims"] == 5


def test_every_verdict():
    base = effects(noise=0.05)
    changed = effects([5.0, 4.0, 0.0, 2.0, 2.0, 1.5], seed=2, noise=0.05)
    diff = compare(effect_run(base, SCENARIOS), effect_run(changed, SCENARIOS, "B"))
    assert verdict(diff, "L0H1") == "sign_flip"
    assert verdict(diff, "L0H2") == "lost"
    assert verdict(diff, "L0H3") == "gained"
    assert verdict(diff, "L0H5") == "rewired"
    claimed = diff.table["verdict"].isin(["rewired", "sign_flip", "gained", "lost"])
    assert (diff.table["mechanism"] == np.where(claimed, "unknown", "")).all()


def test_small_changes_are_unchanged_beyond_the_margin_and_claimed_without():
    base = effects(noise=0.01)
    changed = base + np.array([0.02, 0, 0, 0, 0, 0]) + 0.001 * effects(seed=3, noise=1.0) * 0.1
    a, b = effect_run(base, SCENARIOS), effect_run(changed, SCENARIOS, "B")
    assert verdict(compare(a, b), "L0H0") == "unchanged"
    assert verdict(compare(a, b, margin=0.0), "L0H0") in ("rewired", "gained", "lost")


def test_alignment_keeps_opposite_scenarios_from_cancelling():
    signs = np.where(SCENARIOS < 2, -1, 1)
    base, changed = effects(), effects([9.0, -4.0, 3.0, 0.0, 2.0, 1.0], seed=4)
    raw = [x * signs[:, None] for x in (base, changed)]
    given = [
        effect_run(x, SCENARIOS, name, directions=signs) for x, name in zip(raw, "AB", strict=True)
    ]
    derived = [
        effect_run(x, SCENARIOS, name, directions=[None] * 60, totals=x.sum(1))
        for x, name in zip(raw, "AB", strict=True)
    ]
    first, second = compare(*given), compare(*derived)
    assert np.allclose(first.table["delta"], second.table["delta"])
    assert verdict(first, "L0H0") == "rewired"
    assert first.summary["directions"] == "given"
    assert second.summary["directions"] == "from totals"
    assert any("no direction" in line for line in second.summary["remarks"])


def test_cancellation_tells_changes_that_go_both_ways():
    codes = SCENARIOS
    shift = np.zeros((60, 6))
    shift[:, 0] = 3.0
    shift[:, 1] = np.where(codes < 2, 6.0, -1.0)
    shift += effects(np.zeros(6), seed=7, noise=0.05)
    diff = compare(
        effect_run(effects(), codes), effect_run(effects() + shift, codes, "B"), scale="logit"
    )
    extras = diff.extras.set_index(diff.claims["source"].astype(str))
    assert extras.loc["L0H0", "cancellation"] > 0.99
    # mean (2·6 − 3)/5 = 1.8, mean square (2·36 + 3)/5 = 15
    assert np.isclose(extras.loc["L0H1", "cancellation"], 1.8 / np.sqrt(15), atol=0.01)
    assert np.isclose(extras.loc["L0H1", "mean: 0"], 6, atol=0.1)


def test_wording_names_changes_that_hang_on_one_wording():
    wordings = ["abc"[i // 20] for i in range(60)]
    shift = np.zeros((60, 6))
    shift[:, 0] = 3.0
    shift[:20, 1] = 3.0  # only with wording a
    shift += effects(np.zeros(6), seed=8, noise=0.01)
    diff = compare(
        effect_run(effects(), SCENARIOS, templates=wordings),
        effect_run(effects() + shift, SCENARIOS, "B", templates=wordings),
        scale="logit",
    )
    left = diff.extras.set_index(diff.claims["source"].astype(str))["wording"]
    assert np.isclose(left["L0H0"], 1, atol=0.01)
    assert np.isclose(left["L0H1"], 0, atol=0.01)


def test_claims_that_move_together_share_a_block():
    common = np.random.default_rng(9).normal(size=(60, 1))
    shift = np.array([1.0, 1.0, 1.0, 0, 0, 0]) + np.array([1.0, -1, 0, 0, 0, 0]) * 0.3 * common
    shift = shift + effects(np.zeros(6), seed=10, noise=0.02)
    diff = compare(
        effect_run(effects(), SCENARIOS),
        effect_run(effects() + shift, SCENARIOS, "B"),
        scale="logit",
    )
    assert diff.extras["block"].tolist() == [0, 0, 1]
    assert diff.summary["typical_block"] == 2  # (2² + 1²)/3
    assert any("fall together (a typical block: 2)" in line for line in diff.summary["remarks"])


def test_logit_margin_is_one_percent_of_the_mean_norm():
    a = effect_run(np.tile([3.0, 4.0], (60, 1)), SCENARIOS)
    b = effect_run(np.tile([9.0, 12.0], (60, 1)), SCENARIOS, "B")
    diff = compare(a, b, scale="logit")
    assert np.isclose(diff.margin, 0.1)
    assert any("margin 0.1 in the decision's units" in line for line in diff.summary["remarks"])


def test_silent_broken_and_missing_edges_are_not_tested():
    base, changed = effects(), effects(seed=5)
    base[:, 3] = changed[:, 3] = 1e-6
    changed[4, 4] = np.nan
    a, b = effect_run(base, SCENARIOS), effect_run(changed, SCENARIOS, "B")
    b = replace(b, edges=(*b.edges[:5], b.edges[5]._replace(source="L0H9")))
    table = compare(a, b).table.astype({"source": str}).set_index("source")
    assert table.loc["L0H3", "reason"] == "effect too small"
    assert table.loc["L0H4", "reason"] == "computed values not finite"
    assert table.loc["L0H5", "reason"] == "edge missing on one side"
    assert table.loc["L0H9", "reason"] == "edge missing on one side"
    assert np.isnan(table.loc["L0H9", "weight_a"])
    assert set(table.loc[["L0H0", "L0H1", "L0H2"], "reason"]) == {""}


def test_few_prompts_are_insufficient():
    a = effect_run(effects()[:9], SCENARIOS[:9])
    b = effect_run(effects(seed=1)[:9] + 3, SCENARIOS[:9], "B")
    diff = compare(a, b)
    assert diff.insufficient  # 9 prompts − 5 scenarios
    assert diff.table["p"].notna().all()
    assert diff.summary["n_claims"] == 0


def test_behaviour_of_both_variants():
    decisions = np.where(SCENARIOS == 0, 6.0, -1.0)
    a = effect_run(effects(), SCENARIOS, decisions=decisions)
    b = effect_run(effects(seed=1), SCENARIOS, "B", decisions=decisions, mass=np.full(60, 0.1))
    diff = compare(a, b)
    rows = diff.summary["behaviour"]
    assert len(rows) == 10
    assert rows[0]["decision"] == 6
    assert rows[0]["saturation"] == 1
    assert rows[1]["saturation"] == 0
    assert np.isclose(rows[5]["mass"], 0.1)
    assert any("alike" in line for line in diff.summary["remarks"])
    assert any("10% of the probability in 'B'" in line for line in diff.summary["remarks"])
    assert json.loads(json.dumps(diff.summary)) == diff.summary


def test_decoys_are_judged_by_the_same_margin():
    a, b = effect_run(effects(), SCENARIOS), effect_run(effects([5, 4, 3, 0, 2, 1]), SCENARIOS, "B")
    null = effect_run(effects(seed=6), SCENARIOS, "null")
    pairs = [("A", [a], "null", [null], {"kl": 0.001}), ("A", [a], "B", [b], None)]
    decoys = compare(a, b, nulls=pairs).summary["decoys"]
    assert decoys[0] == {
        "a": "A", "b": "null", "runs_a": [a.id], "runs_b": [null.id],
        "n_claims": 0, "n_testable": 6, "evidence": "ok", "drift": {"kl": 0.001},
    }  # fmt: skip
    assert decoys[1]["n_claims"] > 0
    assert decoys[1]["drift"] is None


def test_yardstick_counts_changes_of_a_variant_against_itself():
    noisy = effects(noise=8.0)
    same = effect_run(noisy, SCENARIOS)
    other = effect_run(effects([5.0, 4.0, 3.0, 0.0, 2.0, 1.0], seed=11, noise=8.0), SCENARIOS, "B")
    yardstick = compare(same, other).summary["yardstick"]
    assert yardstick["self"]["margin"] >= 4
    assert yardstick["observed"]["margin"] >= 4
    assert yardstick["draws"] == 20


@pytest.mark.parametrize("key", ["estimator", "inputs", "ablation", "granularity", "bos"])
def test_other_methods_are_refused_by_name(key):
    a = effect_run(effects(), SCENARIOS)
    method = replace(a.method, **{key: "layer"})
    with pytest.raises(UsageError, match=f"differ in {key} "):
        compare(a, effect_run(effects(), SCENARIOS, "B", method=method))


def test_what_cannot_be_compared():
    a, b = effect_run(effects(), SCENARIOS), effect_run(effects(), SCENARIOS, "B")
    with pytest.raises(UsageError, match="differ in prompts"):
        compare(a, effect_run(effects(), SCENARIOS, "B", fingerprint="other"))
    with pytest.raises(UsageError, match="differ in architecture"):
        compare(a, replace(b, variant=replace(b.variant, architecture="large")))
    with pytest.raises(UsageError, match="holds correlation"):
        compare(a, replace(b, method=Method("correlation")))
    with pytest.raises(UsageError, match="rank"):
        compare(a, b, rank=True)
    with pytest.raises(UsageError, match="one variant with one other"):
        compare_runs([a, b], [b], name_a="A", name_b="B", lens="effect")


def test_rows_are_lined_up_by_what_the_models_read():
    """Two tokenizers may make other texts of the same tokens, and so order them otherwise."""
    base, order = effects(), np.random.default_rng(3).permutation(60)
    run = effect_run(base, SCENARIOS)
    read = tuple(replace(p, tokens=f"t{i}") for i, p in enumerate(run.prompts))
    again = effect_run(base[order], [SCENARIOS[i] for i in order], "B")
    a = replace(run, prompts=read)
    b = replace(again, prompts=tuple(read[i] for i in order))
    table = compare(a, b).table
    assert (table["delta"].abs() < 1e-7).all()
    assert not set(table["verdict"]) & {"rewired", "gained", "lost", "sign_flip"}
