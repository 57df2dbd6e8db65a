"""Sizes, rankings, paths and areas, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.base.components import effect_edges
from circuitgraph.interventions.circuits.ranking import (
    SIZES,
    areas,
    connected,
    edge_counts,
    random_circuits,
    reached,
    recovered,
    top_edges,
)


def test_the_sizes_are_those_of_mib() -> None:
    assert [100 * share for share in SIZES] == pytest.approx(
        [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    )


def test_areas_by_hand() -> None:
    cpr, cmd = areas((0.001, 0.01, 0.1, 1.0), np.array([0.0, 0.5, 1.5, 1.0]))
    assert np.isnan(cpr[0])
    assert cpr[1:] == pytest.approx([0.00225, 0.09225, 1.21725])
    assert cmd[1:] == pytest.approx([0.00675, 0.05175, 0.27675])


def test_a_perfect_circuit_misses_only_what_lies_below_the_smallest_size() -> None:
    cpr, cmd = areas(SIZES, np.ones((2, 10)))
    assert cpr[:, -1] == pytest.approx([0.999, 0.999])
    assert cmd[:, -1] == pytest.approx([0, 0])
    cpr, cmd = areas(SIZES, np.array(SIZES))  # a share recovers its share: trapezoids are exact
    assert cpr[-1] == pytest.approx((1 - 0.001**2) / 2)
    assert cmd[-1] == pytest.approx(0.999**2 / 2)


def test_one_size_has_no_area() -> None:
    assert np.isnan(areas((0.5,), np.array([0.7]))).all()


def test_shares_are_rounded_up() -> None:
    assert edge_counts(SIZES, 207).tolist() == [1, 1, 2, 3, 5, 11, 21, 42, 104, 207]
    assert edge_counts((0.1, 0.3, 0.7), 10).tolist() == [1, 3, 7]  # 0.7 × 10 is 7.000000000000001
    assert edge_counts((0.001, 1.0), 1).tolist() == [1, 1]


def test_top_edges_take_the_highest_and_the_first_of_equals() -> None:
    scores = np.array([0.5, np.nan, 2.0, 0.5, -3.0])
    found = top_edges(scores, np.array([1, 2, 4, 5])).astype(int).tolist()
    assert found == [[0, 0, 1, 0, 0], [1, 0, 1, 0, 0], [1, 0, 1, 1, 1], [1, 1, 1, 1, 1]]


@given(st.integers(1, 60), st.integers(0, 1000))
def test_random_circuits_have_the_sizes_and_lie_within_each_other(edges: int, seed: int) -> None:
    counts = edge_counts(SIZES, edges)
    found = random_circuits(edges, counts, 3, seed)
    assert (found.sum(-1) == counts).all()
    assert (found[:, 1:] >= found[:, :-1]).all()
    assert (found == random_circuits(edges, counts, 3, seed)).all()


def test_random_circuits_hold_every_edge_alike() -> None:
    found = random_circuits(10, np.array([3]), 4000, seed=1)
    assert found.mean(0)[0] == pytest.approx(np.full(10, 0.3), abs=0.03)
    assert random_circuits(10, np.array([3]), 0, seed=1).shape == (0, 1, 10)


def test_shares_recovered_by_hand() -> None:
    clean, empty = np.array([2.0, -4.0]), np.zeros(2)
    decisions = np.array([[1.0, -1.0], [2.0, -4.0], [0.0, 0.0], [0.0, 4.0]])
    aligned = np.array([[0.5, -0.5], [1.0, 0.0]])  # the second sample drew one prompt only
    assert recovered(decisions, clean, empty, aligned) == pytest.approx(
        np.array([[1 / 3, 1, 0, -2 / 3], [0.5, 1, 0, 0]])
    )


def circuit(edges: list, *names: str) -> np.ndarray:
    """The circuit of edges written ``source>target`` or ``source>target:input``."""
    written = [f"{e.source}>{e.target}" for e in edges]
    full = [f"{w}:{e.input}" for w, e in zip(written, edges, strict=True)]
    assert all(name in written or name in full for name in names)
    return np.array([[w in names or f in names for w, f in zip(written, full, strict=True)]])


def names(edges: list, mask: np.ndarray) -> set[str]:
    return {f"{e.source}>{e.target}" for e, there in zip(edges, mask[0], strict=True) if there}


def test_paths_by_hand() -> None:
    edges = effect_edges(2, 2, 2, "head", "joint")
    chosen = circuit(
        edges, "EMBED>L0H1", "L0H1>L1_MLP", "L0H0>L1_MLP", "L1_MLP>LOGITS", "EMBED>L1H0"
    )
    expected = {"EMBED>L0H1", "L0H1>L1_MLP", "L1_MLP>LOGITS", "EMBED>L1H0"}
    assert names(edges, reached(edges, chosen, 2, 2)) == expected
    assert names(edges, connected(edges, chosen, 2, 2)) == expected - {"EMBED>L1H0"}


def test_a_key_value_group_is_heard_through_all_its_heads() -> None:
    edges = effect_edges(1, 4, 2, "head", "split")
    chosen = circuit(edges, "EMBED>L0KV1:v", "L0H2>LOGITS", "L0H1>LOGITS", "EMBED>L0H0:q")
    found = connected(edges, chosen, 4, 2)
    assert names(edges, found) == {"EMBED>L0KV1", "L0H2>LOGITS"}
    assert found.sum() == 2


def test_each_circuit_has_its_own_paths() -> None:
    edges = effect_edges(2, 2, 2, "head", "joint")
    rng = np.random.default_rng(0)
    circuits = rng.random((40, len(edges))) < 0.4
    for function in (reached, connected):
        together = function(edges, circuits, 2, 2)
        alone = [function(edges, one[None], 2, 2)[0] for one in circuits]
        assert (together == np.array(alone)).all()
        assert not (together & ~circuits).any()
