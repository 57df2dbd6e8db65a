"""What two circuits share beyond chance: chances counted by hand, and circuits of real variants."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from shell import cli, rows

from circuitgraph import UsageError, Workspace
from circuitgraph.stats.overlap import overlap


def held(*edges: int) -> np.ndarray:
    return np.isin(np.arange(6), edges)


def test_chances_are_those_of_all_draws() -> None:
    """Of 6 edges 3 and 2: every pair of draws counted; then within receivers 012 and 345."""
    a, b, groups = held(0, 1, 3), held(0, 3), [0, 0, 0, 1, 1, 1]
    found = overlap(a, b, groups)
    shared = [
        len({*one} & {*other})
        for one in combinations(range(6), 3)
        for other in combinations(range(6), 2)
    ]
    assert (found.shared, found.expected) == (2, pytest.approx(np.mean(shared)))
    assert found.p == pytest.approx(np.mean(np.array(shared) >= 2))
    kept = [
        len({*one, last} & {first, second})
        for one in combinations(range(3), 2)
        for last in range(3, 6)
        for first in range(3)
        for second in range(3, 6)
    ]
    assert found.expected_within == pytest.approx(np.mean(kept))
    assert found.p_within == pytest.approx(np.mean(np.array(kept) >= 2))


def test_circuits_of_one_recipe_share_more_than_chance(study: Path) -> None:
    table = rows("-w", study, "overlap", "deontological", "deontological-seed1", "--sizes", "5,100")
    small, whole = table
    assert small["edges"] == 11
    assert small["shared"] > 2 * small["expected"]
    assert small["p"] < 1e-4
    assert whole["shared"] == whole["edges"] == 207
    assert whole["p"] == pytest.approx(1)
    assert whole["p_within"] == pytest.approx(1)


def test_what_cannot_be_laid_on_each_other_is_refused(study: Path) -> None:
    workspace = Workspace(study)
    with pytest.raises(UsageError, match="on one prompt set only"):
        workspace.overlap("base")
    with pytest.raises(UsageError, match="is no share"):
        workspace.overlap("base", "strategic", sizes=[2])
    assert "itself" in cli("-w", study, "overlap", "base", "base").complaint
