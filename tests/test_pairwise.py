"""Which cases of a product run when: each two values meet in CI, some in ``make test``."""

from __future__ import annotations

from itertools import product

import pytest
from pairwise import _pairs, covering, spread

SIZES = {"family": 5, "granularity": 2, "inputs": 2, "ablation": 3}


@pytest.mark.parametrize("names", [list(SIZES)[:2], list(SIZES)[:3], list(SIZES)])
def test_each_two_values_meet(names: list[str]) -> None:
    every = [
        dict(zip(names, values, strict=True))
        for values in product(*(range(SIZES[n]) for n in names))
    ]
    kept = [every[number] for number in covering([_pairs(one) for one in every])]
    for a, b in ((a, b) for a in names for b in names if a < b):
        assert len({(one[a], one[b]) for one in kept}) == SIZES[a] * SIZES[b]
    assert len(kept) <= {2: 10, 3: 10, 4: 17}[len(names)]


def test_some_cases_are_spread_from_the_first_to_the_last() -> None:
    assert spread(10, 3) == {0, 4, 9}
    assert spread(2, 3) == {0, 1}
    assert spread(5, 1) == {0}
