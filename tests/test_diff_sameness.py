"""Models that are one and the same, replicates that are, and null pairs that are no nulls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured import effect_run, table_run

from circuitgraph.diff import compare_runs
from circuitgraph.diff.decoys import with_decoys
from circuitgraph.diff.record import Diff
from circuitgraph.report.words import headline, summary_lines
from circuitgraph.runs.record import Run

SCENARIOS = np.arange(40) % 4
LEVELS = np.array([3.0, 2.0, 1.0, 0.5])


def effects(levels: np.ndarray, seed: int, name: str, recipe: str = "") -> Run:
    noise = 0.01 * np.random.default_rng(seed).normal(size=(40, 4))
    return effect_run(levels + noise, SCENARIOS, name, recipe=recipe)


def weighing(run: Run, fingerprint: str) -> Run:
    """The run as one of a model with these weights."""
    return replace(run, variant=replace(run.variant, fingerprint=fingerprint))


def compare(a: list[Run], b: list[Run], scope: str = "recipe", **options) -> Diff:
    return compare_runs(a, b, name_a="A", name_b="B", lens="effect", scope=scope, **options)


def group(name: str, levels: np.ndarray, k: int, seed: int) -> list[Run]:
    return [effects(levels, seed + i, f"{name}{i}", name) for i in range(k)]


def test_equal_weights_are_one_replicate() -> None:
    a, b = group("a", LEVELS, 3, 0), group("b", LEVELS * [1, -1, 1, 1], 3, 10)
    copy = replace(weighing(b[0], b[1].variant.fingerprint), id="copy")
    copy = replace(copy, variant=replace(copy.variant, name="b1-again"), _arrays=b[1].arrays)
    plain, doubled = compare(a, b), compare(a, [*b, copy])
    assert doubled.id == plain.id
    assert doubled.table.equals(plain.table)
    assert len(doubled.runs_b) == 3
    told = "b1 and b1-again have the same merged weights: one replicate, counted once"
    assert told in doubled.summary["remarks"]
    assert not any("one replicate" in line for line in plain.summary["remarks"])


@pytest.mark.parametrize("copies", [2, 3])
def test_too_few_different_weights_cannot_tell(copies: int) -> None:
    """Two of three left, or one: which is no fixed reference either."""
    a, b = group("a", LEVELS, 3, 0), group("b", -LEVELS, 3, 10)
    b = [weighing(run, "same" if i < copies else "other") for i, run in enumerate(b)]
    diff = compare(a, b)
    assert diff.insufficient
    assert set(diff.table["verdict"]) == {"not_testable"}
    left = 4 - copies
    told = f"cannot tell: 3 against {left} variants of different weights; a recipe needs 3"
    assert any(line.startswith(told) for line in diff.summary["remarks"])
    assert not compare(a, b[-1:]).insufficient  # a variant alone is a reference as before


def test_tables_with_equal_values_are_one_replicate() -> None:
    rng = np.random.default_rng(0)
    tables = [
        table_run(rng.normal(size=(60, 4)), np.arange(60) % 3, f"t{i}", recipe="r")
        for i in range(4)
    ]
    b = [weighing(run, "values") for run in tables[1:3]] + tables[3:]
    diff = compare_runs(tables[:1], b, name_a="A", name_b="B", lens="correlation", scope="recipe")
    assert diff.insufficient
    assert "t1 and t2 have the same values: one replicate, counted once" in diff.summary["remarks"]


def test_many_equal_replicates_are_named_in_one_line() -> None:
    b = [weighing(run, "same") for run in group("b", LEVELS, 7, 10)]
    [told] = [
        line for line in compare(group("a", LEVELS, 3, 0), b).summary["remarks"] if "once" in line
    ]
    assert told.startswith("b0, b1, b2, b3 and 3 more have the same merged weights")


def test_identical_models_are_called_so_in_the_first_line() -> None:
    a, b = effects(LEVELS, 0, "A"), effects(LEVELS, 0, "B")
    diff = compare([a], [b], "checkpoint")
    assert "(effect lens, checkpoint scope): all effects are identical: 0 of 4" in headline(diff)
    same = compare([a], [weighing(b, a.variant.fingerprint)], "checkpoint")
    assert ": the variants are identical: same merged weights: 0 of 4" in headline(same)
    other = compare([a], [effects(LEVELS, 1, "B")], "checkpoint")
    assert other.summary["identical"] == ""
    gained = replace(b, _arrays={**b.arrays, "effects": 2 * b.effects})
    assert compare([a], [gained], "checkpoint").summary["identical"] == ""


def test_rounding_does_not_hide_equal_weights_and_other_numbers_are_told() -> None:
    a, b = effects(LEVELS, 0, "A"), effects(LEVELS, 0, "B")
    b = weighing(b, a.variant.fingerprint)
    rounded = replace(b, _arrays={**b.arrays, "effects": b.effects * np.float32(1 + 1e-6)})
    assert "same merged weights" in compare([a], [rounded], "checkpoint").summary["identical"]
    otherwise = weighing(effects(LEVELS * [1, 1, 1, -1], 0, "B"), a.variant.fingerprint)
    diff = compare([a], [otherwise], "checkpoint")
    assert diff.summary["identical"] == ""
    assert any("yet what was measured differs" in line for line in diff.summary["remarks"])


def nulls(claims_of_null: np.ndarray) -> Diff:
    """Four edges change between A and B; between A and N those of the mask."""
    a, b = effects(LEVELS, 0, "A"), effects(LEVELS * [1, -1, -1, -1], 1, "B")
    null = effects(np.where(claims_of_null, -LEVELS, LEVELS), 2, "N")
    return compare([a], [b], "checkpoint", nulls=[("A", [a], "N", [null], None)])


def test_a_null_pair_that_claims_as_much_is_the_first_thing_said() -> None:
    bad = nulls(np.array([False, True, True, False]))
    assert [decoy["n_claims"] for decoy in bad.summary["decoys"]] == [2]
    first = summary_lines(bad)[1]
    assert first == bad.summary["remarks"][0]
    assert first.startswith("warning: null pair A : N claims 2 edges, the pair itself 3: ")
    assert summary_lines(bad).count(first) == 1


def test_a_diff_prints_as_one_line() -> None:
    told = repr(nulls(np.zeros(4, bool)))
    assert told == (
        "Diff(A → B, effect lens, checkpoint scope: 3 of 4 testable edges claimed, evidence ok)"
    )


def test_a_null_pair_that_claims_little_is_one() -> None:
    fine = nulls(np.array([False, False, False, True]))
    assert [decoy["n_claims"] for decoy in fine.summary["decoys"]] == [1]
    assert not any("warning" in line for line in summary_lines(fine))


def test_null_pairs_counted_before_stay_with_the_diff_once() -> None:
    bad = nulls(np.array([True, True, True, True]))
    a, b = bad.runs_a[0], bad.runs_b[0]
    plain = compare([a], [b], "checkpoint")
    assert plain.id == bad.id  # null pairs are no part of the question
    again = with_decoys(plain, (), bad.summary["decoys"])
    assert again.summary["decoys"] == bad.summary["decoys"]
    # a pair that was given by mistake is not what every later diff begins with
    assert again.summary["remarks"] == bad.summary["remarks"][1:] == plain.summary["remarks"]
    assert "null pair A : N: the same test claims 4 of 4 edges" in "\n".join(summary_lines(again))
    assert with_decoys(again, (), bad.summary["decoys"]).summary == again.summary
