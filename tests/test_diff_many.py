"""Many variants against one base: shared, opposite, only in one, and what a test says of it."""

from __future__ import annotations

import numpy as np
import pytest
from asking import compare_many
from measured import effect_run, table_run
from scipy import stats

from circuitgraph.commands.views import compare_view
from circuitgraph.diff import ManyDiff
from circuitgraph.runs.record import Run

SCENARIOS = np.zeros(40, int)
BASE = np.array([0.5, 0.5, 0.5, 0.5, 0.5])
MARGIN = 0.1


def run(name: str, change: list[float], recipe: str = "", noise: float = 0.05) -> Run:
    seed = sum(map(ord, name))
    values = BASE + change + noise * np.random.default_rng(seed).normal(size=(40, 5))
    return effect_run(values, SCENARIOS, name, recipe=recipe)


def many(*others: Run, **options) -> ManyDiff:
    pairs = [(one.variant.name, [one]) for one in others]
    chosen = {"lens": "effect", "scale": "logit", "margin": MARGIN, **options}
    return compare_many(("base", [run("base", [0.0] * 5)]), pairs, **chosen)


UP, DOWN = 0.4, -0.4


def test_shared_is_one_sign_and_opposite_is_not() -> None:
    x = run("x", [UP, UP, UP, 0, 0], "r")
    y = run("y", [UP, DOWN, 0, DOWN, 0], "q")
    found = many(x, y)
    assert found.table["pattern"].tolist() == ["shared", "opposite", "only in x", "only in y", ""]
    assert found.table["specific"].tolist() == [False, False, True, True, False]
    assert found.table["q_specific"].isna().tolist() == [True, True, False, False, True]


def test_one_seed_names_the_checkpoint_and_several_their_recipe() -> None:
    one = many(run("x", [UP, 0, 0, 0, 0], "r"), run("y", [0] * 5, "q"))
    assert one.table["pattern"][0] == "only in x"
    told = "said of these checkpoints, not of their recipes (r 1 seed, q 1 seed)"
    assert any(told in line for line in one.remarks)
    seeds = [run(f"x{i}", [UP, UP if i else 0, 0, 0, 0], "r") for i in range(3)]
    two = many(*seeds, run("y", [0] * 5, "q"))
    assert two.table["pattern"].tolist()[:2] == ["only in r (3 of 3)", "only in r (2 of 3)"]
    assert any("(r 3 seeds, q 1 seed)" in line for line in two.remarks)


def test_claimed_here_and_not_there_is_no_difference() -> None:
    """Changes just beyond and just within what the test can claim: their difference is small."""
    x = run("x", [0.16, UP, 0, 0, 0], "r")
    y = run("y", [0.09, 0, 0, 0, 0], "q")
    found = many(x, y)
    row = found.table.iloc[0]
    assert (row["verdict: x"], row["verdict: y"]) == ("rewired", "not_detected")
    assert row["pattern"] == "only in x"
    assert not row["specific"]
    assert found.table["specific"][1]
    told = "of 2 edges claimed in one place only, 1 are tested to differ there from every other"
    assert any(line.startswith(told) for line in found.remarks)
    view = compare_view(found, 80).splitlines()
    assert view[0].split() == ["source", "target", "pattern", "specific", "x", "y"]
    assert "changes: log-odds" in view


def test_the_test_is_that_of_the_difference_by_hand() -> None:
    """Against two others the least sure counts; Benjamini-Hochberg over the two edges tested."""
    x, y, z = (
        run("x", [UP, UP, 0, 0, 0], noise=0.3),
        run("y", [0.0] * 5, noise=0.3),
        run("z", [0.12, 0, 0, 0, 0], noise=0.3),
    )
    found = many(x, y, z)
    assert found.table["pattern"].tolist()[:2] == ["only in x", "only in x"]
    p = []
    for edge in (0, 1):
        pairs = []
        for other in (y, z):
            d = (other.effects[:, edge].astype(float) - x.effects[:, edge]).reshape(-1)
            se = d.std(ddof=1) / np.sqrt(40)
            far, near = (abs(d.mean()) + MARGIN) / se, (abs(d.mean()) - MARGIN) / se
            pairs.append(stats.t.sf(far, 39) + stats.t.sf(near, 39))
        p.append(max(pairs))
    assert found.table["q_specific"][:2].to_numpy() == pytest.approx(
        stats.false_discovery_control(p), rel=1e-4
    )


def test_correlations_and_equal_weights() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(80, 1))
    base = np.hstack([common + 0.3 * rng.normal(size=(80, 2)), rng.normal(size=(80, 1))])
    apart = base.copy()
    apart[:, 1] = rng.normal(size=80)
    runs = [table_run(values, ["s"] * 80, name) for values, name in ((base, "b"), (apart, "x"))]
    twin = table_run(apart, ["s"] * 80, "y")
    equal = [one.variant.fingerprint for one in (runs[1], twin)]
    assert equal[0] != equal[1]
    found = compare_many(("b", runs[:1]), [("x", runs[1:]), ("same", runs[:1])], lens="correlation")
    row = found.table.set_index(["source", "target"]).loc["unit0", "unit1"]
    assert (row["pattern"], row["specific"]) == ("only in x", True)
    assert not any("same merged weights" in line for line in found.remarks)
    again = compare_many(("b", runs[:1]), [("x", runs[1:]), ("x2", runs[1:])], lens="correlation")
    assert "x, x2 have the same merged weights: what one shows all show" in again.remarks
    assert repr(again) == "ManyDiff(b against 2 variants, 1 claims)"
