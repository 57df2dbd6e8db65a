"""Correlations: the closed form against sums written out, and what one run's table says."""

from __future__ import annotations

import numpy as np
import pytest
from measured import table_run

from circuitgraph.runs.summaries import COLUMNS, edge_table
from circuitgraph.stats import triangle
from circuitgraph.stats.correlations import (
    Scores,
    atanh_error,
    atanh_influence,
    pooled_correlation,
    standardise,
    zero_error,
)
from circuitgraph.stats.evidence import degenerate, distinct_rows, enough_replicates, evidence
from circuitgraph.stats.margins import treat_p
from circuitgraph.stats.paired import change_per_prompt, correlation_change


def explicit(a: np.ndarray, b: np.ndarray, df: int, j: int, k: int) -> tuple[float, float]:
    """The formula of the design, prompt by prompt."""
    n = len(a)
    r_a = sum(a[i, j] * a[i, k] for i in range(n)) / n
    r_b = sum(b[i, j] * b[i, k] for i in range(n)) / n
    r0 = (r_a + r_b) / 2
    d = [
        (b[i, j] * b[i, k] - r0 * (b[i, j] ** 2 + b[i, k] ** 2) / 2)
        - (a[i, j] * a[i, k] - r0 * (a[i, j] ** 2 + a[i, k] ** 2) / 2)
        for i in range(n)
    ]
    return r_b - r_a, np.std(d, ddof=1) / np.sqrt(n) * np.sqrt((n - 1) / df)


def pair(seed: int, n: int = 30, c: int = 7, noise: float = 0.5) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, c)) + rng.normal(size=(n, c))
    scenarios = np.arange(n) % 4
    y = x + noise * rng.standard_t(5, size=x.shape)
    return standardise(x, scenarios), standardise(y, scenarios)


def test_four_prompts_by_hand():
    j, k = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])
    a = Scores(np.stack([j, j], 1), np.ones(2, bool), 3)
    b = Scores(np.stack([j, k], 1), np.ones(2, bool), 3)
    change = correlation_change(a, b)
    # d = (0, −2, −2, 0): mean −1, mean square around it 1, over n − S = 3
    assert change.r_a.tolist() == [1]
    assert change.r_b.tolist() == [0]
    assert change.delta.tolist() == [-1]
    assert np.allclose(change.se, np.sqrt(1 / 3))
    assert change_per_prompt(a, b, np.array([0]), np.array([1])).ravel().tolist() == [0, -2, -2, 0]


@pytest.mark.parametrize("seed", range(5))
def test_closed_form_equals_the_sums_written_out(seed):
    a, b = pair(seed)
    change = correlation_change(a, b)
    for place, (j, k) in enumerate(zip(*triangle.pair_codes(7), strict=True)):
        delta, se = explicit(a.z, b.z, a.df, j, k)
        assert np.isclose(change.delta[place], delta, atol=1e-12)
        assert np.isclose(change.se[place], se, atol=1e-12)


def test_nearly_equal_variants_keep_their_digits():
    a, b = pair(1, noise=1e-6)
    change = correlation_change(a, b)
    expected = [
        explicit(a.z, b.z, a.df, j, k)[1] for j, k in zip(*triangle.pair_codes(7), strict=True)
    ]
    assert np.allclose(change.se, expected, rtol=1e-6)


def test_equal_variants_give_exactly_nothing():
    a, _ = pair(2)
    change = correlation_change(a, a)
    assert not change.delta.any()
    assert not change.se.any()


@pytest.mark.parametrize("size", [1, 2, 5, 256, 300])
def test_bands_cover_the_triangle_once(size):
    first, second = triangle.pair_codes(size)
    rows, columns = np.triu_indices(size, 1)
    assert np.array_equal(first, rows)
    assert np.array_equal(second, columns)
    code = np.arange(size * size).reshape(size, size)
    out = np.full(triangle.n_pairs(size), -1)
    for band, right, place, mask in triangle.blocks(size):
        out[place] = code[band, right][mask]
    assert np.array_equal(out, triangle.upper(code))


def test_error_of_atanh_is_the_spread_of_its_influences():
    a, _ = pair(3)
    j, k = triangle.pair_codes(7)
    r = triangle.upper(a.z.T @ a.z / a.n)
    u = atanh_influence(a, r, j, k)
    assert np.allclose(u.mean(0), 0, atol=1e-12)
    assert np.allclose(atanh_error(a, r, j, k), np.sqrt((u**2).mean(0) / a.df))


