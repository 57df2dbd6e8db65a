"""Which claim an edge gets, from own intervals worked out by hand, in every lens and scope."""

from __future__ import annotations

import numpy as np
import pytest
from asking import compare_runs
from measured import effect_run, table_run

from circuitgraph.diff.record import Diff
from circuitgraph.runs.record import Run

# One scenario of 20 prompts, values mean ± 0.01 in turn: sd 0.01 · √(20/19) = 0.01026, so an
# own 95% interval is mean ± 2.093 · 0.01026 / √20 = mean ± 0.0048.
TURNS = np.where(np.arange(20) % 2, 0.01, -0.01)[:, None]
MARGIN = 0.1
PAIRS = {
    "lost": (0.5, -0.01),  # B from -0.0148 to -0.0052: it excludes 0, and is within the margin
    "gained": (0.0948, -0.5),  # A from 0.0900 to 0.0996: just within
    "sign_flip": (0.1053, -0.1053),  # both from 0.1005 in size: just beyond
    "rewired": (0.5, -0.0998),  # B from -0.1046 to -0.0950: neither within nor beyond
}


def effects(side: int, shift: float = 0.0, name: str = "A", recipe: str = "") -> Run:
    # The phases of A's and B's turns differ: equal noise would leave the change no variance.
    levels = np.array([pair[side] for pair in PAIRS.values()]) + shift
    turns = np.roll(TURNS, side) * (1 if side == 0 else 1 + np.arange(20)[:, None] % 4 / 1000)
    return effect_run(levels + turns, ["s"] * 20, name, recipe=recipe)


def verdicts(diff: Diff) -> list[str]:
    return diff.table["verdict"].astype(str).tolist()


def test_gained_and_lost_go_before_a_flip_which_needs_both_sides_beyond_the_margin() -> None:
    a, b = effects(0), effects(1, name="B")
    diff = compare_runs(
        [a], [b], name_a="A", name_b="B", lens="effect", scale="logit", margin=MARGIN
    )
    assert verdicts(diff) == list(PAIRS)
    ends = diff.details[["low_b", "high_b"]].to_numpy()
    assert ends[0] == pytest.approx([-0.0148, -0.0052], abs=1e-4)
    swapped = compare_runs(
        [b], [a], name_a="B", name_b="A", lens="effect", scale="logit", margin=MARGIN
    )
    assert verdicts(swapped) == ["gained", "lost", "sign_flip", "rewired"]


def test_without_a_margin_the_default_one_tells_what_is_there() -> None:
    """Norm 1 a prompt: the default margin is 0.01 of it."""
    codes = np.zeros(20, int)
    level = np.array([[0.6, 0.8, 0.005]]), np.array([[0.6, 0.8, -0.3]])
    tiny = np.random.default_rng(0).normal(size=(2, 20, 3)) / 2000
    a, b = (effect_run(level[i] + tiny[i], codes, "AB"[i]) for i in (0, 1))
    diff = compare_runs([a], [b], name_a="A", name_b="B", lens="effect", margin=0.0)
    # A's 0.005 ± 0.0003 excludes 0, yet 0.005 of the norm is not there.
    assert verdicts(diff)[2] == "gained"


def test_the_same_at_recipe_scope() -> None:
    shifts = (-0.0004, 0.0, 0.0004)
    # Three replicates with spread 0.0004: intervals are wider, by less than 0.003.
    cases = {"lost": (0.5, -0.01), "gained": (0.08, -0.5), "sign_flip": (0.15, -0.15)}
    sides = []
    for side in (0, 1):
        levels = np.array([pair[side] for pair in cases.values()])
        sides.append(
            [
                effect_run(levels + s + TURNS * (1 + s), ["s"] * 20, f"{side}{s}", recipe=f"{side}")
                for s in shifts
            ]
        )
    diff = compare_runs(
        *sides,
        name_a="A",
        name_b="B",
        lens="effect",
        scope="recipe",
        scale="logit",
        margin=MARGIN,
    )
    assert verdicts(diff) == list(cases)
    own = diff.details[["low_a", "high_a", "low_b", "high_b"]].to_numpy()
    middle = np.repeat(np.array(list(cases.values())), 2, axis=1)
    assert np.abs(own - middle).max() < 0.01


def correlated(r: float, seed: int) -> np.ndarray:
    """Two columns of 400 prompts whose correlation is r exactly."""
    x = np.random.default_rng(seed).normal(size=(400, 2))
    first, second = np.linalg.qr(x - x.mean(0))[0].T
    return np.stack([first, r * first + np.sqrt(1 - r * r) * second], axis=1)


@pytest.mark.parametrize(
    ("r_a", "r_b", "told"),
    [
        (0.8, -0.15, "lost"),  # B ± 0.096 excludes 0, within ± 0.3
        (-0.15, 0.8, "gained"),
        (0.8, -0.5, "sign_flip"),  # -0.5 ± 0.074 is beyond -0.3
        (0.8, -0.3, "rewired"),
    ],
)
def test_the_same_for_correlations(r_a: float, r_b: float, told: str) -> None:
    runs = [table_run(correlated(r, i), ["s"] * 400, "AB"[i]) for i, r in enumerate((r_a, r_b))]
    diff = compare_runs(
        [runs[0]], [runs[1]], name_a="A", name_b="B", lens="correlation", margin=0.3
    )
    assert verdicts(diff) == [told]
    low, high = diff.details[["low_b", "high_b"]].to_numpy()[0]
    assert (low, high) == pytest.approx(
        np.tanh(np.arctanh(r_b) + np.array([-1, 1]) * 1.966 / np.sqrt(399)), abs=0.02
    )


def test_the_yardstick_counts_flips_alike() -> None:
    """Of the four changes above one has both sides beyond the margin."""
    a, b = effects(0), effects(1, name="B")
    options = {"lens": "effect", "scale": "logit", "margin": MARGIN}
    diff = compare_runs([a], [b], name_a="A", name_b="B", **options)
    # The means themselves: -0.0998 is not beyond 0.1.
    assert diff.summary["yardstick"]["observed"] == {"margin": 4, "sign_flips": 1}
