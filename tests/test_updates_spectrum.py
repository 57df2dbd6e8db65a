"""Sizes and effective ranks of updates by hand; random updates that share them."""

from __future__ import annotations

import math

import pytest
import torch
from numpy.testing import assert_allclose

from circuitgraph.updates.spectrum import Spectrum, effective_rank, spectrum


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_effective_rank_is_exp_of_the_entropy_of_squares() -> None:
    assert effective_rank(torch.tensor([3.0])) == 1
    assert effective_rank(torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])) == 4
    # σ = 2, 1: shares .8 and .2 of the squares
    by_hand = math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))
    assert effective_rank(torch.tensor([2.0, 1.0])) == pytest.approx(by_hand)
    assert effective_rank(torch.zeros(3)) == 0


def test_singular_values_of_what_is_known() -> None:
    assert spectrum(torch.zeros(4, 3)).tolist() == []
    assert spectrum(torch.tensor([3.0, 4.0])).tolist() == [5.0]
    matrix = torch.outer(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0, 2.0]))
    assert_allclose(spectrum(matrix), [15.0])  # 5 · 3, rank 1


@pytest.mark.parametrize("rank", [1, 4, 60, 200])
def test_singular_values_are_those_of_a_whole_decomposition(rank: int) -> None:
    left, right = (torch.randn(n, rank, generator=generator(n)).double() for n in (300, 220))
    update = left @ right.T
    known = torch.linalg.svdvals(update)
    found = spectrum(update)
    assert_allclose(found, known[: len(found)], rtol=1e-6)
    assert len(found) == rank


def test_a_random_update_has_the_same_singular_values_and_other_directions() -> None:
    update = torch.randn(40, 3, generator=generator()).double() @ torch.randn(3, 30).double()
    shape = Spectrum.of(update)
    one, again, other = shape.draw(generator(1)), shape.draw(generator(1)), shape.draw(generator(2))
    assert torch.equal(one, again)
    for drawn in (one, other):
        assert_allclose(torch.linalg.svdvals(drawn)[:3], torch.linalg.svdvals(update)[:3])
        assert float(torch.linalg.svdvals(drawn)[3]) < 1e-9
        assert abs(float((drawn * update).sum() / update.pow(2).sum())) < 0.3
    assert float((one - other).norm() / update.norm()) > 1


def test_rows_that_an_update_leaves_alone_stay() -> None:
    update = torch.zeros(20, 6)
    update[[3, 9]] = torch.randn(2, 6, generator=generator())
    drawn = Spectrum.of(update).draw(generator(1))
    assert drawn.any(1).nonzero().flatten().tolist() == [3, 9]
    vector = Spectrum.of(torch.tensor([3.0, 0.0, 4.0])).draw(generator(1))
    assert vector.shape == (3,)
    assert float(vector.norm()) == pytest.approx(5)
    assert vector[1] == 0
