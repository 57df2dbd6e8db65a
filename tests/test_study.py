"""The study: what its answers rest on, by hand; and all of it, on a small model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shell import IPD, cli

from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.levels.record import Levels
from circuitgraph.study.answers import answers, grade
from circuitgraph.study.design import Design, of_recipes, of_variants, of_wiring
from circuitgraph.study.levels import level_rows, of_levels, shown
from circuitgraph.study.parts import _another, _band, by_layer
from circuitgraph.study.run import Study
from circuitgraph.study.statements import verdicts
from circuitgraph.study.steps import Steps
from circuitgraph.study.tables import Tables


@pytest.mark.parametrize(
    ("claims", "nulls", "evidence", "expected"),
    [
        (10, 0, ["ok"], "firm"),
        (10, 0, ["ok", "low"], "moderate"),
        (10, 1, ["ok"], "moderate"),
        (10, 2, ["ok"], "weak"),
        (0, 1, ["ok"], "weak"),
        (10, None, ["ok"], "weak"),
        (10, 0, ["ok", "insufficient"], "none"),
        (10, 0, [], "none"),
    ],
)
def test_grades(claims: int, nulls: int | None, evidence: list[str], expected: str) -> None:
    assert grade(claims, nulls, evidence) == expected


def test_the_band_holds_most_of_the_change_and_random_ones_are_others() -> None:
    strength = pd.Series({"L2_MLP": 1.0, "L3_ATTN": 4.0, "L3_MLP": 1.0, "L5_MLP": 5.5})
    layers = by_layer(strength, range(2, 7))
    assert layers.to_dict() == {2: 1.0, 3: 5.0, 4: 0.0, 5: 5.5, 6: 0.0}
    assert _band(layers, 1) == [5]
    assert _band(layers, 2) == [2, 3]
    assert _band(layers, 3) == [3, 4, 5]
    from random import Random

    drawn = [tuple(_another(Random(i), [2, 3, 4], [2, 3])) for i in range(20)]
    assert set(drawn) == {(2, 4), (3, 4)}


def test_nothing_is_answered_from_nothing() -> None:
    nothing = Tables()
    assert {answer.grade for answer in answers(nothing)} == {"none"}
    assert {row["here"] for row in verdicts(nothing)} == {"cannot be told"}


def row(role: str, a: str, b: str, claims: int) -> dict[str, Any]:
    """A comparison of recipes by exact effects between layers."""
    same = {"granularity": "layers", "lens": "effect", "scope": "recipe", "evidence": "ok"}
    same["numbers"] = "exact"
    return same | {"role": role, "a": a, "b": b, "claims": claims, "testable": 40, "alike": 1.0}


def test_open_edges_answer_nothing() -> None:
    tables = Tables()
    tables.add("comparisons", [row("null", "base", "self", 0)])
    tables.add("comparisons", [row("question", "strategic", "hybrid", 3)])
    fate = {"a": "strategic", "b": "hybrid", "strong": 10, "reversed": 0, "raised": 0, "kept": 1}
    tables.add("fates", [fate | {"suppressed": 3, "open": 6, "new": 0}])
    asked = answers(tables)[0]
    assert (asked.grade, asked.words.split(":")[0]) == ("none", "Cannot be told")
    tables.rows["fates"][0] |= {"suppressed": 5, "open": 4}
    assert answers(tables)[0].words.startswith("Suppressed")


def part(name: str, error: float, learnt: str = "no") -> dict[str, Any]:
    """One seed of a part that was trained alone."""
    return {"part": name, "components": name, "learnt": learnt, "error": error}


@pytest.mark.parametrize(
    ("whole", "own", "drawn", "answer", "statement"),
    [
        ("yes", [0.15, 0.16], 0.3, "does not suffice", "fails"),  # all parts together learn it
        ("no", [0.15, 0.16], 0.3, "cannot be told", "cannot be told"),  # they do not, either
        ("no", [0.25, 0.26], 0.3, "does not suffice", "fails"),  # much further than they are
        ("yes", [0.25], 0.3, "cannot be told", "cannot be told"),  # one seed
        ("no", [0.05, 0.09], 0.3, "suffices", "holds"),
        ("no", [0.05, 0.09], 0.08, "suffices", "cannot be told"),  # so does any other part
    ],
)
def test_what_follows_from_a_part_trained_alone(whole, own, drawn, answer, statement) -> None:
    tables = Tables()
    tables.add("parts", [part("whole", 0.05, whole), part("whole", 0.1, whole)])
    for name in ("component", "band"):
        tables.add("parts", [part(name, error) for error in own])
        tables.add("parts", [part(f"random {name} 1", drawn)])
    told = answers(tables)[2]
    assert f"the component {answer}, the band {answer}" in told.words
    assert told.grade == ("none" if answer == "cannot be told" else "weak")
    assert [row["here"] for row in verdicts(tables)[-2:]] == [statement, statement]


@pytest.mark.parametrize(
    ("alike", "claims", "expected"),
    [
        (0.99, 0, "holds"),
        (0.9, 4, "fails"),
        (0.99, 4, "cannot be told"),
        (0.9, 1, "cannot be told"),
    ],
)
def test_alike_by_component_is_judged_beside_seeds_and_nulls(alike, claims, expected) -> None:
    def compared(scope: str, role: str, a: str, b: str, claims: int, alike: float) -> dict:
        told = {"scope": scope, "role": role, "a": a, "b": b, "testable": 60, "evidence": "low"}
        return told | {"claims": claims, "alike": alike}

    tables = Tables()
    one, other = "deontological", "utilitarian"
    rows = [
        compared("recipe", "question", one, other, claims, 0.999),
        compared("recipe", "null", "self", "random", 1, 0.9),
        compared("checkpoint", "question", f"{one}-0", f"{other}-0", 9, alike),
        compared("checkpoint", "seeds", f"{one}-0", f"{one}-1", 2, 0.97),
        compared("checkpoint", "null", "base", "self-0", 50, 0.1),
    ]
    tables.add("components", rows)
    assert verdicts(tables)[0]["here"] == expected


def test_circuits_are_distinct_only_beyond_nulls() -> None:
    tables = Tables()
    tables.add("comparisons", [row("null", "base", "self", 3)])
    tables.add("comparisons", [row("question", "deontological", "utilitarian", 3)])
    assert answers(tables)[1].words.startswith("No.")
    assert answers(tables)[1].grade == "weak"
    tables.add("comparisons", [row("question", "deontological", "hybrid", 31)])
    assert answers(tables)[1].words.startswith("Some.")
    assert answers(tables)[1].grade == "moderate"


def test_a_confirmed_screen_counts_once() -> None:
    tables = Tables()
    tables.add("comparisons", [row("null", "base", "self", 0)])
    told = row("question", "deontological", "utilitarian", 7)
    tables.add("comparisons", [told | {"numbers": "screened"}])
    tables.add("comparisons", [told | {"numbers": "confirmed", "claims": 2}])
    words = answers(tables)[1].words
    assert "deontological → utilitarian 2 of 40 edges. Null" in words
    assert "7 of 40" not in words


@pytest.mark.parametrize(
    ("claims", "nulls", "unchanged", "expected"),
    [
        (8, 4, 30, "holds"),
        (7, 4, 30, "cannot be told"),
        (1, 0, 30, "holds"),
        (0, 0, 30, "fails"),
        (0, 0, 10, "cannot be told"),
        (10, None, 30, "cannot be told"),
    ],
)
def test_pathways_differ_only_beyond_nulls(claims, nulls, unchanged, expected) -> None:
    tables = Tables()
    places = {"effect": "layers", "correlation": "activity", "wiring": "layers"}
    for lens, place in places.items():
        one = row("question", "deontological", "utilitarian", claims)
        kept = [one] if nulls is None else [one, row("null", "self", "random", nulls)]
        told = {"lens": lens, "granularity": place, "unchanged": unchanged}
        tables.add("comparisons", [each | told for each in kept])
    assert [told["here"] for told in verdicts(tables)[1:4]] == [
        *(expected, expected),
        "cannot be told" if expected == "fails" else expected,  # amounts without directions
    ]


def test_recipes_need_three_seeds_and_nulls_stand_beside() -> None:
    with pytest.raises(UsageError, match="needs 3 or more"):
        Design(Path("m"), Path("o"), seeds=2)
    asked = (*of_recipes(), *of_variants(), *of_wiring())
    roles = {(one.lens, one.scope, one.role) for one in asked}
    for lens in ("effect", "correlation", "wiring"):
        assert (lens, "recipe", "null") in roles


def test_exact_comparisons_need_no_confirmation(tmp_path: Path) -> None:
    asked = [one for one in of_variants() if one.confirmed]
    for numbers, expected in (("exact", False), ("screened", True)):
        study = Study(Steps(Design(tmp_path, tmp_path), Reporter()), tmp_path)
        for one in asked:
            told = row("question", one.a, one.b, 1) | {"numbers": numbers}
            study.tables.add("comparisons", [told])
        assert {study._screened(one) for one in asked} == {expected}


def test_a_device_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    answer = cli("study", IPD / "base", "--out", tmp_path / "out", "--device", "cuda:99")
    assert answer.code == 2
    assert "--device cuda:99: not on this machine" in answer.complaint
    assert not (tmp_path / "out").exists()


def test_levels_stand_beside_the_null_and_the_seeds_that_are_furthest_apart() -> None:
    def row(role: str, alike: float, claims: float = np.nan) -> dict:
        told = {"role": role, "a": "x", "b": role, "level": "weights", "measure": "cosine"}
        interval = {"low": np.nan, "high": np.nan, "testable": 10.0, "n": 0, "reason": ""}
        return told | interval | {"alike": alike, "claims": claims}

    kept = [row("pair", 0.999998, 3.0), row("null", 0.9999999), row("null", 0.999999, 1.0)]
    found = Levels(pd.DataFrame([*kept, row("seeds", 0.99)]), {"a": "x", "b": "y"})
    [told] = level_rows(found)
    assert told["apart"] == pytest.approx(2e-6)
    assert told["null_apart"] == pytest.approx(1e-6)
    assert told["seeds_apart"] == pytest.approx(0.01)
    line = shown(pd.DataFrame([told])).iloc[0]
    assert (line["alike"], line["nulls"]) == ("99.99980%", "99.99990%")
    assert (line["claims"], line["verdict"]) == ("3 of 10", "further than any null")
    for one in of_levels():
        assert {*one.nulls} == {("base", "self-0"), ("self-0", "random-0")}


@pytest.mark.slow
def test_the_whole_study_of_a_small_model(tmp_path: Path) -> None:
    """All of it, gone on with, and stopped by a budget."""
    out = tmp_path / "out"
    out.mkdir()
    rows = (IPD / "prompts.jsonl").read_text("utf-8").splitlines(keepends=True)
    (out / "prompts.jsonl").write_text("".join(rows[::2]), "utf-8")
    words = ("study", IPD / "base", "-o", out, "--seeds", 3, "--draws", 2, "--width", 2)
    first = cli(*words, "--no-heads", "--budget", "1s")
    assert first.code == 0, first.err
    assert "no time was left" in (out / "study.md").read_text("utf-8")
    done = cli(*words, "--no-heads")
    assert done.code == 0, done.err
    assert "one core" in done.err
    page = (out / "study.md").read_text("utf-8")
    for name in ("RQ1", "RQ2", "RQ3"):
        assert name in page
    with (out / "study" / "behaviour.csv").open(encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    assert {row["learnt"] for row in told if row["recipe"] == "hybrid"} >= {"yes"}
    with (out / "study" / "levels.csv").open(encoding="utf-8") as file:
        kept = list(csv.DictReader(file))
    assert {row["a"] for row in kept} == {"base", "strategic-0", "deontological-0"}
    assert {row["level"] for row in kept} == {"weights", "attention", "behaviour", "interactions"}
    assert all(bool(row["apart"]) != bool(row["reason"]) for row in kept)
    with (out / "study" / "components.csv").open(encoding="utf-8") as file:
        parts = {(row["a"], row["b"]): row for row in csv.DictReader(file)}
    assert parts["base", "self-0"]["claims"] == "0"
    assert {row["components"] for row in parts.values()} == {"9"}
    by_measure = {(row["a"], row["measure"]): row for row in kept}
    assert by_measure["base", "wiring"]["nulls"] == "1"  # self-0 against random-0 is not asked
    assert "not measured yet" in by_measure["strategic-0", "wiring"]["reason"]
    again = cli(*words, "--no-heads")
    assert again.out == done.out
    assert (out / "study.md").read_text("utf-8").split("## Costs")[0] == page.split("## Costs")[0]