def test_error_for_the_test_of_zero():
    a, _ = pair(4)
    j, k = np.array([1]), np.array([3])
    products = a.z[:, 1] * a.z[:, 3]
    se = zero_error(a, np.array([products.mean()]), j, k)
    assert np.isclose(se[0], np.sqrt(products.var() / a.df))


def test_independent_components_are_called_correlated_in_5_percent():
    rng = np.random.default_rng(5)
    scenarios = np.arange(40) % 5
    j, k = triangle.pair_codes(30)
    rates = []
    for _ in range(20):
        heavy = rng.normal(size=(40, 30)) * np.sqrt(5 / rng.chisquare(5, (40, 1)))
        scores = standardise(heavy + rng.normal(size=(5, 30))[scenarios], scenarios)
        r = triangle.upper(scores.z.T @ scores.z / scores.n)
        rates.append((treat_p(r, zero_error(scores, r, j, k), scores.df) < 0.05).mean())
    assert 0.025 < np.mean(rates) < 0.06


def test_pooled_correlation_is_pearsons():
    x = np.random.default_rng(6).normal(size=(12, 4))
    assert np.allclose(pooled_correlation(x), np.corrcoef(x, rowvar=False))
    x[:, 2] = 7.1
    assert np.isnan(pooled_correlation(x)[2]).all()
    opposite = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) + 1e-13
    assert pooled_correlation(opposite)[0, 1] == 0


def test_coarse_components_are_degenerate():
    rng = np.random.default_rng(7)
    activity = np.stack(
        [
            rng.normal(size=40),
            rng.integers(0, 5, 40) / 4,  # 5 distinct values
            np.round(rng.normal(size=40) * 3),  # sd of 3 steps
            np.round(rng.normal(size=40) * 12),  # sd of 12 steps
            np.ones(40),
        ],
        axis=1,
    )
    assert degenerate(activity, np.zeros(40, int)).tolist() == [False, True, True, False, True]


def test_distinct_rows_point_at_the_first():
    rows = np.array([[1.0, 2], [0.0, 1], [1, 2], [-0.0, 1]])
    assert distinct_rows(rows).tolist() == [0, 1, 0, 1]


def test_evidence_thresholds():
    found = [evidence("correlation", n) for n in (19, 20, 49, 50)]
    assert found == ["insufficient", "low", "low", "ok"]
    found = [evidence("effect", n) for n in (4, 5, 19, 20)]
    assert found == ["insufficient", "low", "low", "ok"]


def test_replicates_needed():
    assert enough_replicates(3, 3)
    assert enough_replicates(1, 3)
    assert not enough_replicates(1, 1)
    assert not enough_replicates(2, 4)


def test_table_of_a_correlation_run():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(40, 12))
    x[:, 1] += 2 * x[:, 0]
    x[:, 2] = 1.0
    scenarios = np.arange(40) % 4
    names = [f"L{i}_MLP" for i in range(11, -1, -1)]
    run = table_run(np.vstack([x, x[:5]]), [*scenarios, *scenarios[:5]], components=names)
    table = edge_table(run)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 66
    assert (table["n"] == 40).all()  # five duplicates left out
    assert set(table["kind"]) == {"correlation"}
    assert set(table["input"]) == set(table["estimator"]) == {""}
    row = table[(table["source"] == "L10_MLP") & (table["target"] == "L11_MLP")].iloc[0]
    z = x[:, :2] - np.array([x[scenarios == s, :2].mean(0) for s in range(4)])[scenarios]
    assert np.isclose(row["weight"], np.corrcoef(z, rowvar=False)[0, 1], atol=1e-6)
    assert np.isclose(row["pooled"], np.corrcoef(x[:, :2], rowvar=False)[0, 1], atol=1e-6)
    assert row["low"] < row["weight"] < row["high"]
    assert row["p"] <= row["q"] < 1e-3
    dead = table[(table["source"] == "L9_MLP") | (table["target"] == "L9_MLP")]
    assert dead[["weight", "pooled", "low", "high", "p", "q"]].isna().all(axis=None)
