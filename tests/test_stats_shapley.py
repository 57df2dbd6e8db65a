"""Shares of a change over three factors: by hand, by all six orders, and by their properties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from circuitgraph.lenses.mechanism.split import labels, of_norm, shares

NUMBERS = arrays(np.float64, (2, 2, 2, 3), elements=st.floats(-100, 100))


def by_orders(values: np.ndarray) -> np.ndarray:
    """The definition: what each factor adds, averaged over the orders of swapping."""
    total = np.zeros((3, *values.shape[3:]))
    for order in permutations(range(3)):
        cell = [0, 0, 0]
        for factor in order:
            before = values[tuple(cell)]
            cell[factor] = 1
            total[factor] += values[tuple(cell)] - before
    return total / 6


@given(NUMBERS)
def test_the_average_over_all_orders(values: np.ndarray) -> None:
    np.testing.assert_allclose(shares(values), by_orders(values), atol=1e-10)


@given(NUMBERS)
def test_the_parts_add_up(values: np.ndarray) -> None:
    change = values[1, 1, 1] - values[0, 0, 0]
    np.testing.assert_allclose(shares(values).sum(0), change, atol=1e-10)


def test_three_effects_by_hand() -> None:
    u, e, d = np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")
    assert shares(2.0 * u - 3 * e + 0.5 * d).tolist() == pytest.approx([2, -3, 0.5])
    assert shares(6.0 * u * e * d).tolist() == pytest.approx([2, 2, 2])
    assert shares(4.0 * u * d).tolist() == pytest.approx([2, 0, 2])


@given(NUMBERS)
def test_a_factor_that_moves_nothing_has_exactly_no_share(values: np.ndarray) -> None:
    values[:, 1] = values[:, 0]
    assert (shares(values)[1] == 0).all()


def test_labels_need_half_of_all_that_moved() -> None:
    parts = np.array(
        [
            [1.0, 0.2, -3.0, 1.0, 1.0, 0.0, np.nan, 2.0],
            [0.0, -5.0, 2.0, -1.0, 1.0, 0.0, 1.0, -1.0],
            [0.5, 4.8, 0.0, 0.5, 0.0, 0.0, 1.0, 1.0],
        ]
    )
    assert labels(parts) == [
        "upstream", "edge", "upstream", "mixed", "mixed", "mixed", "unknown", "upstream",
    ]  # fmt: skip


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 50), st.floats(0.1, 50))
def test_shares_and_gain_make_the_normalised_change(
    raw_a: float, raw_b: float, norm_a: float, norm_b: float
) -> None:
    gain, factor = of_norm(np.array([raw_a]), np.array([raw_b]), norm_a, norm_b)
    change = raw_b / norm_b - raw_a / norm_a
    assert (raw_b - raw_a) * factor + gain[0] == pytest.approx(change, abs=1e-9)
