"""Which channels stand out: hand-known values, and how often nothing is called something."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from circuitgraph.base.components import Edge
from circuitgraph.lenses.wiring.channel_tests import (
    against_others,
    by_receiver,
    channel_tests,
    claimed_under,
    prominences,
    sample_p,
    tail_p,
)
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.stats.margins import adjusted
from circuitgraph.stats.scenarios import balanced_weights


def edges_of(*counts: int) -> tuple[Edge, ...]:
    return tuple(Edge(f"S{s}", f"R{r}", "all") for r, k in enumerate(counts) for s in range(k))


def record(edges, square, expected, draws, **more):
    shape = np.shape(square)
    ones = np.ones(shape)
    fields = {"norm_a": ones, "norm_b": ones, "read": ones, "write": ones, "delta": 0.1 * ones}
    fields |= {"form": "weights", "floor": np.zeros(shape[1])} | more
    return Channels(edges=edges, square=square, expected=expected, draws=draws, **fields)


def test_receivers_are_told_apart_by_name_and_input():
    edges = (Edge("a", "L1H0", "q"), Edge("b", "L1H0", "q"), Edge("a", "L1H0", "k"))
    assert list(by_receiver(edges)) == [slice(0, 2), slice(2, 3)]


def test_a_value_over_the_median_of_the_others_by_hand():
    values = np.array([[1.0, 2.0, 3.0, 8.0], [4.0, 4.0, 4.0, 2.0]])
    ratio = against_others(values, edges_of(4))
    assert_allclose(ratio, [[1 / 3, 2 / 3, 3 / 2, 8 / 2], [1, 1, 1, 1 / 2]])
    three = against_others(np.array([[1.0, 2.0, 6.0]]), edges_of(3))
    assert_allclose(three, [[1 / 4, 2 / 3.5, 6 / 1.5]])
    assert np.isnan(against_others(values[:, :2], edges_of(2))).all()


@pytest.mark.parametrize("k", [3, 4, 7, 10])
def test_medians_of_others_are_those_of_numpy(k):
    values = np.random.default_rng(k).integers(1, 6, (20, k)).astype(float)
    naive = [[row[i] / np.median(np.delete(row, i)) for i in range(k)] for row in values]
    assert_allclose(against_others(values, edges_of(k)), naive)


def test_edges_without_a_null_are_no_yardstick():
    values = np.array([[1.0, np.nan, 2.0, 6.0]])
    ratio = against_others(values, edges_of(4))[0]
    assert np.isnan(ratio[1])
    assert_allclose(ratio[[0, 2, 3]], [1 / 4, 2 / 3.5, 6 / 1.5])


def test_the_tail_goes_on_beyond_the_draws_as_a_pareto_one_does():
    """For P(T > t) = t^−3 the exponential tail of log T is exact."""
    u = (np.arange(1000) + 0.5) / 1000
    draws = np.repeat((u ** (-1 / 3))[:, None], 4, 1)
    value = np.array([1.5, 3.0, 10.0, 100.0])
    assert_allclose(tail_p(value, draws), value**-3, rtol=0.2)
    assert tail_p(np.array([0.5]), draws[:, :1]) == pytest.approx(1.0)
    assert tail_p(np.array([2.0]), np.ones((100, 1))) == pytest.approx(1 / 101)
    assert np.isnan(tail_p(np.array([np.nan]), draws[:, :1])).all()


def test_p_values_are_uniform_when_values_are_draws():
    """Up to the fitted tail; beyond it never too small where tails are lighter."""
    random = np.random.default_rng(0)
    draws, value = random.chisquare(3, (1000, 2000)), random.chisquare(3, 2000)
    p = tail_p(value, draws)
    assert (p < 0.5).mean() == pytest.approx(0.5, rel=0.1)
    assert (p < 0.05).mean() == pytest.approx(0.05, rel=0.3)
    assert 0.001 < (p < 0.005).mean() < 0.008


def test_scenarios_count_alike_and_weights_choose_prompts():
    weights = balanced_weights(np.array([7, 7, 7, 2]))
    assert_allclose(weights, [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    square = np.array([[1.0, 1, 1, 9], [1, 1, 9, 1]])
    channels = record(edges_of(4), square, np.ones((2, 4)), np.ones((10, 4)))
    found = prominences(channels, np.array([[1.0, 0], [0, 3], [1, 1]]))
    assert_allclose(found, [[1, 1, 1, 9], [1, 1, 9, 1], [1 / 5, 1 / 5, 5, 5]])
    assert_allclose(prominences(channels, np.array([1.0, 0])), found[0])


def test_nothing_changed_is_p_1_and_no_signal_is_no_p():
    zero, norm = np.zeros((3, 4)), np.ones((3, 4))
    norm[:, 3] = 0
    channels = record(edges_of(4), zero, zero, np.zeros((100, 4)), norm_a=norm, norm_b=norm)
    tests = channel_tests(channels, np.zeros(3, int))
    assert_allclose(tests.p, [1, 1, 1, np.nan])
    assert not tests.prominent.any()


def null_of(random, edges, receivers=8, senders=12):
    """Changes whose scale is the receiver's own, and draws from the same law."""
    scale = np.repeat(random.uniform(0.1, 10, receivers), senders)
    draw = lambda n: scale * random.chisquare(4, (n, len(edges))) / 4  # noqa: E731
    return scale, draw


