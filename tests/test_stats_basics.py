"""Small numbers whose answers are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, polygamma, stdtr
from scipy.stats import false_discovery_control

from circuitgraph.stats.correlations import normal_scores, standardise
from circuitgraph.stats.margins import adjusted, half_width, t_tail, treat_p
from circuitgraph.stats.replicates import combined_df, moderate, trigamma_inverse
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, centre, means

VALUES = np.array([[1.0], [3.0], [10.0]])
CODES = np.array([0, 0, 1])


def test_scenario_means_count_scenarios_alike():
    assert means(VALUES, CODES).ravel().tolist() == [2, 10]
    assert centre(VALUES, CODES).ravel().tolist() == [-1, 1, 0]
    assert balanced_mean(VALUES, CODES) == 6  # and not 14/3


def test_variance_of_the_balanced_mean():
    values = np.array([[1.0], [3.0], [10.0], [16.0]])
    codes = np.array([0, 0, 1, 1])
    # variances 2 and 18, two prompts each, two scenarios: (2/2 + 18/2) / 4
    assert balanced_variance(values, codes) == 2.5


def test_a_lone_prompt_borrows_the_pooled_variance():
    # pooled variance 2 on one degree of freedom: (2/2 + 2/1) / 4
    assert balanced_variance(VALUES, CODES) == 0.75


def test_no_spread_is_known_when_every_prompt_is_its_own_scenario():
    assert np.isnan(balanced_variance(VALUES, np.arange(3))).all()


def test_scores_are_centred_within_scenarios_and_have_unit_size():
    rng = np.random.default_rng(0)
    scenarios = np.repeat([0, 1, 2], 5)
    scores = standardise(rng.normal(size=(15, 4)) + 100 * scenarios[:, None], scenarios)
    assert scores.df == 12
    assert np.allclose(means(scores.z, scenarios), 0)
    assert np.allclose((scores.z**2).mean(0), 1)


def test_constant_and_broken_components_are_dead():
    activity = np.ones((6, 3))
    activity[:, 0] = np.arange(6)
    activity[:, 1] *= 0.1  # its mean is not exactly 0.1: the residue must not become a score
    activity[2, 2] = np.nan
    scores = standardise(activity, np.zeros(6, int))
    assert scores.alive.tolist() == [True, False, False]
    assert (scores.z[:, 1:] == 0).all()


def test_normal_scores_share_ranks_of_ties():
    scores = normal_scores(np.array([[5.0], [1.0], [5.0], [9.0]])).ravel()
    # ranks 2.5, 1, 2.5, 4 of 4
    assert scores[0] == scores[2] == 0
    assert scores[1] == -scores[3]
    assert np.isclose(ndtr(scores[1]), 0.125)


def test_treat_by_hand():
    p = treat_p(np.array([2.0, -2.0, 0.5]), np.array([1.0, 1.0, 1.0]), np.inf, 1.0)
    expected = ndtr(-1.0) + ndtr(-3.0)
    assert np.allclose(p, [expected, expected, min(1, ndtr(0.5) + ndtr(-1.5))])


def test_treat_without_margin_is_the_t_test():
    assert np.isclose(treat_p(np.array([2.0]), np.array([1.0]), 7.0)[0], 2 * stdtr(7, -2.0))


def test_treat_of_no_variance():
    p = treat_p(np.array([0.0, 1.0]), np.zeros(2), 5.0, 0.1)
    assert p[0] == 1
    assert np.isnan(p[1])


@pytest.mark.parametrize("df", [0, -3])
def test_treat_without_degrees_of_freedom(df):
    assert np.isnan(treat_p(np.array([1.0]), np.array([1.0]), df)).all()
    assert np.isnan(half_width(np.array([1.0]), df)).all()


@pytest.mark.parametrize("df", [1, 3, 75, 195, 4000])
def test_quick_tails_equal_exact_ones(df):
    rng = np.random.default_rng(1)
    t = np.concatenate([rng.uniform(-50, 50, 40_000), [np.nan, np.inf, -np.inf, 0, 40]])
    quick, exact = t_tail(t, df), stdtr(df, -t)
    sure = exact > 1e-300
    assert np.allclose(quick[sure], exact[sure], rtol=1e-9, atol=0)
    assert np.array_equal(np.isnan(quick), np.isnan(exact))


@pytest.mark.parametrize("method", ["bh", "by"])
def test_adjusted_p_equals_scipy(method):
    p = np.random.default_rng(0).uniform(size=500) ** 2
    assert np.allclose(adjusted(p, method), false_discovery_control(p, method=method))


def test_untestable_edges_are_left_out_of_the_count():
    q = adjusted(np.array([0.01, np.nan, 0.04]))
    assert q[0] == 0.02
    assert np.isnan(q[1])
    assert q[2] == 0.04
    assert np.isnan(adjusted(np.array([np.nan]))).all()


@pytest.mark.parametrize("x", [1e-3, 0.3, 1.0, 7.5, 4e3])
def test_trigamma_inverse(x):
    assert np.isclose(trigamma_inverse(float(polygamma(1, x))), x, rtol=1e-6)


def test_trigamma_inverse_of_nothing_left_is_infinite():
    assert trigamma_inverse(0.0) == trigamma_inverse(-1.0) == np.inf


def test_equal_variances_are_pooled_fully():
    rng = np.random.default_rng(3)
    spread = moderate(rng.normal(size=(4, 4000)))
    assert spread.df > 100
    assert np.allclose(spread.variance, 1, atol=0.15)


def test_the_prior_is_recovered():
    rng = np.random.default_rng(4)
    # s₀² = 2, d₀ = 8: variances 2·8/χ²₈
    sd = np.sqrt(16 / rng.chisquare(8, 20_000))
    spread = moderate(rng.normal(size=(4, 20_000)) * sd + 5)
    assert np.isclose(spread.df - 3, 8, rtol=0.15)


def test_variance_follows_the_size_of_the_number():
    rng = np.random.default_rng(5)
    size = np.exp(rng.uniform(-6, 0, 3000))
    spread = moderate(size * (1 + 0.1 * rng.normal(size=(4, 3000))), size=size)
    assert np.corrcoef(np.log(spread.variance), np.log(size))[0, 1] > 0.98


def test_too_few_edges_are_not_moderated():
    numbers = np.array([[0.0, 1.0], [2.0, 4.0], [4.0, 1.0]])
    spread = moderate(numbers)
    assert spread.df == 2
    assert spread.variance.tolist() == [4, 3]


def test_edges_without_variance_take_the_prior():
    rng = np.random.default_rng(6)
    numbers = rng.normal(size=(4, 200))
    numbers[:, 0] = 1.0
    spread = moderate(numbers)
    assert spread.variance[0] > 0.1


def test_satterthwaite_by_hand():
    # (1 + 1)² / (1/4 + 1/4)
    assert combined_df((1.0, 4), (1.0, 4)) == 8
    assert combined_df((1.0, 4), (1.0, np.inf)) == 16
    assert combined_df((1.0, np.inf), (0.0, 3)) == np.inf
