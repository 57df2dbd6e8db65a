"""What variants of a recipe changed one by one, and what all of them have in common."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from measured import effect_run, table_run

from circuitgraph.diff import compare_runs

SCENARIOS = np.arange(40) % 2
BIG = 10.0
CHANGE = 0.5


def variant(name, changes=None, seed=0, **options):
    """Small effects beside one large one, which keeps the overall norm as it is."""
    effects = 0.05 * np.random.default_rng(seed).normal(size=(40, 12))
    effects[:, 11] = BIG
    for edge, change in (changes or {}).items():
        effects[:, edge] += change
    return effect_run(effects, SCENARIOS, name, **options)


def seeds(k=4, **options):
    """Edges 0 and 1 change in every seed, two more in one each, edge 10 either way."""
    return [
        variant(
            f"s{i}",
            dict.fromkeys((0, 1, 2 + 2 * i, 3 + 2 * i), CHANGE) | {10: CHANGE * (-1) ** i},
            seed=i + 1,
            recipe="s",
            **options,
        )
        for i in range(k)
    ]


def recipe(a, b, lens="effect", **options):
    return compare_runs(a, b, name_a="A", name_b="B", lens=lens, scope="recipe", **options)


def test_seeds_that_change_different_edges_are_told_apart():
    diff = recipe([variant("base")], seeds())
    found = diff.summary["alone"]
    assert [pair["n_claims"] for pair in found["pairs"]] == [5, 5, 5, 5]
    assert (found["n_any"], found["shared"]) == (2 + 8 + 1, 2)
    assert (
        "each of the 4 variants by itself changed 5 edges, 11 different ones in all; 2 of them in "
        "every variant with the same sign; most of what each changed is its own"
    ) in diff.summary["remarks"]
    assert json.loads(json.dumps(diff.summary)) == diff.summary


def test_two_groups_are_compared_pair_by_pair():
    plain = [variant(f"a{i}", seed=10 + i, recipe="a") for i in range(3)]
    diff = recipe(plain, seeds(3), margin=0.02)
    found = diff.summary["alone"]
    assert (found["n_any"], found["shared"], len(found["pairs"])) == (2 + 6 + 1, 2, 9)
    assert any(
        "the 9 pairs of one variant a side differ in 5" in x for x in diff.summary["remarks"]
    )


def test_counts_are_those_of_the_checkpoint_scope():
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(120, 3))
    tables = [
        table_run(factors @ rng.normal(size=(3, 8)), np.arange(120) % 4, f"t{i}") for i in range(4)
    ]
    sides = {"effect": ([variant("base")], seeds()), "correlation": (tables[:1], tables[1:])}
    for lens, (a, b) in sides.items():
        pairs = recipe(a, b, lens).summary["alone"]["pairs"]
        for pair, (one, other) in zip(pairs, product(a, b), strict=True):
            single = compare_runs([one], [other], name_a="A", name_b="B", lens=lens)
            assert (pair["a"], pair["b"]) == (one.variant.name, other.variant.name)
            assert pair["n_claims"] == single.summary["n_claims"]
        assert sum(pair["n_claims"] for pair in pairs) > 0


def test_all_pairs_have_the_signs_of_the_whole_diff():
    # Totals of the first seed alone with the base would turn scenario 0 round.
    none = [None] * 40
    base = variant("base", directions=none)
    turned = np.where(SCENARIOS == 0, -1.5, 1.0)
    first, *others = seeds(directions=none)
    first = variant("s0", {0: CHANGE, 1: CHANGE}, 1, directions=none, totals=turned, recipe="s")
    assert recipe([base], [first, *others]).summary["alone"]["shared"] == 2


def test_nothing_is_said_where_it_would_not_hold():
    group = seeds()
    assert recipe(group, group).summary["alone"] is None
    single = compare_runs([group[0]], [group[1]], name_a="A", name_b="B", lens="effect")
    assert single.summary["alone"] is None
    few = [effect_run(run.effects[:6], SCENARIOS[:6], run.variant.name) for run in group]
    assert recipe(few[:1], few[1:]).summary["alone"] is None
    many = [variant(f"v{i}", seed=i, recipe="v") for i in range(14)]
    assert recipe(many[:7], many[7:]).summary["alone"] is None


@pytest.mark.parametrize("estimator", ["exact", "eap"])
def test_estimates_are_called_so(estimator):
    runs = [
        replace(run, method=replace(run.method, estimator=estimator))
        for run in (variant("base"), *seeds())
    ]
    said = "".join(recipe(runs[:1], runs[1:]).summary["remarks"])
    assert ("(by eap, not confirmed)" in said) == (estimator == "eap")
