"""What a terminal shows of a diff: the answer within 80 columns, numbers under their units."""

from __future__ import annotations

import re

import numpy as np
import pytest
from asking import compare_runs
from measured import effect_run, table_run
from shell import ROOT

from circuitgraph.commands.views import diff_view, edges_view
from circuitgraph.diff.record import VERDICTS, Diff
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.registry import lens_named
from circuitgraph.lenses.wiring.lens import Wiring
from circuitgraph.runs.summaries import edge_table

SCENARIOS = np.repeat(["s", "t"], 20)
LEVELS = np.array([1.0, 1.0, 0.5, -0.5])


def flipped(lens: str = "effect", **options) -> Diff:
    noise = 0.01 * np.random.default_rng(0).normal(size=(2, 40, 4))
    a, b = (
        effect_run(level + noise[i], SCENARIOS, "AB"[i])
        for i, level in enumerate((LEVELS, LEVELS * [-1, 1, 1, 1]))
    )
    return compare_runs([a], [b], name_a="A", name_b="B", lens=lens, **options)


@pytest.mark.parametrize(
    "names", ["", "a-component-with-a-name-of-more-than-eighty-characters-" * 2]
)
def test_verdict_and_mechanism_are_seen_at_80_columns(names: str) -> None:
    diff = flipped()
    diff.table["source"] = diff.table["source"].cat.rename_categories(lambda name: name + names)
    lines = diff_view(diff, 80).splitlines()
    head = "source target verdict share_a share_b change mechanism"
    assert lines[0].split()[:7] == head.split()
    assert lines[1].split()[2] == "sign_flip"
    assert lines[1].split()[6] == "unknown"
    assert max(map(len, lines[:5])) <= 80


def test_a_wide_terminal_shows_intervals_in_one_column() -> None:
    head, first = diff_view(flipped(), 120).splitlines()[:2]
    assert head.split()[-2:] == ["95%", "q"]
    low, to, high = first.split()[7:10]
    assert to == "to"
    assert float(low) < float(first.split()[5]) < float(high)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "share_a, share_b, change: share of the norm of all edge effects"),
        ({"scale": "logit"}, "effect_a, effect_b, change: log-odds"),
    ],
)
def test_a_diff_says_its_units(options: dict, told: str) -> None:
    diff = flipped(**options)
    assert told in diff_view(diff, 120).splitlines()
    assert set(diff.summary["units"]) == {"weight_a", "weight_b", "delta"}
    assert set(diff.summary["units"].values()) == {told.split(": ")[1]}


def test_units_of_the_other_lenses() -> None:
    x = np.random.default_rng(0).normal(size=(2, 60, 3))
    a, b = (table_run(values, ["s"] * 60, name) for values, name in zip(x, "AB", strict=True))
    diff = compare_runs([a], [b], name_a="A", name_b="B", lens="correlation")
    assert "r_a, r_b, change: correlation within scenarios (r)" in diff_view(diff, 120)
    wiring = Wiring().units("checkpoint")
    assert wiring["weight_a"] == wiring["weight_b"] == "size of the channel"
    assert wiring["delta"] == "relative change of the channel, 0 to 1"
    named = {"weight_a": "size_a", "weight_b": "size_b", "delta": "change"}
    assert Wiring().heads("checkpoint") == named
    assert Wiring().heads("recipe")["weight_a"] == "change_a"


def test_edges_stand_under_their_units_a_table_a_kind() -> None:
    run = effect_run(LEVELS + np.zeros((40, 4)), SCENARIOS)
    lines = edges_view(edge_table(run), 200).splitlines()
    assert "effect" in lines[0].split()
    assert "weight" not in lines[0]
    assert "effect: log-odds" in lines


def test_the_glossary_has_the_words_that_are_printed() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    printed = {name for scale in ("share", "logit") for name in Effect(scale).heads("").values()}
    for lens, scope in (("correlation", ""), ("wiring", "checkpoint"), ("wiring", "recipe")):
        printed |= set(lens_named(lens).heads(scope).values())
    for word in printed | set(VERDICTS) - {"not_testable"}:
        assert f"`{word}`" in text, word
    words = (
        "lens scope checkpoint recipe claim margin yardstick gain evidence n_effective mechanism "
        "channel share effect change block direction scenario joint split saturated mass CPR CMD q"
    )
    for word in [*words.split(), "null pair"]:
        assert re.search(rf"^\| (\w+, )?`?{word}`?[ ,]|`{word}`", text, re.MULTILINE), word
