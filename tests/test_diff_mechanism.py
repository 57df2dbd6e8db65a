"""Mechanisms of claims: shares that add up, gain apart, replicates, and what stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from asking import compare_runs, with_mechanism
from measured import effect_run, table_run

from circuitgraph.base.errors import InputError
from circuitgraph.diff.explain import explain_edge
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.mechanism.split import pairs
from circuitgraph.report.words import summary_lines
from circuitgraph.runs.record import Run
from circuitgraph.store import diff_tables

N = 60
SCENARIOS = np.repeat(["s", "t", "u", "v"], [9, 12, 18, 21])  # not balanced
SIGNS = np.where(np.arange(N) % 3 == 0, -1, 1)
BASE = [5.0, -4.0, 3.0, 6.0]
OTHER = [9.0, -1.0, 3.0, 6.0]
PARTS = np.array([[0.75, 0.1, 1.0, 0.0], [0.05, 0.8, 0.0, 0.0], [0.2, 0.1, 0.0, 1.0]])
"""Of each edge's change, what is due to signal, edge and what follows."""


def run(levels: Sequence[float], name: str, seed: int, recipe: str = "") -> Run:
    noise = 0.1 * np.random.default_rng(seed).normal(size=(N, len(levels)))
    raw = (np.asarray(levels) + noise) * SIGNS[:, None]
    return effect_run(raw, SCENARIOS, name, directions=SIGNS.tolist(), recipe=recipe)


@dataclass(frozen=True)
class Found:
    values: np.ndarray
    same: np.ndarray


def measure(a: Run, b: Run, edges: Sequence[int]) -> Found:
    """Factors that add up: each moves its part of the change, wherever the others stand."""
    before, after = (x.effects[:, list(edges)].astype(float) for x in (a, b))
    values = np.empty((2, 2, 2, *before.shape))
    for cell in product((0, 1), repeat=3):
        values[cell] = before + (np.array(cell) @ PARTS[:, list(edges)]) * (after - before)
    return Found(values, PARTS[:, list(edges)] == 0)


def compare(a: Sequence[Run], b: Sequence[Run], **options: object) -> Diff:
    scope = "recipe" if max(len(a), len(b)) > 1 else "checkpoint"
    return compare_runs(a, b, name_a="A", name_b="B", lens="effect", scope=scope, **options)


def balanced(values: np.ndarray) -> np.ndarray:
    """Scenario means, averaged alike, by a loop."""
    return np.mean([values[s == SCENARIOS].mean(0) for s in "stuv"], axis=0)


def norm(run: Run) -> float:
    return float(np.sqrt((run.effects.astype(float) ** 2).sum(1)).mean())


@pytest.fixture(scope="module")
def one() -> tuple[Run, Run, Diff]:
    a, b = run(BASE, "A", 0), run(OTHER, "B", 1)
    return a, b, with_mechanism(compare([a], [b]), measure)


def test_shares_are_of_the_raw_aligned_change_and_add_up(one: tuple[Run, Run, Diff]) -> None:
    a, b, diff = one
    rows = diff.extras.index
    assert rows.tolist() == [0, 1, 2, 3]  # two changed; the others shrink as shares
    change = balanced((b.effects - a.effects).astype(float) * SIGNS[:, None])
    parts = diff.extras[["signal", "edge", "downstream"]].to_numpy().T
    np.testing.assert_allclose(parts, PARTS * change, rtol=1e-6, atol=1e-9)
    assert diff.summary["mechanism"]["apart"] <= 1e-5
    labels = ["upstream", "edge", "upstream", "downstream"]
    assert diff.table["mechanism"].tolist() == labels
    assert diff.summary["mechanism"]["claims"] == {"upstream": 2, "edge": 1, "downstream": 1}
    assert diff.extras["same"].tolist() == ["", "", "edge, downstream", "signal, edge"]


