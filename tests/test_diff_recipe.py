"""The recipe scope: replicates decide, single variants are fixed references."""

from __future__ import annotations

import numpy as np
import pytest
from measured import effect_run, table_run

from circuitgraph.base.errors import UsageError
from circuitgraph.diff import compare_many, compare_runs, explain_edge

SCENARIOS = np.arange(40) % 5
EDGES = 60
LEVELS = np.exp(np.linspace(-4, 1, EDGES))


def effect_group(rng, name, levels=LEVELS, k=4, spread=0.1):
    """Replicates whose effects scatter by 10% around the recipe's levels."""
    return [
        effect_run(
            levels * (1 + spread * rng.normal(size=EDGES)) + 0.01 * rng.normal(size=(40, EDGES)),
            SCENARIOS,
            f"{name}{i}",
            recipe=name,
        )
        for i in range(k)
    ]


def table_group(rng, name, factors, loadings, k=4):
    """Replicates whose loadings scatter a little; all see the same prompts."""
    return [
        table_run(
            factors @ (loadings + 0.1 * rng.normal(size=loadings.shape))
            + 0.7 * rng.normal(size=(len(factors), loadings.shape[1])),
            np.arange(len(factors)) % 5,
            f"{name}{i}",
            recipe=name,
        )
        for i in range(k)
    ]


def recipe(a, b, lens, **options):
    return compare_runs(a, b, name_a="A", name_b="B", lens=lens, scope="recipe", **options)


@pytest.mark.parametrize(
    ("pairs", "allowed"), [(20, 4), pytest.param(*(40, 6), marks=pytest.mark.slow)]
)
def test_true_null_recipes_are_not_claimed(pairs, allowed):
    rng = np.random.default_rng(0)
    claims = [
        recipe(effect_group(rng, "r"), effect_group(rng, "q"), "effect", margin=0.0).summary[
            "n_claims"
        ]
        for _ in range(pairs)
    ]
    assert np.count_nonzero(claims) <= allowed  # 5%, and so many draws of it


def test_checkpoints_of_one_recipe_differ_where_the_recipe_does_not():
    rng = np.random.default_rng(1)
    group = effect_group(rng, "r")
    single = compare_runs(group[:1], group[1:2], name_a="A", name_b="B", lens="effect", margin=0.0)
    assert single.summary["n_claims"] > 30
    assert any("recipe scope" in line for line in single.summary["remarks"])


def test_a_real_change_is_found_and_only_that():
    rng = np.random.default_rng(2)
    levels = LEVELS.copy()
    levels[40:44] *= [3, -1, 0, 3]
    diff = recipe(effect_group(rng, "r"), effect_group(rng, "q", levels), "effect")
    found = set(diff.claims["source"])
    assert {"L0H40", "L0H41", "L0H42", "L0H43"} <= found
    assert len(found) <= 6
    assert (
        dict(zip(diff.claims["source"], diff.claims["verdict"], strict=True))["L0H41"]
        == "sign_flip"
    )


def test_a_single_variant_is_a_fixed_reference():
    rng = np.random.default_rng(3)
    base = effect_run(LEVELS + 0.01 * rng.normal(size=(40, EDGES)), SCENARIOS, "base")
    levels = LEVELS.copy()
    levels[50] *= -1
    diff = recipe([base], effect_group(rng, "q", levels), "effect")
    assert diff.summary["evidence"] == "ok"
    assert "L0H50" in set(diff.claims["source"])
    row = diff.extras.iloc[0]
    assert row["high_a"] - row["low_a"] < row["high_b"] - row["low_b"]


@pytest.mark.parametrize(("k_a", "k_b"), [(1, 1), (2, 4), (1, 2)])
def test_too_few_replicates_are_insufficient(k_a, k_b):
    rng = np.random.default_rng(4)
    diff = recipe(effect_group(rng, "r", k=k_a), effect_group(rng, "q", -LEVELS, k=k_b), "effect")
    assert diff.insufficient
    assert diff.summary["n_claims"] == 0
    assert set(diff.table["reason"]) == {"insufficient evidence"}
    assert diff.table["p"].notna().all()
    assert any("3 or more" in line for line in diff.summary["remarks"])


def test_a_recipe_against_itself_changes_nothing():
    group = effect_group(np.random.default_rng(5), "r")
    diff = recipe(group, group, "effect", margin=0.0)
    assert diff.summary["n_claims"] == 0
    assert (diff.table["p"] == 1).all()


def test_overlapping_sides_are_refused():
    group = effect_group(np.random.default_rng(6), "r")
    with pytest.raises(UsageError, match="both sides"):
        recipe(group[:3], group[1:], "effect")
    with pytest.raises(UsageError, match="twice"):
        recipe([group[0], group[0]], group[1:], "effect")


def test_the_order_of_replicates_decides_nothing():
    rng = np.random.default_rng(7)
    a, b = effect_group(rng, "r"), effect_group(rng, "q")
    first, second = recipe(a, b, "effect"), recipe(a[::-1], b[::-1], "effect")
    assert first.id == second.id
    assert np.allclose(first.table["p"], second.table["p"], rtol=1e-9)


