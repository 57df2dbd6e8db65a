"""The scoreboard's own numbers, against counting by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "rankings.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rankings", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rankings = _loaded()


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 12))
    score = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    truth = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    into = draw(st.lists(st.sampled_from("xyz"), min_size=size, max_size=size))
    return np.array(score, float), np.array(truth, bool), np.array(into)


def won(score: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    points = [float(score[i] > score[j]) + 0.5 * float(score[i] == score[j]) for i, j in pairs]
    return sum(points) / len(pairs) if pairs else float("nan")


@given(scored())
def test_areas_count_pairs(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    score, truth, into = case
    pairs = [(i, j) for i in np.flatnonzero(truth) for j in np.flatnonzero(~truth)]
    own = [(i, j) for i, j in pairs if into[i] == into[j]]
    assert rankings.auroc(score, truth) == pytest.approx(won(score, pairs), nan_ok=True)
    assert rankings.within(score, truth, into) == pytest.approx(won(score, own), nan_ok=True)


def test_precision_of_a_ranking_known_by_hand() -> None:
    score = np.array([9.0, 8.0, 7.0, 7.0, 1.0])
    truth = np.array([True, False, True, False, True])
    # Thresholds 9, 8, 7, 1: precision 1, 1/2, 2/4, 3/5; recall rises by 1/3 at 9, 7 and 1.
    assert rankings.average_precision(score, truth) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)
    assert rankings.precision_at(score, truth, 1) == 1
    assert rankings.precision_at(score, truth, 3) == pytest.approx((1 + 0.5) / 3)
    assert np.isnan(rankings.average_precision(score, np.zeros(5, bool)))
