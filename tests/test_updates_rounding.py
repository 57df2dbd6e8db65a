"""What formats make of numbers, by hand and beside bitsandbytes; which grid numbers lie on."""

from __future__ import annotations

import pytest
import torch
from merging import nf4
from numpy.testing import assert_allclose, assert_array_equal

from circuitgraph.updates.rounding import FORMATS, grid_of, rounded

DRAWN = torch.randn(24, 64, generator=torch.Generator().manual_seed(0)) * 0.1


def test_nf4_takes_the_nearest_of_its_16_numbers_times_the_largest() -> None:
    block = torch.zeros(64)
    block[:6] = torch.tensor([2.0, 1.5, 1.0, 0.2, -0.6, -1.9])
    told = [2.0, 2 * 0.7229568362236023, 2 * 0.44070982933044434, 2 * 0.07958029955625534]
    told += [2 * -0.28444138169288635, -2.0]  # −.95 lies nearer to −1 than to −.696
    assert_allclose(rounded(block, "nf4")[:7], [*told, 0.0], rtol=1e-6)


def test_nf4_is_that_of_bitsandbytes() -> None:
    """Of version 0.50.2 on a CPU, quantize_4bit and dequantize_4bit of these 128 numbers."""
    steps = (torch.arange(128, dtype=torch.float64) * 0.7548776662466927) % 1 - 0.5
    found = rounded(steps.float() * 0.25, "nf4")
    assert_allclose(found[:12], BITSANDBYTES[0], atol=1e-7)
    assert_allclose(found[64:72], BITSANDBYTES[1], atol=1e-7)


BITSANDBYTES = (
    [
        -0.125,
        0.0703271,
        0.0,
        -0.0656341,
        -0.125,
        0.0703271,
        0.0099475,
        -0.0493647,
        -0.125,
        0.0703271,
        0.0099475,
        -0.0493647,
    ],
    [-0.04912, -0.1243805, 0.0899217, 0.0200166, -0.035379, -0.0865928, 0.0899217, 0.0200166],
)


def test_nf4_is_that_of_a_plain_program() -> None:
    assert_array_equal(rounded(DRAWN, "nf4").numpy(), nf4(DRAWN.numpy()))


def test_q4_0_has_16_even_steps_of_an_eighth_of_the_largest() -> None:
    block = torch.zeros(32)
    block[:6] = torch.tensor([-8.0, 7.9, 3.4, -3.6, 0.5, -0.4])  # a step of 1; 8 does not exist
    assert rounded(block, "q4_0")[:6].tolist() == [-8.0, 7.0, 3.0, -4.0, 1.0, 0.0]


@pytest.mark.parametrize("into", FORMATS)
def test_what_lies_on_a_grid_stays_there(into: str) -> None:
    once = rounded(DRAWN, into)
    assert not torch.equal(once, DRAWN)
    assert torch.equal(rounded(once, into), once)
    known = {"q4_0": "4 bit"}.get(into, into)
    assert (grid_of(DRAWN), grid_of(once)) == ("fp32", known)


def test_nf4_is_seen_where_it_was_stored_in_bfloat16() -> None:
    assert grid_of(rounded(DRAWN, "nf4").bfloat16()) == "nf4"
    assert grid_of(DRAWN.bfloat16()) == "bf16"


def test_blocks_need_not_fill_a_tensor() -> None:
    few = torch.linspace(-1, 1, 70)
    assert rounded(few, "nf4").shape == few.shape
    assert float((rounded(few, "q4_0") - few).abs().max()) < 0.13
    assert bool(rounded(torch.zeros(64), "nf4").isfinite().all())
    assert bool(rounded(torch.zeros(32), "q4_0").isfinite().all())
