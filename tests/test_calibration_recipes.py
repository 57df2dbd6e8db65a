"""The recipe scope keeps its false discovery rate on simulated replicates."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from circuitgraph.lenses.edge_tests import Groups
from circuitgraph.lenses.recipe import combine
from circuitgraph.stats.replicates import Spread, combined_df, common_error

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "calibration_recipes.py"


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("calibration_recipes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("lens", "sizes", "ratio"),
    [
        ("effect", (3, 3), 1.0),
        ("effect", (3, 3), 10.0),
        ("effect", (1, 4), 1.0),
        ("correlation", (3, 3), 1.0),
        ("wiring", (3, 8), 0.1),
    ],
)
def test_false_discoveries_stay_under_eight_percent(calibration, lens, sizes, ratio):
    rates = calibration.cell(40, 2, lens, sizes, ratio).loc["circuitgraph"]
    assert rates["FDR"] <= 0.08 + 0.02  # 40 sets have a standard error of about .01
    assert rates["type I"] <= 0.065
    assert rates["power"] > 0.3


@pytest.mark.slow
def test_false_discoveries_stay_under_eight_percent_in_every_cell(calibration):
    for lens in calibration.LENSES:
        for sizes in calibration.SIZES:
            for ratio in calibration.RATIOS:
                rates = calibration.cell(100, 3, lens, sizes, ratio).loc["circuitgraph"]
                assert rates["FDR"] <= 0.085, (lens, sizes, ratio)


def test_what_both_groups_borrow_counts_once():
    # prior of 8, three replicates a side: 1 / (½ · 1/10 + ½ · 8/10²), and not 2 (8 + 2)
    spread = Spread(np.array([0.5]), 10.0, 8.0)
    shared = spread.variance**2 * common_error(spread, spread)
    parts = (spread.variance, spread.df), (spread.variance, spread.df)
    assert np.allclose(combined_df(*parts, together=shared), 1 / 0.09)
    assert np.allclose(combined_df(*parts), 20)


def test_a_fixed_reference_and_an_infinite_prior_have_no_common_error():
    spread = Spread(np.array([0.5]), 10.0, 8.0)
    assert common_error(spread, Spread(np.zeros(1), np.inf)) == 0
    assert common_error(spread, Spread(np.ones(1), np.inf, np.inf)) == 0


def test_a_group_that_lies_near_zero_by_chance_is_not_expected_to_scatter_less():
    rng = np.random.default_rng(0)
    level = np.exp(rng.normal(0, 1, 300))
    a = level * (1 + 0.3 * rng.normal(size=(3, 300)))
    b = level * (1 + 0.3 * rng.normal(size=(3, 300)))
    a[:, 0] = 1e-3 * np.array([1, 2, 3])
    b[:, 0] = 1.0
    none = np.zeros(300)
    both = combine(Groups(a, b, none, none, none), 100, np.ones(300, bool), trend=True)
    like = np.argmin(np.abs(np.log(level) - np.log(0.7)))
    assert both.se[0] > 0.3 * both.se[like]