def test_gain_is_what_the_shares_leave_of_the_normalised_change(one: tuple) -> None:
    a, b, diff = one
    factor = (1 / norm(a) + 1 / norm(b)) / 2
    total = diff.extras[["signal", "edge", "downstream"]].sum(axis=1)
    np.testing.assert_allclose(total * factor + diff.extras["gain"], diff.table["delta"], atol=1e-6)
    assert diff.extras["gain"].abs().min() > 0.01
    logit = with_mechanism(compare([a], [b], scale="logit"), measure)
    assert (logit.extras["gain"] == 0).all()
    total = logit.extras[["signal", "edge", "downstream"]].sum(axis=1)
    np.testing.assert_allclose(total, logit.table["delta"][logit.extras.index], atol=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
def test_shares_of_groups_add_up_to_the_change_of_their_means(fixed: bool) -> None:
    a = [run(BASE, f"base{i}", i, "base") for i in range(1 if fixed else 4)]
    b = [run(np.array(OTHER) + 0.1 * i, f"b{i}", 10 + i, "b") for i in range(4)]
    asked: list[tuple[str, str]] = []

    def noted(x: Run, y: Run, edges: Sequence[int]) -> Found:
        asked.append((x.variant.name, y.variant.name))
        return measure(x, y, edges)

    diff = with_mechanism(compare(a, b[::-1]), noted)
    assert sorted(asked) == [("base0" if fixed else f"base{i}", f"b{i}") for i in range(4)]
    raw = [
        np.mean([balanced(x.effects.astype(float) * SIGNS[:, None]) for x in side], axis=0)
        for side in (a, b)
    ]
    total = diff.extras[["signal", "edge", "downstream"]].sum(axis=1)
    rows = diff.extras.index
    assert len(rows) >= 2
    np.testing.assert_allclose(total, (raw[1] - raw[0])[rows], atol=1e-6)
    means = [np.mean([1 / norm(x) for x in side]) for side in (a, b)]
    assert means[0] != pytest.approx(means[1], rel=0.05)  # so there is a gain to tell apart
    assert diff.extras["gain"].abs().max() > 0.01


def test_groups_of_unequal_size_are_paired_each_with_each() -> None:
    a = [run(BASE, name, i) for i, name in enumerate(("x10", "x9", "x1"))]
    assert pairs(a, a[:2]) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert pairs(a, a[::-1]) == [(2, 0), (1, 1), (0, 2)]


def test_what_cannot_be_measured_stays_unknown_and_the_reason_is_told() -> None:
    def gone(a: Run, b: Run, edges: Sequence[int]) -> Found:
        raise InputError("the files are gone")

    plain = compare([run(BASE, "A", 0)], [run(OTHER, "B", 1)])
    diff = with_mechanism(plain, gone)
    assert set(diff.table["mechanism"]) == {"unknown"}
    assert diff.summary["remarks"][-1] == "mechanism unknown: the files are gone"
    assert diff.summary["remarks"][:-1] == plain.summary["remarks"]


def test_the_strongest_claims_come_first() -> None:
    plain = compare([run(BASE, "A", 0)], [run(OTHER, "B", 1)])
    diff = with_mechanism(plain, measure, most=2)
    known = diff.table["mechanism"] != "unknown"
    strongest = plain.table["delta"].abs().nlargest(2).index
    assert sorted(known.index[known]) == sorted(strongest)
    assert diff.extras["signal"].notna().tolist() == known.tolist()
    assert diff.summary["remarks"][-1] == (
        "the mechanism of 2 claims is unknown: the 2 strongest were measured"
    )


def test_correlations_have_no_mechanism() -> None:
    rng = np.random.default_rng(0)
    tables = [table_run(rng.normal(size=(40, 3)), ["s"] * 40, name) for name in "AB"]
    plain = compare_runs(tables[:1], tables[1:], name_a="A", name_b="B", lens="correlation")

    def never(a: Run, b: Run, edges: Sequence[int]) -> Found:
        raise AssertionError

    assert with_mechanism(plain, never) is plain


def test_the_graph_and_the_words_tell_it(one: tuple[Run, Run, Diff]) -> None:
    _, _, diff = one
    stored = diff_tables(diff).rels["REWIRED"]
    for name in ("signal", "edge", "downstream", "mechanism"):
        column = diff.extras if name in diff.extras else diff.table
        assert stored[name].tolist() == column[name].tolist()
    [line] = [line for line in summary_lines(diff) if line.startswith("mechanism")]
    assert line.startswith("mechanism: of 4 claims 2 upstream: the signal that enters changed; 1 ")
    assert line.endswith("; in 2 most of the change is that of the norm of all edge effects (gain)")
    told = explain_edge(diff, "L0H2", "L1H0").text
    signal = diff.extras["signal"][2]
    assert "Mechanism: upstream." in told
    assert f"{signal:+.3f} are due to the signal that enters, " in told
    assert "to the edge itself (bit for bit the same)" in told
    assert f"(gain) makes {diff.extras['gain'][2]:+.3f}" in told
