"""Which runs a name means, and which of them may be compared."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from measured import effect_run, table_run

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.comparable import differing_keys
from circuitgraph.runs.record import Run


def run(name: str, day: int = 1, *, recipe: str = "", prompts: str = "p", **method: object) -> Run:
    """An effect run of one day; runs of other options or prompts have other ids."""
    made = effect_run(np.zeros((4, 2)), "aabb", name, recipe=recipe, fingerprint=prompts)
    keys = replace(made.method, **method)
    id_ = digest(name, prompts, sorted(method.items()), day)
    return replace(made, id=id_, method=keys, created=f"2026-01-{day:02d}T00:00:00")


def correlation(name: str, day: int = 1) -> Run:
    made = table_run(np.zeros((4, 2)), "aabb", name)
    return replace(made, id=digest(name, day), created=f"2026-01-{day:02d}T00:00:00")


def catalogue(*runs: Run) -> RunCatalogue:
    return RunCatalogue(tuple(sorted(runs, key=lambda r: (r.created, r.id))))


# Names


def test_the_runs_of_a_name_come_newest_last():
    old, new = run("a", 1), run("a", 2, inputs="split")
    assert catalogue(new, old, run("b", 3)).of("a") == [old, new]
    assert catalogue(old, correlation("a", 5)).of("a", "effect") == [old]


def test_an_unknown_name_or_kind_is_an_error_that_knows_better():
    with pytest.raises(UsageError, match="no variant 'c'; known variants: 'a', 'b'"):
        catalogue(run("a"), run("b", 2)).of("c")
    with pytest.raises(UsageError, match="'a' has no correlation run; .* ``edges=correlation``"):
        catalogue(run("a")).of("a", "correlation")
    with pytest.raises(UsageError, match="the workspace is empty"):
        catalogue().of("c")
    with pytest.raises(UsageError, match="and 8 more") as caught:
        catalogue(*(run(f"v{i}") for i in range(20))).of("x" * 65_000)
    assert len(str(caught.value)) < 400


def test_a_recipe_goes_before_a_variant_of_its_name_but_only_at_recipe_scope():
    known = catalogue(run("de", recipe="de"), run("de-1", recipe="de"), run("base"))
    assert known.side("de", "recipe") == ["de", "de-1"]
    assert known.side("de", "checkpoint") == ["de"]
    assert known.side("base", "recipe") == ["base"]
    with pytest.raises(UsageError, match="'r' is a recipe, not a variant; ``scope=\"recipe\"``"):
        catalogue(run("a", recipe="r")).side("r", "checkpoint")


def test_several_variants_stand_with_commas_at_recipe_scope_only():
    known = catalogue(run("a"), run("b"), run("a,b"))
    assert known.side("b, a ,b", "recipe") == ["b", "a"]
    assert known.side("a,b", "recipe") == ["a,b"]  # a name may hold a comma itself
    with pytest.raises(UsageError, match="no variant 'b, a'"):
        known.side("b, a", "checkpoint")
    with pytest.raises(UsageError, match="no recipe or variant 'c'"):
        known.side("a,c", "recipe")


def test_no_recipe_is_no_recipe():
    with pytest.raises(UsageError, match="no recipe or variant ''"):
        catalogue(run("a"), run("b")).side("", "recipe")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a:b", ("a", "b")),
        ("x:y:b", ("x:y", "b")),
        ("b:x:y", ("b", "x:y")),
        ("x:y:x:y", ("x:y", "x:y")),
        ("de:base", ("de", "base")),
        ("a,b:base", ("a,b", "base")),
    ],
)
def test_names_in_a_pair_may_hold_colons(text, pair):
    known = catalogue(*(run(name) for name in ("a", "b", "x:y", "base")), run("de-1", recipe="de"))
    assert known.pair(text, "recipe") == pair


@pytest.mark.parametrize("text", ["a", "a:", ":a", "a:nobody", ""])
def test_a_pair_of_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="not A:B with two known names"):
        catalogue(run("a"), run("b")).pair(text, "checkpoint")


def test_long_and_wild_names_are_cut_and_stay_on_one_line():
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 65_000)) == 60


# Which runs


def test_the_newest_pair_that_agrees_is_taken_and_the_choice_is_said():
    old = [run("a", 1), run("b", 2)]
    new = [run("a", 3, inputs="split"), run("b", 4, inputs="split")]
    assert catalogue(*old, *new).matched(["a"], ["b"], "effect") == ([new[0]], [new[1]], True)
    alone = run("a", 9, granularity="layer")
    assert catalogue(*old, alone).matched(["a"], ["b"], "effect") == ([old[0]], [old[1]], False)


def test_equal_ages_are_decided_the_same_way_every_time():
    runs = [run(name, 1, inputs=i) for name in "ab" for i in ("joint", "split", "other")]
    chosen = {
        catalogue(*order).matched(["a"], ["b"], "effect")[0][0].id for order in (runs, runs[::-1])
    }
    assert len(chosen) == 1


def test_a_variant_may_be_compared_with_itself():
    a = run("a")
    assert catalogue(a).matched(["a"], ["a"], "effect") == ([a], [a], False)


def test_groups_need_one_kind_of_run_that_all_share():
    runs = [run("a"), run("b"), run("c"), run("c", 2, inputs="split"), run("a", 3, inputs="split")]
    side_a, side_b, _ = catalogue(*runs).matched(["a", "b"], ["c"], "effect")
    assert [r.method.inputs for r in (*side_a, *side_b)] == ["joint"] * 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"granularity": "layer"}, "granularity ('head' and 'layer')"),
        ({"ablation": "mean"}, "ablation ('corrupt' and 'mean')"),
        ({"bos": "added"}, "bos ('' and 'added')"),
        ({"template": "chat"}, "template ('' and 'chat')"),
        ({"prompts": "others"}, "prompts"),
        ({"inputs": "split", "steps": 5}, "steps (0 and 5)"),
    ],
)
def test_what_keeps_runs_apart_is_named(changed, named):
    a, b = run("a"), run("b", **changed)
    with pytest.raises(UsageError, match="'a' and 'b' cannot be compared") as caught:
        catalogue(a, b).matched(["a"], ["b"], "effect")
    assert named in str(caught.value)
    assert len(differing_keys(a, b)) == len(changed)


def test_other_architectures_are_never_compared():
    a, b = run("a"), run("b")
    b = replace(b, variant=replace(b.variant, architecture="other"))
    with pytest.raises(UsageError, match="differ in architecture;"):
        catalogue(a, b).matched(["a"], ["b"], "effect")


def test_tables_are_comparable_whatever_their_prompts_are_hashed_to():
    a, b = correlation("a"), replace(correlation("b"), prompts_fingerprint="other")
    assert catalogue(a, b).matched(["a"], ["b"], "correlation") == ([a], [b], False)


def test_effects_are_the_lens_only_where_all_have_them():
    known = catalogue(run("a"), run("b"), correlation("b", 2), correlation("c"))
    assert known.kind_of(["a", "b"]) == "effect"
    assert known.kind_of(["b", "c"]) == "correlation"


def test_runs_may_be_chosen_by_the_beginning_of_their_ids():
    a, b = replace(run("a"), id="12ab"), replace(run("b"), id="12cd")
    known = catalogue(a, b)
    assert known.by_ids("12a:12cd") == ([a], [b])
    for text, message in (
        ("12:12cd", "2 runs whose id begins with '12'"),
        ("9:12cd", "no run whose id begins with '9'"),
        ("12ab", "``run`` takes A_ID:B_ID"),
        (":12ab", "``run`` takes A_ID:B_ID"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            known.by_ids(text)


def test_equal_texts_read_otherwise_are_told_apart_by_the_day_of_their_template():
    days = [
        replace(run(day, prompts=day), prompt_set="texts", rendered={"date": day})
        for day in ("2026-01-01", "2026-01-02")
    ]
    assert differing_keys(*days) == [
        "the tokens of the same prompts (the chat template told 2026-01-01 and 2026-01-02)"
    ]
    bare = [replace(one, rendered={}) for one in days]
    assert differing_keys(*bare) == ["the tokens of the same prompts (read otherwise)"]