@pytest.mark.parametrize(
    ("pairs", "allowed"), [(10, 3), pytest.param(*(20, 4), marks=pytest.mark.slow)]
)
def test_correlations_of_null_recipes_are_not_claimed(pairs, allowed):
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(pairs):
        factors, loadings = rng.normal(size=(60, 2)), rng.normal(size=(2, 14))
        a, b = (table_group(rng, name, factors, loadings) for name in "rq")
        hits += recipe(a, b, "correlation", margin=0.0).summary["n_claims"] > 0
    assert hits <= allowed


def test_correlations_of_recipes_are_reported_as_correlations():
    rng = np.random.default_rng(9)
    factors, loadings = rng.normal(size=(80, 2)), rng.normal(size=(2, 14))
    changed = loadings.copy()
    changed[:, 0] *= -1
    a = table_group(rng, "r", factors, loadings)
    b = table_group(rng, "q", factors, changed)
    diff = recipe(a, b, "correlation")
    table = diff.table
    assert table[["weight_a", "weight_b"]].abs().max(axis=None) < 1
    assert np.allclose(table["delta"], table["weight_b"] - table["weight_a"])
    assert len(diff.claims) >= 8
    assert (diff.claims["source"] == "unit0").all()
    # without a margin the test is the one on the atanh scale
    plain = recipe(a, b, "correlation", margin=0.0)
    half = (plain.table["high"] - plain.table["low"]) / 2
    beyond = np.abs(plain.table["delta"]) > half
    assert np.array_equal(beyond, plain.table["p"] < 0.05)


def test_many_variants_against_one_base():
    rng = np.random.default_rng(10)
    base = effect_run(LEVELS + 0.01 * rng.normal(size=(40, EDGES)), SCENARIOS, "base")

    def changed(name, recipe_name, edges):
        levels = LEVELS.copy()
        levels[list(edges)] *= -1
        values = levels + 0.01 * rng.normal(size=(40, EDGES))
        return name, [effect_run(values, SCENARIOS, name, recipe=recipe_name)]

    others = [
        changed("r0", "r", [50, 51, 52]),
        changed("r1", "r", [50, 51]),
        changed("q0", "q", [50, 53]),
        changed("lone", "", [54]),
    ]
    many = compare_many(("base", [base]), others, lens="effect")
    table = many.table.set_index("source")
    assert list(many.diffs) == ["r0", "r1", "q0", "lone"]
    assert table.loc["L0H50", "pattern"] == "shared"
    assert table.loc["L0H50", "n_claims"] == 3
    assert table.loc["L0H51", "pattern"] == "only in r (2 of 2)"
    assert table.loc["L0H52", "pattern"] == "only in r0"
    assert table.loc["L0H53", "pattern"] == "only in q0"
    assert table.loc["L0H54", "pattern"] == "only in lone"
    assert table["specific"].sum() == 4
    assert table.loc["L0H10", "pattern"] == ""
    assert table.loc["L0H50", "verdict: r0"] == "sign_flip"
    with pytest.raises(UsageError, match="each once"):
        compare_many(("base", [base]), [others[0], others[0]], lens="effect")


def test_one_effect_explained():
    rng = np.random.default_rng(11)
    x = LEVELS + 0.01 * rng.normal(size=(40, EDGES))
    y = x + 0.001 * rng.normal(size=x.shape)
    y[:, 55] *= -1
    a, b = effect_run(x, SCENARIOS, "De"), effect_run(y, SCENARIOS, "Ut")
    diff = compare_runs([a], [b], name_a="De", name_b="Ut", lens="effect")
    found = explain_edge(diff, "L0H55", "L1H0")
    assert found.rows["verdict"].tolist() == ["sign_flip"]
    assert len(found.per_prompt) == 40
    assert np.allclose(found.per_prompt["raw_a"], np.float32(x[:, 55]))
    assert np.allclose(found.per_prompt["change"].mean(), found.rows["delta"].iloc[0])
    assert found.per_scenario["n"].tolist() == [8] * 5
    assert "L0H55 → L1H0 (all), De → Ut" in found.text
    assert "changed its sign" in str(found)
    assert "Mechanism: unknown" in found.text
    with pytest.raises(UsageError, match="did you mean"):
        explain_edge(diff, "L0H555", "L1H0")
    with pytest.raises(UsageError, match="did you mean L0H55\\?$"):
        explain_edge(diff, "l0h55", "L1H0")
    with pytest.raises(UsageError, match="earlier component"):
        explain_edge(diff, "L1H0", "L0H55")


def test_one_correlation_explained_in_either_order():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(60, 4))
    y = x + 0.1 * rng.normal(size=x.shape)
    scenarios = np.arange(60) % 3
    diff = compare_runs(
        [table_run(x, scenarios)],
        [table_run(y, scenarios, "B")],
        name_a="A",
        name_b="B",
        lens="correlation",
    )
    found = explain_edge(diff, "unit2", "unit1")
    assert (found.source, found.target) == ("unit1", "unit2")
    assert np.isclose(found.per_prompt["change"].mean(), found.rows["delta"].iloc[0])
    own = x[scenarios == 0][:, 1:3]
    assert np.isclose(found.per_scenario["r_a"][0], np.corrcoef(own, rowvar=False)[0, 1])
    assert "unit1 – unit2" in found.text
