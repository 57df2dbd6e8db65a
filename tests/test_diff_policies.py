"""The first line of a diff says when both sides decide alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured import effect_run
from scipy.special import logit
from scipy.stats import t

from circuitgraph.diff import compare_runs
from circuitgraph.diff.behaviour import behaviour_panel, policies
from circuitgraph.lenses.match import match_runs
from circuitgraph.report.words import headline

ONE = np.zeros(20, int)


def run(name, p, scenarios=ONE, flip=False, **options):
    """A run that gives the answer with probability ``p`` [n]; ``flip`` turns one effect round."""
    effects = np.tile([1.0, 2.0, 3.0], (len(scenarios), 1))
    effects += 0.1 * np.random.default_rng(0).normal(size=effects.shape)
    effects[:, 2] *= -1 if flip else 1
    p = np.broadcast_to(p, len(scenarios))
    return effect_run(effects, scenarios, name, decisions=logit(p), **options)


def apart(a, b):
    return policies(match_runs([a], [b], "effect"))


def diff(a, b, **options):
    return compare_runs(a, b, name_a="A", name_b="B", lens="effect", **options)


def test_the_first_line_says_that_policies_are_alike_before_it_counts():
    p = 0.5 + np.where(ONE + np.arange(20) % 2, 0.01, -0.03)
    found = diff([run("A", np.full(20, 0.5))], [run("B", p, flip=True)])
    high = 0.02 + t.ppf(0.95, 19) * np.std(np.abs(p - 0.5), ddof=1) / np.sqrt(20)
    assert found.summary["policies"]["high"] == pytest.approx(high, abs=1e-6)
    assert headline(found) == (
        "A → B (effect lens, checkpoint scope): the two policies are alike: P(answer) differs by "
        f"0.020 on average (at most {np.ceil(1000 * high) / 1000:.3f} with 95% confidence); 1 of 3 "
        "testable edges changed beyond a margin of 0.01 (1 sign flip), but these variants decide "
        "alike; 20 prompts in 1 scenarios, evidence low"
    )


def test_differences_too_small_to_print_are_not_none():
    found = diff([run("A", 0.5)], [run("B", 0.5004, flip=True)])
    assert "differs by under 0.001 on average (at most 0.001 with" in headline(found)


def test_alike_needs_to_be_sure():
    # The mean, .03, is under .05; three prompts in twenty that decide otherwise leave it open.
    p = np.where(np.arange(20) < 3, 0.7, 0.5)
    found = apart(run("A", 0.5), run("B", p))
    assert found["apart"] == pytest.approx(0.03)
    assert found["high"] > 0.05
    assert not found["alike"]
    assert "alike" not in headline(diff([run("A", 0.5)], [run("B", p)]))


def test_scenarios_count_alike():
    scenarios = np.repeat([0, 1], [15, 5])
    found = apart(run("A", 0.5, scenarios), run("B", 0.5 + 0.04 * scenarios, scenarios))
    assert found["apart"] == pytest.approx(0.02)
    assert found["alike"]


def test_seeds_that_go_opposite_ways_are_not_alike_on_average():
    seeds = [run(f"s{i}", p, recipe="s") for i, p in enumerate((0.1, 0.9, 0.1, 0.9))]
    found = diff([run("base", 0.5)], seeds, scope="recipe").summary["policies"]
    assert found["apart"] == pytest.approx(0.4)
    assert not found["alike"]


def test_answers_that_carry_little_are_no_policy():
    a, b = run("A", 0.5), run("B", 0.5, flip=True, mass=np.full(20, 0.1))
    found = diff([a], [b])
    assert "alike" not in headline(found)
    assert any("alike" in line and "little" in line for line in found.summary["remarks"])


def test_every_prompt_its_own_scenario_leaves_nothing_to_be_sure_of():
    found = apart(run("A", 0.5, np.arange(20)), run("B", 0.51, np.arange(20)))
    assert found["high"] is None
    assert not found["alike"]


def test_a_pair_that_stands_both_ways_counts_once():
    p = np.repeat(0.5 + np.where(np.arange(20) % 2, 0.01, -0.03), 2)
    pairs = [str(i // 2) for i in range(40)]
    runs = [run("A", np.full(40, 0.5), np.zeros(40, int)), run("B", p, np.zeros(40, int))]
    both = [
        replace(r, prompts=tuple(replace(q, pair=k) for q, k in zip(r.prompts, pairs, strict=True)))
        for r in runs
    ]
    once = apart(run("A", 0.5), run("B", p[::2]))
    assert apart(*both)["high"] == pytest.approx(once["high"])
    assert apart(*runs)["high"] < once["high"]


def test_the_panel_shows_every_scenario_that_was_asked():
    """The only pair of b is one of a, exchanged: three scenarios asked, two of observations."""
    given = run("A", [0.5, 0.6, 0.7, 0.8], ["a", "b", "c", "c"])
    pairs = ["x", "x", None, None]
    prompts = tuple(replace(p, pair=k) for p, k in zip(given.prompts, pairs, strict=True))
    given = replace(given, prompts=prompts)
    assert given.n_scenarios == 2
    shown = [(row["scenario"], row["n"]) for row in behaviour_panel({"a": [given]})]
    assert shown == [("a", 1), ("b", 1), ("c", 2)]
    answers = [row["p_answer"] for row in behaviour_panel({"a": [given]})]
    assert answers == pytest.approx([0.5, 0.6, 0.75], abs=1e-6)