@pytest.mark.parametrize("planted", [0, 6])
def test_claims_are_seldom_false_and_find_what_is_planted(planted):
    random, edges, n = np.random.default_rng(planted), edges_of(*[12] * 8), 20
    false = found = claims = 0
    for _ in range(20):
        scale, draw = null_of(random, edges)
        square = draw(1)[0]
        truth = random.permutation(len(edges))[:planted]
        square[truth] += 40 * scale[truth]
        expected = np.tile(scale * random.uniform(0.5, 2), (n, 1))
        channels = record(edges, np.tile(square, (n, 1)), expected, n * draw(1000))
        tests = channel_tests(channels, np.zeros(n, int))
        claimed = np.flatnonzero((adjusted(tests.p) <= 0.05) & tests.prominent)
        false += len(set(claimed) - set(truth))
        found += len(set(claimed) & set(truth))
        claims += len(claimed)
    assert false <= max(2, 0.1 * claims)
    assert found >= 0.9 * 20 * planted


def test_receivers_of_few_senders_are_held_against_their_own_draws():
    random, edges = np.random.default_rng(0), edges_of(1, 2, 5)
    draws = random.chisquare(4, (1000, 8)) / 4
    square, delta = np.ones((4, 8)), np.full((4, 8), 0.1)
    square[:, :3], delta[:, 1] = 30.0, 0.05
    channels = record(edges, square, np.ones((4, 8)), 4 * draws, delta=delta)
    tests = channel_tests(channels, np.zeros(4, int))
    assert np.isnan(tests.prominence[:3]).all()
    assert (tests.p[:3] < 1e-4).all()
    assert tests.prominent[:3].tolist() == [True, False, True]
    assert (tests.p[3:] > 0.2).all()


def test_where_all_else_is_the_same_bit_for_bit_the_margin_alone_judges():
    """Two receivers of one changed sender, by scipy; a third of two senders has its draws."""
    from scipy.stats import ttest_1samp

    random, edges = np.random.default_rng(4), edges_of(5, 5, 2)
    delta, square, expected = (np.zeros((12, 12)) for _ in range(3))
    delta[:, 1] = 0.2 + 0.02 * random.standard_normal(12)
    delta[:, 6] = 0.02 + 0.02 * random.standard_normal(12)
    delta[:, 11] = 0.2
    for changed in (1, 6, 11):
        square[:, changed] = expected[:, changed] = 1
    draws = 12 * random.chisquare(4, (1000, 12)) / 4 * (expected[0] > 0)
    channels = record(edges, square, expected, draws, delta=delta)
    tests = channel_tests(channels, np.zeros(12, int), 0.02)
    want = [ttest_1samp(delta[:, i], 0.02, alternative="greater").pvalue for i in (1, 6)]
    assert_allclose(tests.p[[1, 6]], want)
    assert tests.prominent[[1, 6]].all()
    assert want[0] < 1e-6 < 0.01 < want[1]
    assert 0.3 < tests.p[11] < 0.6  # as large as random updates make it
    assert (np.delete(tests.p, [1, 6, 11]) == 1).all()
    p, large = claimed_under(
        channels, np.zeros(12, int), np.full((1, 12), 1 / 12), np.arange(12), 0.02
    )
    assert_allclose(p[0, [1, 6]], want)
    assert large[0, 1]


def functional(delta, draws=None, **more):
    drawn = np.empty((0, delta.shape[1])) if draws is None else draws
    expected = np.ones(delta.shape) if draws is None else 0 * delta + draws.mean(0)
    edges = edges_of(delta.shape[1])
    return record(
        edges,
        delta**2,
        expected,
        drawn,
        delta=delta,
        form="functional",
        **more,
    )


def test_functional_changes_must_stand_out_more_than_under_random_drift():
    """One channel moves three times as much as the others, in one model under any drift too."""
    random = np.random.default_rng(2)
    delta = 0.05 * np.exp(0.1 * random.standard_normal((30, 6)))
    delta[:, 2] *= 3
    draws = 1e-4 * np.exp(0.4 * random.standard_normal((8, 6)))
    plain = channel_tests(functional(delta, draws=draws), np.zeros(30, int))
    assert plain.prominent.tolist() == [i == 2 for i in range(6)]
    assert plain.p[2] < 0.01 < plain.p[[0, 1, 3, 4, 5]].min()
    loud = draws.copy()
    loud[:, 2] *= 9
    used_to = channel_tests(functional(delta, draws=loud), np.zeros(30, int))
    assert not used_to.prominent.any()
    assert used_to.p[2] > 0.1
    assert_allclose(used_to.prominence[2], plain.prominence[2] / 9)


def test_one_sample_for_all_values_has_the_tail_of_its_columns():
    sample = np.sort(np.random.default_rng(3).exponential(size=1000))
    value = np.array([[0.0, 0.7], [20.0, np.nan]])
    p = sample_p(value, sample)
    assert p[0, 0] == 1
    assert_allclose(p[0, 1], (1 + (sample >= 0.7).sum()) / 1001)
    assert_allclose(p[1, 0], tail_p(np.array([20.0]), sample[:, None])[0])
    assert np.isnan(p[1, 1])


def test_functional_changes_must_exceed_margin_and_rounding_by_a_t_test():
    from scipy.stats import ttest_1samp

    random = np.random.default_rng(1)
    delta = 0.01 + 0.002 * random.standard_normal((30, 5))
    delta[:, 0] += 0.05
    delta[:, 4] = 0.3
    delta[3, 3] = np.nan
    floor = np.array([0, 0, 0.2, 0, 0.5])
    tests = channel_tests(functional(delta, floor=floor), np.zeros(30, int))
    want = [ttest_1samp(delta[:, i], 0.01, alternative="greater").pvalue for i in (0, 1)]
    assert_allclose(tests.p[:2], want)
    assert tests.p[2] == 1
    assert np.isnan(tests.p[3])
    assert tests.p[4] == 1
    assert tests.prominent.tolist() == [True, False, False, False, False]
    wide = channel_tests(functional(delta, floor=0 * floor), np.zeros(30, int), margin=0.08)
    assert wide.p[0] > 0.99
